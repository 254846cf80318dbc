import json
import os
import re
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from support.hub import LETTERS, ROWS, mark, write_repository
from support.hub_server import GATED, commit_of, serve
from support.study_files import use_study

from moco.config.datasets import dataset, dataset_names
from moco.config.load import study_from
from moco.config.oddities import FUNCTIONS, math, mbpp
from moco.errors import RequestError, WorkError
from moco.tasks.layout import split_layout, task_type
from moco.tasks.prepare import prepare, read_questions, read_references

STUDY = {"study": "s", "models": {"add": {"kind": "zoo"}}, "pools": {"one": ["add"]}}
ON_HUB = [name for name in dataset_names() if dataset(name).hub is not None]


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("MOCO_HUB_MIRROR", str(tmp_path / "mirror"))


def entry(name, **changes):
    if "source" not in changes:
        changes["from"] = "hub"
    return study_from({**STUDY, "tasks": {name: changes}}, "study.yaml").tasks[name]


def mirror(base, name, rows=8, make=None):
    """Write a dataset's repository with two of its configurations, and return what a study says to read these."""
    hub, make = dataset(name).hub, make or ROWS[name][0]
    configs = hub.configs[:2] or (None,)
    names = sorted({split for found in hub.splits.values() for split in ([found] if isinstance(found, str) else found)})
    places = [(config, split) for config in configs for split in names]
    made = {place: [make(number * rows + i) for i in range(rows)] for number, place in enumerate(places)}
    for config in configs:
        repository = hub.repository.replace("{config}", config or "")
        if repository != hub.repository:
            write_repository(base, repository, {None: {split: made[config, split] for split in names}})
    if "{config}" not in hub.repository:
        write_repository(base, hub.repository, {c: {split: made[c, split] for split in names} for c in configs})
    return {"source": {"configs": list(hub.configs[:2])}} if hub.configs else {}


def by_mark(folder, facts):
    """Return every question with its reference by item number."""
    found = {}
    for split in facts["splits"]:
        references = read_references(folder, split)
        for question in read_questions(folder, split):
            number = int(re.search(r"Nr(\d+)\.", question.question)[1])
            found[number] = (question, references[question.uid])
    return found


def right(question, reference):
    """Return what counts as right, whatever the order of the options."""
    if reference.gold_kind == "option" and question.options is not None:
        return question.options[reference.gold["index"]]
    if reference.gold_kind == "code":
        return sorted(reference.gold)
    return reference.gold


def test_every_dataset_of_the_hub_has_constructed_rows():
    assert sorted(ROWS) == ON_HUB
    used = {place.function for name in dataset_names() for place in (dataset(name).hub, dataset(name).file) if place}
    assert used - {None} == set(FUNCTIONS)


@pytest.mark.parametrize("name", ON_HUB)
def test_hub_and_file_give_the_same_items(name, tmp_path):
    registered = dataset(name)
    task = entry(name, **mirror(tmp_path / "mirror", name))
    assert (task.dataset, task.type, task.domain) == (name, registered.type, registered.domain)
    facts = prepare(name, task, tmp_path / "hub", None)
    from_hub = by_mark(tmp_path / "hub", facts)
    assert list(facts["splits"]) == ["dev", "test"]
    assert len(from_hub) == sum(split["items"] for split in facts["splits"].values()) >= 8

    numbers = sorted(from_hub)
    half = len(numbers) // 2
    content = {"name": name, "dev": [ROWS[name][1](i) for i in numbers[:half]]}
    content["test"] = [ROWS[name][1](i) for i in numbers[half:]]
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    task = entry(name, source={"kind": "moco", "path": str(path)})
    assert (task.dataset, task.type, task.domain) == (name, registered.type, registered.domain)
    from_file = by_mark(tmp_path / "file", prepare(name, task, tmp_path / "file", None))

    assert sorted(from_file) == numbers
    for number in numbers:
        (question, reference), (file_question, file_reference) = from_hub[number], from_file[number]
        assert reference.gold_kind == file_reference.gold_kind
        assert right(question, reference) == right(file_question, file_reference)
        assert sorted(question.options or ()) == sorted(file_question.options or ())
        assert reference.valid == file_reference.valid
        assert question.type == file_question.type == registered.type
    for kind in ("questions", "references"):
        schemas = [pq.read_schema(tmp_path / origin / "dev" / f"{kind}.parquet") for origin in ("hub", "file")]
        assert schemas[0].equals(schemas[1])


def load_one(tmp_path, name, **changes):
    facts = prepare(name, entry(name, **(mirror(tmp_path / "mirror", name) | changes)), tmp_path / "t", None)
    return by_mark(tmp_path / "t", facts), facts


def test_code_items_know_what_the_tests_call(tmp_path):
    found, _ = load_one(tmp_path, "mbpp")
    for number in (4, 5):
        question, reference = found[number]
        assert reference.gold["entry_point"] == f"twice_{number}"
        assert f"assert set(twice_{number}(0)) == {{0}}" in question.question
        assert f"twice_{number}(1)" not in question.question
        space = {}
        exec(reference.gold["test"], space)
        space["check"](lambda n: [n])
        with pytest.raises(AssertionError):
            space["check"](lambda n: [n + 1])
        assert ("LIMIT" in space) == bool(number % 2)


def test_humaneval_brings_its_header(tmp_path):
    found, _ = load_one(tmp_path, "humaneval")
    gold = found[3][1].gold
    assert gold["entry_point"] == "helper_3"
    assert gold["preamble"] == ROWS["humaneval"][0](3)["prompt"]


def test_questions_are_free_of_options_and_cues(tmp_path):
    found, _ = load_one(tmp_path, "blend")
    assert found[2][0].question == f"Which? {mark(2)}"
    assert found[2][1].group == '["China","Foo-1"]'


def test_agieval_reads_several_repositories(tmp_path):
    found, facts = load_one(tmp_path, "agieval")
    assert found[2][0].question == f"Which? {mark(2)}"
    assert {question.domain for question, _ in found.values()} == {"aqua-rat", "logiqa-en"}
    assert set(facts["revisions"]) == {"hails/agieval-aqua-rat", "hails/agieval-logiqa-en"}


def test_shuffled_options_have_a_fixed_order_and_move_the_gold(tmp_path):
    first, _ = load_one(tmp_path, "truthfulqa")
    again, _ = load_one(tmp_path, "truthfulqa", seed=5)
    places = {number: reference.gold["index"] for number, (_, reference) in first.items()}
    assert len(set(places.values())) > 1
    assert {number: reference.gold["index"] for number, (_, reference) in again.items()} == places


def test_rows_that_do_not_count_are_left_out(tmp_path):
    def make(i):
        row = ROWS["wildchat"][0](i)
        row["language"] = "German" if i == 0 else "English"
        row["toxic"] = i == 1
        row["conversation"][0]["content"] += "x" * (5000 if i == 2 else 1)
        return row

    mirror(tmp_path / "mirror", "wildchat", make=make)
    facts = prepare("wildchat", entry("wildchat"), tmp_path / "t", None)
    assert sorted(by_mark(tmp_path / "t", facts)) == [3, 4, 5, 6, 7]


def test_pictures_and_flagged_items_are_left_out(tmp_path):
    mirror(
        tmp_path / "mirror", "theoremqa", make=lambda i: ROWS["theoremqa"][0](i) | {"Picture": "p" if i < 3 else None}
    )
    facts = prepare("theoremqa", entry("theoremqa"), tmp_path / "t", None)
    assert sorted(by_mark(tmp_path / "t", facts)) == [3, 4, 5, 6, 7]
    make = lambda i: ROWS["mmlu_redux"][0](i) | {"error_type": "wrong" if i % 2 else "ok"}  # noqa: E731
    changes = mirror(tmp_path / "mirror", "mmlu_redux", make=make)
    facts = prepare("mmlu_redux", entry("mmlu_redux", **changes), tmp_path / "m", None)
    assert sorted(by_mark(tmp_path / "m", facts)) == list(range(0, 16, 2))


def test_groups_stay_on_one_side_and_nested_sets_agree(tmp_path):
    sides = {}
    for name, rows in (("gpqa_diamond", 20), ("gpqa_main", 30), ("gpqa_extended", 40)):
        mirror(tmp_path / "mirror", name, rows=rows)
        facts = prepare(name, entry(name), tmp_path / name, None)
        for number, (question, _) in by_mark(tmp_path / name, facts).items():
            assert sides.setdefault(number, question.split) == question.split
    assert len(sides) == 40
    for name in ("culturebench", "culturalbench_hard"):
        changes = mirror(tmp_path / "mirror", name, rows=80 if name == "culturebench" else 20)
        facts = prepare(name, entry(name, **changes), tmp_path / name, None)
        found = {}
        for question, reference in by_mark(tmp_path / name, facts).values():
            assert found.setdefault(reference.group, question.split) == question.split
        sides[name] = found
    assert sides["culturebench"] == sides["culturalbench_hard"]


def test_splits_cut_from_one_are_disjoint_and_of_the_registered_size(tmp_path):
    mirror(tmp_path / "mirror", "medqa", rows=60)
    facts = prepare("medqa", entry("medqa", source={"items": {"dev": 10, "test": 30}}), tmp_path / "t", None)
    assert {split: found["items"] for split, found in facts["splits"].items()} == {"dev": 10, "test": 30}
    assert len(by_mark(tmp_path / "t", facts)) == 40


def test_facts_name_the_data(tmp_path):
    _, facts = load_one(tmp_path, "gsm8k")
    assert facts["revisions"] == {"openai/gsm8k": None}
    ((address, fingerprint),) = facts["files"].items()
    assert address == "hf://datasets/openai/gsm8k@unknown"
    _, again = load_one(tmp_path, "gsm8k")
    assert again["files"] == facts["files"]
    mirror(tmp_path / "mirror", "gsm8k", make=lambda i: ROWS["gsm8k"][0](i) | {"answer": "#### 1"})
    assert prepare("gsm8k", entry("gsm8k"), tmp_path / "t", None)["files"][address] != fingerprint


COMMIT = "0123456789" * 4


def test_a_mirror_that_notes_its_commit_is_held_to_it(tmp_path):
    mirror(tmp_path / "mirror", "gsm8k")
    note = tmp_path / "mirror/openai/gsm8k/.cache/huggingface/download/README.md.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(f"{COMMIT}\netag\n0.0\n", encoding="utf-8")
    pinned = entry("gsm8k", source={"revision": COMMIT})
    assert prepare("gsm8k", pinned, tmp_path / "t", None)["revisions"] == {"openai/gsm8k": COMMIT}
    with pytest.raises(WorkError, match=rf"gsm8k@{'f' * 40} is not at hand; the mirror has {COMMIT}"):
        prepare("gsm8k", entry("gsm8k", source={"revision": "f" * 40}), tmp_path / "t", None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"configs": ["mian"]}, r"^tasks\.gsm8k\.source: openai/gsm8k has no configuration 'mian'"),
        ({"splits": {"test": "tset"}}, r"openai/gsm8k main has no split 'tset'; did you mean test\?"),
        (
            {"columns": {"question": "qestion"}},
            r"column 'qestion' is missing in openai/gsm8k main; did you mean question\?",
        ),
        ({"where": [{"column": "answer", "missing": True}]}, r"openai/gsm8k gives no \w+ item \(0 rows count\)"),
        ({"repository": "openai/nothing"}, r"the mirror has no folder .*openai/nothing; copy"),
    ],
)
def test_mistakes_are_one_line(tmp_path, changes, message):
    mirror(tmp_path / "mirror", "gsm8k")
    source = entry("gsm8k").source.slice() | changes
    with pytest.raises(RequestError, match=message):
        prepare("gsm8k", entry("gsm8k", dataset="gsm8k", source=source), tmp_path / "t", None)


def test_a_repository_without_network_and_mirror(tmp_path, monkeypatch):
    monkeypatch.delenv("MOCO_HUB_MIRROR")
    with pytest.raises(WorkError, match=r"openai/gsm8k is neither cached nor reachable \(\w+\); load it once"):
        prepare("gsm8k", entry("gsm8k"), tmp_path / "t", None)


def test_a_users_own_hub_dataset(tmp_path):
    rows = [{"text": f"What? {mark(i)}", "label": LETTERS[i % 2], "a": "x", "b": "y"} for i in range(6)]
    write_repository(tmp_path / "mirror", "me/own", {None: {"train": rows}}, form="jsonl")
    source = {
        "kind": "hub",
        "repository": "me/own",
        "splits": {"dev": "train", "test": "train"},
        "columns": {"question": "text", "options": {"columns": ["a", "b"]}, "gold": "label"},
        "gold": "letter",
    }
    task = entry("own", source=source, type="multiple_choice")
    facts = prepare("own", task, tmp_path / "t", None)
    assert [split["items"] for split in facts["splits"].values()] == [3, 3]
    assert right(*by_mark(tmp_path / "t", facts)[3]) == "y"


def test_planning_knows_layout_and_type_without_data():
    task = entry("gsm8k")
    assert (split_layout(task), task_type(task, "")) == (("dev", "test"), "exact_match")


def test_what_the_study_says_wins():
    task = entry("gsm8k", type="general_verifier", domain="sums", limit={"test": 3}, source={"revision": COMMIT})
    assert (task.type, task.domain, task.limit) == ("general_verifier", "sums", {"test": 3})
    assert (task.source.revision, task.source.repository) == (COMMIT, "openai/gsm8k")
    assert entry("mine", dataset="culturebench").group_score is True


def prepare_apart(tmp_path, environment, **source):
    """Prepare gsm8k in a process of its own, since the libraries read the hub's address when they are imported."""
    task = entry("gsm8k", source=source)
    command = [sys.executable, "-m", "moco", "prepare", "--results", str(tmp_path / "results"), "--task", "gsm8k"]
    with pytest.MonkeyPatch.context() as patch:
        use_study(patch, tmp_path, tasks={"gsm8k": task.model_dump(mode="json", exclude_unset=True)})
        patch.delenv("MOCO_HUB_MIRROR")
        environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    facts = tmp_path / "results/tasks/gsm8k/task.json"
    return done, json.loads(facts.read_text(encoding="utf-8"))["revisions"] if done.returncode == 0 else done.stderr


@pytest.mark.slow
def test_from_the_hub_itself_then_without_network(tmp_path):
    mirror(tmp_path / "hub", "gsm8k")
    (tmp_path / "hub" / GATED).mkdir(parents=True)
    commit = commit_of("openai/gsm8k")
    with serve(tmp_path / "hub") as online:
        _, revisions = prepare_apart(tmp_path, online)
        assert revisions == {"openai/gsm8k": commit}
        _, revisions = prepare_apart(tmp_path, online, revision=commit)
        assert revisions == {"openai/gsm8k": commit}
        for source, code, message in (
            ({"revision": "f" * 40}, 2, f"openai/gsm8k@{'f' * 40} does not exist, or access is not granted"),
            ({"repository": "openai/nothing"}, 2, "openai/nothing does not exist, or access is not granted"),
            ({"repository": GATED}, 2, f"{GATED} is gated and access is not granted; accept its terms at https://"),
        ):
            done, shown = prepare_apart(tmp_path, online, **source)
            assert done.returncode == code
            assert shown.splitlines()[-1].startswith(f"moco prepare: tasks.gsm8k.source: {message}")
            assert "Traceback" not in shown
    offline = {"HF_HUB_OFFLINE": "1"}
    _, revisions = prepare_apart(tmp_path, offline)
    assert revisions == {"openai/gsm8k": commit}
    done, shown = prepare_apart(tmp_path, offline, revision="f" * 40)
    assert done.returncode == 1
    assert f"openai/gsm8k@{'f' * 40} is not at hand; only {commit} is cached" in shown
    done, shown = prepare_apart(tmp_path, offline, configs=["other"])
    assert done.returncode in (1, 2)
    assert "Traceback" not in shown


def test_an_entry_point_may_be_named_like_one_of_pythons_own_functions():
    found = mbpp(["assert sum(10,15) == 6"], None)
    assert found["entry_point"] == "sum"
    space = {}
    exec(found["gold"], space)
    space["check"](lambda _a, _b: 6)
    with pytest.raises(AssertionError):
        space["check"](lambda a, b: a + b)


@pytest.mark.parametrize(
    ("solution", "gold"),
    [
        (r"so $x = \boxed{\frac{1}{2}}$, not \fbox{3}.", "3"),
        (r"$\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"\boxed{1} and $\boxed 7$", "7"),
        (r"\boxed{1", None),
        ("no box", None),
    ],
)
def test_the_gold_is_in_the_last_box(solution, gold):
    assert math(solution) == {"gold": gold}


def test_a_row_that_does_not_suit_is_one_line(tmp_path):
    mirror(tmp_path / "mirror", "truthfulqa", make=lambda i: ROWS["truthfulqa"][0](0 * i) | {"mc1_targets": {"a": "b"}})
    with pytest.raises(RequestError, match="row 0: function 'truthfulqa' does not suit the row"):
        prepare(
            "truthfulqa",
            entry("truthfulqa", source={"columns": {"question": "question"}, "function": "truthfulqa"}),
            tmp_path / "t",
            None,
        )


def test_columns_of_the_study_take_the_place_of_the_function(tmp_path):
    columns = {"question": "question", "gold": {"constant": "7"}}
    assert entry("gsm8k", source={"columns": columns}).source.function is None
    found, _ = load_one(tmp_path, "gsm8k", source={"columns": columns})
    assert {reference.gold for _, reference in found.values()} == {"7"}
