"""What a bundle holds, what it leaves out, and that it is the same bytes every time."""

import io
import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from support.bundles import CONTENT, contents, finished_study, readable, results_of, texts_of

from moco import paths
from moco.bundle.create import resolved_yaml
from moco.bundle.licences import WITHHELD, terms_of
from moco.bundle.redact import Redaction
from moco.cli import main
from moco.config.datasets import dataset, dataset_names
from moco.config.load import load_study, study_from
from moco.config.tasks import TaskEntry
from moco.records import CALLS, GENERATIONS, RESPONSE_LOGITS, Provenance, read_rows, write_rows
from moco.workflow.plan import Plan

ROOT = Path(__file__).parents[3]
HUB = {"kind": "hub", "repository": "a/b", "splits": {"test": "test"}, "columns": {"question": "q", "gold": "a"}}


def create(config: Path, name: str = "b.tar.zst", *options: str) -> Path:
    output = config.parent / name
    arguments = ["--config", str(config), "--results", str(results_of(config)), "--output", str(output)]
    assert main(["bundle", "create", *arguments, *options]) == 0
    return output


def batch_of(config: Path) -> str:
    """Return the name of the study's only batch."""
    (batch,) = Plan(load_study(config)).matrix.batches
    return batch


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def bare(config: Path) -> dict[str, bytes]:
    return contents(create(config))


def test_equal_studies_give_equal_bytes(config: Path, tmp_path: Path):
    again = finished_study(tmp_path / "elsewhere")
    for path in again.parent.rglob("*"):
        path.touch()
    assert create(config).read_bytes() == create(again).read_bytes()


def test_all_that_the_study_made_is_packed_but_weights_and_what_is_made_anew(config: Path, bare: dict[str, bytes]):
    results, plan, batch = results_of(config), Plan(load_study(config)), batch_of(config)
    job = SimpleNamespace(part="benchmark")
    inputs = {path.removeprefix("<results>/") for path in [*plan.collect.scores(job), *plan.collect.measured(job)]}
    names = {name.removeprefix("results/") for name in bare}
    assert inputs <= names
    assert {paths.collected("benchmark", name) for name in ("scores", "costs", "jobs_perf")} <= names
    key = ("pair", batch, "refine-2", 1)
    assert {paths.answers(*key, "test"), paths.calls(*key, "test"), f"{paths.fit_folder(*key)}/mixed/fit.json"} <= names
    assert paths.scores("strict", paths.generation("add", batch, "dev", 1, "s0")) in names
    for name in ("checkpoints/add/model.safetensors", "tables/moco_main.csv", "figures/x.png", "logs/fit/x.json"):
        (results / name).parent.mkdir(parents=True)
        (results / name).write_bytes(b"more")
    (results / paths.fit_folder(*key) / ".snakemake_timestamp").touch()
    assert contents(create(config)) == bare


def test_files_of_a_task_that_the_study_no_longer_compares_stay_out(tmp_path: Path):
    content = {**CONTENT, "tasks": {**CONTENT["tasks"], "second": CONTENT["tasks"]["mixed"]}}
    config = finished_study(tmp_path, content)
    secret = texts_of(results_of(config), "second")
    config.write_text(yaml.safe_dump({**CONTENT, "compare": [{"tasks": ["mixed"]}], "tasks": content["tasks"]}))
    with pytest.raises(AssertionError):  # files of the new batch are missing
        create(config)
    finished_study(tmp_path, yaml.safe_load(config.read_text()))
    packed = contents(create(config))
    assert any("second" in path.as_posix() for path in results_of(config).rglob("*"))
    for name, data in packed.items():
        if name not in ("study.yaml", "manifest.json"):
            assert "second" not in readable(name, data), name
            assert not [text for text in secret if text in readable(name, data)], name
    left_out = json.loads(packed["manifest.json"])["left_out"]
    assert "of task second, which the study does not compare" in left_out.values()


def test_without_tasks_no_question_is_in_any_file(config: Path, bare: dict[str, bytes]):
    texts = texts_of(results_of(config), "mixed")
    assert len(texts) == 28
    for name, data in bare.items():
        said = readable(name, data)
        assert not [text for text in texts if text in said], name
    assert not [name for name in bare if name.endswith(("questions.parquet", "references.parquet"))]


def test_left_out_words_change_no_number(config: Path, bare: dict[str, bytes]):
    name = paths.generation("add", batch_of(config), "test", 1, "s0")
    packed = pq.ParquetFile(io.BytesIO(bare[f"results/{name}"])).read()
    original = read_rows(results_of(config) / name, GENERATIONS)
    kept = [column for column in packed.schema.names if column != "text"]
    assert packed.select(kept).to_pylist() == [{column: row[column] for column in kept} for row in original]
    assert packed.schema.metadata == pq.read_schema(results_of(config) / name).metadata
    assert packed["text"][0].as_py() == "You ask: [question left out] I say 7."


def test_with_tasks_items_of_the_workflow_are_packed_as_they_are(config: Path):
    packed = contents(create(config, "t.tar.zst", "--with-tasks"))
    results = results_of(config)
    for name, data in packed.items():
        if name.startswith("results/") and not name.endswith("model.json"):
            assert data == (results / name.removeprefix("results/")).read_bytes(), name
    assert {paths.questions("mixed", "test"), paths.references("mixed", "dev")} <= {
        name.removeprefix("results/") for name in packed
    }
    said = readable("x.parquet", packed[f"results/{paths.calls('pair', batch_of(config), 'refine-2', 1, 'test')}"])
    assert texts_of(results, "mixed")[-1] in said


def test_token_ids_of_replies_are_words_too(config: Path, tmp_path: Path):
    columns = {name: None for name in RESPONSE_LOGITS.columns.names}
    row = {
        **columns,
        "task": "mixed",
        "uid": "mixed/test/0",
        "tokens": [1, 2],
        "top_ids": [1, 2],
        "logprobs": [-0.5, -0.25],
    }
    write_rows(tmp_path / "s0.parquet", RESPONSE_LOGITS, [row], Provenance("logits"))
    entry = load_study(config).tasks["mixed"]
    for with_tasks, expected in ((False, None), (True, [1, 2])):
        redaction = Redaction(results_of(config), {"mixed": terms_of(entry, with_tasks=with_tasks)})
        changed = redaction.write_copy(tmp_path / "s0.parquet", tmp_path / "copy.parquet")
        assert changed is not with_tasks
        (kept,) = read_rows(tmp_path / ("copy.parquet" if changed else "s0.parquet"), RESPONSE_LOGITS)
        assert (kept["tokens"], kept["top_ids"], kept["logprobs"]) == (expected, expected, [-0.5, -0.25])


def gpqa(folder: Path, name: str) -> dict[str, Any]:
    rows = [
        {
            "question": f"Which of these secret particles has spin {i}?",
            "options": [f"alpha{i}", f"beta{i}"],
            "gold": "A",
        }
        for i in range(4)
    ]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = {
        "kind": "table",
        "paths": dict.fromkeys(("dev", "test"), str(folder / "items.jsonl")),
        "columns": {"question": "question", "options": "options", "gold": "gold"},
        "gold": "letter",
    }
    task = {"source": source, "dataset": name, "type": "multiple_choice", "domain": "general", "splits": "upstream"}
    return {**CONTENT, "tasks": {"science": {**task, "group_score": False}}}


def test_items_of_gpqa_are_never_packed_nor_what_models_wrote_about_them(tmp_path: Path):
    config = finished_study(tmp_path / "study", gpqa(tmp_path, "gpqa_main"))
    packed = contents(create(config, "b", "--with-tasks"))
    for name, data in packed.items():
        said = readable(name, data)
        assert "secret particles" not in said, name
        assert "I say 7" not in said, name
    about = json.loads(packed["manifest.json"])["tasks"]["science"]
    assert about == {
        "items": False,
        "texts": "none",
        "reason": "the authors of gpqa_main ask that its items are not published",
    }


def of_two_tasks(folder: Path) -> dict[str, Any]:
    """Return a study of which one batch has items of the workflow's own and items without a known licence."""
    rows = [{"question": f"Which number is hidden behind door {i}?", "answer": f"{i}{i}{i}"} for i in range(4)]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = {"kind": "table", "paths": dict.fromkeys(("dev", "test"), str(folder / "items.jsonl"))}
    own = {"source": source, "type": "exact_match", "splits": "upstream"}
    return {**CONTENT, "tasks": {**CONTENT["tasks"], "own": own}}


def test_what_a_fit_for_all_tasks_asked_for_no_item_is_cleaned_where_a_task_is_closed(tmp_path: Path):
    config = finished_study(tmp_path / "study", of_two_tasks(tmp_path))
    results, name = results_of(config), f"fits/pair/{paths.ALL}/refine-2/seed1/{paths.ALL}/calls.parquet"
    made = read_rows(results / paths.calls("pair", batch_of(config), "refine-2", 1, "test"), CALLS)
    calls = [{**made[0], "task": paths.ALL, "uid": "", "prompt": "hidden behind door"}, *made]
    write_rows(results / name, CALLS, calls, Provenance("fit"))
    packed = contents(create(config, "b", "--with-tasks"))
    first, *rest = pq.ParquetFile(io.BytesIO(packed[f"results/{name}"])).read().to_pylist()
    assert (first["task"], first["prompt"], first["text"], first["key"]) == (paths.ALL, None, None, made[0]["key"])
    assert {row["prompt"] is None for row in rest if row["task"] == "own"} == {True}
    assert {row["prompt"] is None for row in rest if row["task"] == "mixed"} == {False}


def test_in_a_file_of_several_tasks_the_rows_of_closed_ones_are_cleaned(tmp_path: Path):
    config = finished_study(tmp_path / "study", of_two_tasks(tmp_path))
    results, batch = results_of(config), batch_of(config)
    packed = contents(create(config, "b", "--with-tasks"))
    for name, data in packed.items():
        assert "hidden behind door" not in readable(name, data), name

    def rows(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        theirs = pq.ParquetFile(io.BytesIO(packed[f"results/{name}"])).read().to_pylist()
        return list(zip(theirs, pq.ParquetFile(results / name).read().to_pylist(), strict=True))

    cleaned = {
        paths.generation("add", batch, "test", 1, "s0"): {"text": "You ask: [question left out] I say 7."},
        paths.calls("pair", batch, "refine-2", 1, "test"): {
            "text": "You ask: [question left out] I say 7.",
            "prompt": None,
        },
        paths.logits("reference", "add", batch, "dev"): {"text": None},
        paths.collected("benchmark", "scores"): {"parsed": "[question left out]"},
    }
    for name, changes in cleaned.items():
        seen = set()
        for theirs, mine in rows(name):
            seen.add(mine["task"])
            assert theirs == (mine if mine["task"] == "mixed" else {**mine, **changes}), name
        assert seen == {"mixed", "own"}, name
    costs = paths.costs("pair", batch, "refine-2", 1, "test")
    assert packed[f"results/{costs}"] == (results / costs).read_bytes()
    assert f"results/{paths.questions('mixed', 'test')}" in packed
    assert f"results/{paths.questions('own', 'test')}" not in packed
    assert f"results/{paths.references('own', 'test')}" not in packed


def test_a_state_that_repeats_a_question_stays_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = finished_study(tmp_path)
    fit = results_of(config) / paths.fit_folder("pair", batch_of(config), "refine-2", 1) / "mixed/fit.json"
    fit.write_text(json.dumps({"examples": [texts_of(results_of(config), "mixed")[1]]}))
    name = f"results/{fit.relative_to(results_of(config))}"
    packed = contents(create(config))
    assert name not in packed
    assert json.loads(packed["manifest.json"])["left_out"][name] == "repeats questions"
    assert "1 files left out: repeats questions" in capsys.readouterr().out
    assert name in contents(create(config, "t", "--with-tasks"))


def test_folders_of_the_author_are_no_part_of_a_bundle(config: Path, bare: dict[str, bytes]):
    for name, data in bare.items():
        assert str(config.parent) not in readable(name, data), name


def test_the_commit_of_the_configuration_is_noted(tmp_path: Path):
    config = finished_study(tmp_path)
    assert json.loads(contents(create(config))["manifest.json"])["commit"] is None
    (tmp_path / ".gitignore").write_text("results\nb.tar.zst\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    clean = json.loads(contents(create(config))["manifest.json"])["commit"]
    assert re.fullmatch("[0-9a-f]{40}", clean)
    config.write_text(config.read_text() + "seeds: [1]\n")
    assert json.loads(contents(create(config))["manifest.json"])["commit"] == f"{clean}-dirty"


def test_a_study_that_is_not_finished_is_a_wrong_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = finished_study(tmp_path)
    arguments = ["--config", str(config), "--results", str(results_of(config)), "--output", str(tmp_path / "b")]
    key = ("pair", batch_of(config), "refine-2", 1, "test")
    for name in (paths.costs(*key), paths.collected("benchmark", "scores"), paths.references("mixed", "dev")):
        (results_of(config) / name).rename(tmp_path / "away")
        assert main(["bundle", "create", *arguments]) == 2
        error = capsys.readouterr().err
        assert f"{results_of(config) / name}: is missing; run the study to its end first" in error
        assert not (tmp_path / "b").exists()
        (tmp_path / "away").rename(results_of(config) / name)


def test_without_an_option_the_results_are_those_of_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    finished_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["bundle", "create", "--config", "study.yaml", "--output", "b"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["bundle", "extract", "../b"]) == 0
    assert [path.name for path in Path().iterdir()] == ["results"]
    assert Path("results/tiny/analysis/benchmark/scores.parquet").is_file()


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "config").rglob("*.yaml")) if path.stem != "profile"],
    ids=lambda path: path.stem,
)
def test_the_resolved_configuration_is_the_same_study(path: Path):
    study = load_study(path)
    again = study_from(yaml.safe_load(resolved_yaml(study)), "study.yaml")
    assert again.slice() == study.slice()
    for stage in ("tabulate", "report"):
        mine, theirs = (getattr(Plan(each), stage).slice(None) for each in (again, study))
        assert json.dumps(mine) == json.dumps(theirs)  # orders count: tables follow them


def entry_of(dataset_name: str | None) -> TaskEntry:
    return TaskEntry.model_validate({"source": HUB, "dataset": dataset_name})


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("gsm8k", "all"),  # MIT, confirmed
        ("blend", "all"),  # CC BY-SA, confirmed
        ("tablemwp_free_text", "replies"),  # not for commercial use
        ("agieval", "replies"),  # a mixture
        ("sciencemeter", "replies"),  # none stated
        (None, "replies"),  # not registered
        *((name, "none") for name in sorted(WITHHELD)),
    ],
)
def test_licences_decide_what_is_packed(name: str | None, texts: str):
    assert terms_of(entry_of(name), with_tasks=True).texts == texts
    assert terms_of(entry_of(name), with_tasks=False).texts == ("none" if texts == "none" else "replies")


def test_a_licence_from_memory_is_no_permission():
    known = {name: dataset(name) for name in dataset_names() if name not in WITHHELD}
    unsure = [name for name, about in known.items() if about.licence == "MIT" and about.licence_known == "memory"]
    assert unsure
    for name in unsure:
        assert terms_of(entry_of(name), with_tasks=True).texts == "replies"
