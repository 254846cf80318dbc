"""`moco check`: every mistake is one line with file, key and remedy."""

import gzip
import json
import re
from pathlib import Path

import pytest
import yaml

from moco.cli import main
from moco.config.load import load_study, read_yaml
from moco.errors import RequestError

pytestmark = pytest.mark.usefixtures("clean_environment")

BASE = """
study: s
models:
  add: {kind: zoo}
  recall: {kind: zoo}
pools:
  pair: [add, recall]
tasks:
  t: {source: {kind: synthetic, skills: [add], items: {dev: 4, test: 4}}}
"""


def changed(**changes: object) -> str:
    """Return the base study with keys replaced; a dotted key goes deeper, with `__` for the dot."""
    content = yaml.safe_load(BASE)
    for key, value in changes.items():
        *path, last = key.split("__")
        place = content
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return yaml.safe_dump(content, sort_keys=False)


def check(tmp_path: Path, capsys: pytest.CaptureFixture[str], *texts: str) -> tuple[int, list[str]]:
    for name in ("a/config.json", "b/config.json", "lora/adapter_config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    paths = []
    for number, text in enumerate(texts):
        text = text.replace("FOLDER", str(tmp_path))
        paths.append(tmp_path / f"study{number}.yaml")
        paths[-1].write_text(text, encoding="utf-8")
    code = main(["check", *map(str, paths), "--results", str(tmp_path / "results")])
    return code, capsys.readouterr().err.splitlines()


ZOO = {"kind": "zoo"}
FAMILIES = {
    "add": {"kind": "local", "path": "FOLDER/a", "family": "llama", "tokenizer": "one"},
    "recall": {"kind": "local", "path": "FOLDER/b", "family": "gpt_neox", "tokenizer": "one"},
}
TOKENIZERS = {
    "add": {"kind": "local", "path": "FOLDER/a", "family": "llama", "tokenizer": "one"},
    "recall": {"kind": "local", "path": "FOLDER/b", "family": "llama", "tokenizer": "two"},
}
SYNTHETIC = {"kind": "synthetic", "skills": ["add"]}

MISTAKES = {
    "unknown top-level key": (changed(modles={}), "", "unknown key 'modles'; did you mean models or methods?"),
    "a part of a training step that does not divide it": (
        changed(
            models__mine={"kind": "tuned", "base": "add", "tasks": ["t"], "training": {"batch": 4, "micro_batch": 3}}
        ),
        "models.mine.training",
        "micro_batch 3 does not divide batch 4",
    ),
    "groups of a training step that do not divide it": (
        changed(methods={"text_agglm": {"training": {"batch": 6, "group": 4}}}),
        "methods.text_agglm.training",
        "group 4 does not divide batch 6",
    ),
    "unknown key of a model": (
        changed(models__add={"kind": "zoo", "recpie": "add"}),
        "models.add",
        "unknown key 'recpie'; did you mean recipe?",
    ),
    "unknown key of a source": (
        changed(tasks__t={"source": {**SYNTHETIC, "sead": 1}}),
        "tasks.t.source",
        "unknown key 'sead'; did you mean seed?",
    ),
    "unknown setting of a method": (
        changed(methods={"text_majority_vote": {"tye": "dev"}}),
        "methods.text_majority_vote",
        "unknown key 'tye'; did you mean tie?; see `moco methods text_majority_vote`",
    ),
    "wrong value of a setting": (
        changed(methods={"text_majority_vote": {"tie": "coin"}}),
        "methods.text_majority_vote.tie",
        "'coin' is none of its choices; write random or dev; see `moco methods text_majority_vote`",
    ),
    "unknown method": (
        changed(methods={"text_majority_votes": {}}),
        "methods.text_majority_votes",
        "unknown method 'text_majority_votes'; did you mean text_majority_vote?",
    ),
    "unknown method of a variant": (
        changed(methods={"mine": {"method": "api_cascde"}}),
        "methods.mine",
        "unknown method 'api_cascde'; did you mean api_cascade?",
    ),
    "unknown model in a pool": (
        changed(pools__pair=["add", "recal"]),
        "pools.pair",
        "unknown model 'recal'; did you mean recall?",
    ),
    "unknown pool in a comparison": (
        changed(compare=[{"pools": ["pairs"]}]),
        "compare.0.pools",
        "unknown pool 'pairs'; did you mean pair?",
    ),
    "unknown task in a comparison": (
        changed(compare=[{"tasks": ["u"]}]),
        "compare.0.tasks",
        "unknown task 'u'; known: t",
    ),
    "unknown method in a comparison": (
        changed(compare=[{"methods": ["control_random"]}]),
        "compare.0.methods",
        "unknown method 'control_random'; known: none",
    ),
    "unknown task as a source": (
        changed(tasks__evo={"source": "tt"}),
        "tasks.evo.source",
        "unknown task 'tt'",
    ),
    "registered dataset that does not exist": (
        changed(tasks__gsm9k={}),
        "tasks.gsm9k.source",
        "'gsm9k' is no registered dataset, and the task names no source; did you mean gsm8k?; `moco tasks` lists them",
    ),
    "unknown dataset of a task": (
        changed(tasks__mine={"dataset": "popqe", "source": SYNTHETIC}),
        "tasks.mine.dataset",
        "unknown dataset 'popqe'; did you mean popqa?",
    ),
    "near miss of a registered dataset as a source": (
        changed(tasks__evo={"source": "gsm9k"}),
        "tasks.evo.source",
        "unknown task 'gsm9k'; did you mean gsm8k?",
    ),
    "registered dataset without a hub copy": (
        changed(tasks__sciencemeter={"from": "hub"}),
        "tasks.sciencemeter.from",
        "no copy of sciencemeter on the hub is known (it is in the release yikee/ScienceMeter, one JSON file for each "
        "field); leave out from",
    ),
    "registered dataset that the release has not": (
        changed(tasks__human_interest_tiny={"from": "release"}),
        "tasks.human_interest_tiny.from",
        "the release has no human_interest_tiny; give a file in MoCo's format: source: {kind: moco, path: "
        "human_interest_tiny.json}",
    ),
    "neither release nor hub": (
        changed(tasks__gsm8k={"from": "github"}),
        "tasks.gsm8k.from",
        "is 'github'; write release or hub",
    ),
    "two origins": (
        changed(tasks__gsm8k={"from": "release", "source": {"revision": "0" * 40}}),
        "tasks.gsm8k.from",
        "is for registered datasets that name no other source; leave out from, or source",
    ),
    "branch as revision of a dataset": (
        changed(tasks__gsm8k={"source": {"revision": "main"}}),
        "tasks.gsm8k.source.revision",
        "'main' is not a commit; write its 40 hexadecimal digits",
    ),
    "misspelt key of a registered source": (
        changed(tasks__gsm8k={"source": {"revison": "main"}}),
        "tasks.gsm8k.source",
        "unknown key 'revison'; did you mean revision?",
    ),
    "source splits that overlap": (
        changed(tasks__gsm8k={"source": {"splits": {"dev": ["train", "test"], "test": "test"}}}),
        "tasks.gsm8k.source.splits",
        "'test' would be in two splits; share the same splits of the source, or none",
    ),
    "unknown function for odd rows": (
        changed(tasks__gsm8k={"source": {"function": "gsm8"}}),
        "tasks.gsm8k.source.function",
        "unknown function 'gsm8'; did you mean gsm8k?",
    ),
    "sources in a circle": (
        changed(tasks__a={"source": "b"}, tasks__b={"source": "a"}),
        "tasks.a.source",
        "source leads back to 'a'; name a real source",
    ),
    "unknown zoo model": (
        changed(models__add={"kind": "zoo", "recipe": "addd"}),
        "models.add.recipe",
        "the zoo has no model 'addd'; did you mean add?",
    ),
    "adapter of the zoo without its base": (
        changed(models__lora={"kind": "zoo", "recipe": "lora_add"}),
        "models.lora",
        "rests on the zoo model 'base', which this study does not list; add it to models, with the same steps and seed: "
        "base: {kind: zoo}",
    ),
    "adapter of the zoo whose base has another seed": (
        changed(models__lora={"kind": "zoo", "recipe": "lora_add"}, models__base={"kind": "zoo", "seed": 1}),
        "models.lora",
        "rests on the zoo model 'base', which this study does not list",
    ),
    "adapter on an adapter of the zoo": (
        changed(
            models__base={"kind": "zoo"},
            models__lora={"kind": "zoo", "recipe": "lora_add"},
            models__more={"kind": "adapter", "base": "lora", "path": "FOLDER/lora"},
        ),
        "models.more.base",
        "is itself an adapter",
    ),
    "encoder in a pool": (
        changed(models__encoder={"kind": "zoo"}, pools__pair=["add", "encoder"]),
        "pools.pair",
        "encoder is a sentence encoder and answers no question; leave it out of the pool",
    ),
    "reward model in a pool": (
        changed(models__judge={"kind": "zoo", "recipe": "reward"}, pools__pair=["add", "judge"]),
        "pools.pair",
        "judge is a reward model and answers no question; leave it out of the pool",
    ),
    "unknown kind of model": (
        changed(models__add={"kind": "zooo"}),
        "models.add.kind",
        "is missing or unknown; one of 'hub', 'local', 'adapter', 'zoo'",
    ),
    "no kind of source": (
        changed(tasks__t={"source": {"skills": ["add"]}}),
        "tasks.t.source.kind",
        "is missing or unknown; add `kind`",
    ),
    "unknown decoding preset": (
        changed(decoding={"default": {}, "greedy": {}}, tasks__t__decoding="gredy"),
        "tasks.t.decoding",
        "unknown decoding preset 'gredy'; did you mean greedy?",
    ),
    "unknown task type": (
        changed(tasks__t__type="exact_matches"),
        "tasks.t.type",
        "no scorer for task type 'exact_matches'; did you mean exact_match?",
    ),
    "type against form": (
        changed(tasks__t__type="multiple_choice"),
        "tasks.t",
        "type is multiple_choice, but items of form 'exact' are exact_match",
    ),
    "wrong type": (changed(seeds="x"), "seeds", "is the text 'x'; write a list of whole numbers"),
    "wrong type in a comparison": (
        changed(compare=[{"tasks": 3}]),
        "compare.0.tasks",
        "is the number 3; write a list of names, or all",
    ),
    "number out of range": (
        changed(decoding={"default": {"top_p": 1.5}}),
        "decoding.default.top_p",
        "1.5 is too large; write a number of at most 1",
    ),
    "missing key": (changed(models__add={"kind": "local"}), "models.add.path", "is missing; add it"),
    "illegal name": (
        changed(models={"add": ZOO, "recall": ZOO, "b.c": ZOO}),
        "models.b.c",
        "'b.c' is not a name; use letters, digits, _ and single - only",
    ),
    "GPU model that Snakemake cannot pass on": (
        changed(site={"gpu_model": "a100-80gb"}),
        "site.gpu_model",
        "'a100-80gb' cannot be asked for; write one model; letters, digits, _ and . are allowed",
    ),
    "name with a double dash": (
        changed(pools={"a--b": ["add"]}),
        "pools.a--b",
        "'a--b' is not a name; use letters, digits, _ and single - only",
    ),
    "study with an illegal name": (changed(study="my study"), "study", "'my study' is not a name"),
    "pool below the minimum of a method": (
        changed(pools={"one": ["add"]}, methods={"weight_greedy_soup": {}}),
        "methods.weight_greedy_soup",
        "fits no pool: needs at least 2 models, the pool has 1 (pool one); leave it out, or add a pool",
    ),
    "architectures that differ": (
        changed(models=FAMILIES, methods={"weight_greedy_soup": {}}),
        "methods.weight_greedy_soup",
        "models must share one architecture: add has llama, recall has gpt_neox (pool pair)",
    ),
    "tokenizers that differ": (
        changed(models=TOKENIZERS, methods={"weight_greedy_soup": {}}),
        "methods.weight_greedy_soup",
        "models must share one tokenizer: add has one, recall has two (pool pair)",
    ),
    "base that does not exist": (
        changed(methods={"d": {"method": "weight_dare_ties", "base": "ad"}}),
        "methods.d",
        "names 'ad', which is not a model of this study; did you mean add?",
    ),
    "no base": (
        changed(methods={"weight_dare_ties": {}}),
        "methods.weight_dare_ties",
        "needs a model named as `base`, since not all members are adapters on one model (pool pair)",
    ),
    "adapters asked of whole models": (
        changed(methods={"weight_lorahub": {}}),
        "methods.weight_lorahub",
        "combines adapters on one model, and not all members are (pool pair)",
    ),
    "base of another architecture": (
        changed(models=FAMILIES, pools={"pair": ["add", "add"]}, methods={"weight_dare_ties": {"base": "recall"}}),
        "methods.weight_dare_ties",
        "models must share one architecture: add has llama, recall has gpt_neox (pool pair)",
    ),
    "one checkpoint twice": (
        changed(models__again={"kind": "zoo", "recipe": "add", "context": 1024}, pools__pair=["add", "again"]),
        "pools.pair",
        "add and again are the same checkpoint under different settings; for plain copies write add several times",
    ),
    "adapter without its base": (
        changed(models__lora={"kind": "adapter", "base": "ad", "path": "FOLDER/lora"}),
        "models.lora.base",
        "base 'ad' is not a model of this study; did you mean add?",
    ),
    "adapter on an adapter": (
        changed(
            models__lora={"kind": "adapter", "base": "add", "path": "FOLDER/lora"},
            models__more={"kind": "adapter", "base": "lora", "path": "FOLDER/lora"},
        ),
        "models.more.base",
        "is itself an adapter; name the full model",
    ),
    "adapter without files": (
        changed(models__lora={"kind": "adapter", "base": "add"}),
        "models.lora",
        "an adapter needs either path or repo; give one of them",
    ),
    "too few descriptions": (
        changed(pools__pair={"models": ["add", "recall"], "descriptions": ["adds"]}),
        "pools.pair.descriptions",
        "1 descriptions for 2 models; write one per model, in order",
    ),
    "no dev where a method fits": (
        changed(
            tasks__t={"source": {**SYNTHETIC, "items": {"dev": 0, "test": 4}}}, methods={"control_best_single": {}}
        ),
        "methods.control_best_single",
        "fits no task: needs a dev split to fit on; leave it out, or add a task that it can do",
    ),
    "dev limited to nothing": (
        changed(tasks__t__limit={"dev": 0}),
        "tasks.t.limit.dev",
        "leaves no dev item; allow at least one",
    ),
    "no test split": (
        changed(tasks__t={"source": {**SYNTHETIC, "items": {"dev": 4}}}),
        "tasks.t.source",
        "has no test split; add test items",
    ),
    "distill without dev": (
        changed(tasks__t={"source": {**SYNTHETIC, "items": {"test": 4}}, "distill": 0.5}),
        "tasks.t",
        "distill is cut off dev, but the source has no dev split; remove distill",
    ),
    "seed written twice": (changed(seeds=[1, 2, 1]), "seeds", "a seed is written twice; write every seed once"),
    "nothing compared": (changed(compare=[]), "compare", "is empty; leave it out to compare everything"),
    "no pool in a comparison": (
        changed(compare=[{"pools": []}]),
        "compare.0.pools",
        "is empty; name some, or leave it out for all",
    ),
    "missing folder of a model": (
        changed(models__add={"kind": "local", "path": "/nowhere/x"}),
        "models.add.path",
        "/nowhere/x does not exist; correct the path",
    ),
    "missing file of a task": (
        changed(tasks__t={"source": {"kind": "moco", "path": "/nowhere/x.json"}, "type": "exact_match"}),
        "tasks.t.source",
        "/nowhere/x.json does not exist; correct the path",
    ),
    "undefined variable in a model": (
        changed(models__add={"kind": "local", "path": "$MOCO_NO_SUCH/x"}),
        "models.add.path",
        "environment variable MOCO_NO_SUCH is not set; set it or write the path",
    ),
    "undefined variable in a task": (
        changed(tasks__t={"source": {"kind": "moco", "path": "${MOCO_NO_SUCH}/x"}, "type": "exact_match"}),
        "tasks.t (${MOCO_NO_SUCH}/x)",
        "environment variable MOCO_NO_SUCH is not set; set it or write the path",
    ),
    "revision not pinned": (
        changed(models__add={"kind": "hub", "repo": "o/n", "revision": None}),
        "models.add.revision",
        "is not pinned; write the commit of o/n",
    ),
    "branch as revision": (
        changed(models__add={"kind": "hub", "repo": "o/n", "revision": "main"}),
        "models.add.revision",
        "'main' is not a commit; write its 40 hexadecimal digits; branches and tags move",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_file_key_and_remedy(name, tmp_path, capsys):
    text, key, message = MISTAKES[name]
    code, lines = check(tmp_path, capsys, text)
    assert code == 2
    origin = f"{tmp_path / 'study0.yaml'}: " + (f"{key}: " if key else "")
    ours = [line for line in lines if line.startswith(origin) and message in line]
    assert len(ours) == 1, lines
    assert all("Traceback" not in line for line in lines)
    assert all(line.startswith(str(tmp_path / "study0.yaml")) for line in lines)


@pytest.mark.parametrize("name", [name for name in MISTAKES if name != "sources in a circle"])
def test_one_mistake_gives_one_line(name, tmp_path, capsys):
    assert len(check(tmp_path, capsys, MISTAKES[name][0])[1]) == 1


def test_a_study_without_mistakes_is_ready(tmp_path, capsys):
    (tmp_path / "study.yaml").write_text(changed(methods={"control_random": {}, "weight_greedy_soup": {}}))
    assert main(["check", str(tmp_path / "study.yaml"), "--results", str(tmp_path / "results")]) == 0
    out = capsys.readouterr().out
    assert "study s is ready (2 models, 1 pools, 1 tasks in 1 batches, 2 method variants, 0 pairs" in out


@pytest.mark.parametrize("path", ["config/config.yaml", "config/test/small.yaml"])
def test_the_studies_of_the_repository_are_ready(path, tmp_path, capsys):
    root = Path(__file__).parents[3]
    assert main(["check", str(root / path), "--results", str(tmp_path / "results")]) == 0, capsys.readouterr().err


def test_plain_copies_of_a_model_are_allowed(tmp_path, capsys):
    text = changed(pools__pair=["add", "add", "add"], methods={"text_majority_vote": {}, "weight_greedy_soup": {}})
    assert check(tmp_path, capsys, text) == (0, [])


@pytest.mark.usefixtures("registries")
def test_a_method_that_fits_no_task_type_is_named(tmp_path, capsys):
    from moco.methods.base import Answer, Method, Needs, method

    @method("text_choosy", level="text", task_types={"multiple_choice"}, papers=("2203.11171",))
    class Choosy(Method):
        """Answers multiple choice only."""

        def needs(self, _models):
            return Needs()

        def answer(self, _ctx, _state):
            yield Answer("", "")

    code, lines = check(tmp_path, capsys, changed(methods={"text_choosy": {}}))
    assert code == 2
    line = "methods.text_choosy: fits no task: text_choosy does not apply to exact_match tasks; leave it out, or add"
    assert len(lines) == 1
    assert line in lines[0]
    both = changed(methods={"text_choosy": {}}, tasks__q={"source": {**SYNTHETIC, "form": "choice"}})
    assert check(tmp_path, capsys, both) == (0, [])


def test_a_comparison_in_which_a_method_can_run_nowhere_is_named(tmp_path, capsys):
    text = changed(
        pools={"pair": ["add", "recall"], "one": ["add"]},
        methods={"weight_greedy_soup": {}},
        compare=[{"pools": ["pair"]}, {"pools": ["one"]}],
    )
    _, lines = check(tmp_path, capsys, text)
    assert len(lines) == 1
    assert "fits no pool in compare.1: needs at least 2 models" in lines[0]


def test_checkpoints_that_do_not_fit_on_the_disk_are_refused(tmp_path, capsys):
    big = {"kind": "local", "path": "FOLDER/a", "parameters": 1e15}
    text = changed(models={"add": big, "recall": {**big, "path": "FOLDER/b"}}, methods={"weight_greedy_soup": {}})
    code, lines = check(tmp_path, capsys, text)
    assert code == 2
    assert len(lines) == 1
    found = re.search(
        r": models: planned checkpoints need 4000000\.0 GB, [\d.]+ GB are free below .*; free space", lines[0]
    )
    assert found, lines


def test_a_source_whose_dev_split_is_empty_is_found_where_a_method_fits(tmp_path, capsys):
    items = [{"id": 1, "input": "1+1?", "output": "2"}]
    path = tmp_path / "data.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"dev": [], "test": items}).encode()))
    source = {"source": {"kind": "moco", "path": str(path)}, "type": "exact_match"}
    code, lines = check(tmp_path, capsys, changed(tasks={"t": source}, methods={"control_best_single": {}}))
    assert code == 2
    assert len(lines) == 1
    assert "tasks.t" in lines[0]
    assert "dev" in lines[0]


@pytest.mark.parametrize("other", [{"pools": {"pair": ["recall", "add"]}}, {"engine": {"dtype": "float32"}}])
def test_two_studies_may_mean_different_things_by_one_name(tmp_path, capsys, other):
    """Each has a results folder of its own."""
    assert check(tmp_path, capsys, changed(), changed(study="other", **other)) == (0, [])


@pytest.mark.parametrize(
    "change", [{"pools__pair": ["add"] * 33}, {"pools": {"a-b": ["add"], "a_b": ["recall"]}}], ids=["copies", "dash"]
)
def test_many_copies_and_names_that_differ_in_a_dash_only_are_no_mistakes(tmp_path, capsys, change):
    assert check(tmp_path, capsys, changed(methods={"control_random": {}}, **change)) == (0, [])


def test_two_studies_that_agree_are_ready_whatever_their_runtime_settings(tmp_path, capsys):
    other = changed(study="other", engine={"batch_rows": 1}, retries=2, pools__more=["add"])
    assert check(tmp_path, capsys, changed(), other) == (0, [])


def test_two_studies_may_not_have_one_name(tmp_path, capsys):
    code, lines = check(tmp_path, capsys, changed(), changed())
    assert code == 2
    assert lines == [
        f"{tmp_path / 'study1.yaml'}: study: {tmp_path / 'study0.yaml'} has the same name; rename one of them"
    ]


def test_all_mistakes_of_one_kind_are_reported_together(tmp_path, capsys):
    text = changed(
        seeds=[1, 1],
        pools__pair=["ad", "recal"],
        methods={"text_x": {}, "mine": {"method": "control_random", "x": 1}},
        tasks__t__decoding="other",
        models__lora={"kind": "adapter", "base": "nobody"},
    )
    _, lines = check(tmp_path, capsys, text)
    keys = sorted(line.split(": ")[1] for line in lines)
    assert keys == sorted(
        [
            "pools.pair",
            "pools.pair",
            "models.lora.base",
            "models.lora",
            "tasks.t.decoding",
            "methods.text_x",
            "methods.mine",
            "seeds",
        ]
    )


def test_an_unknown_key_hides_no_other_mistake(tmp_path, capsys):
    text = changed(
        modles={}, modells={}, seeds="x", models__add={"kind": "zoo", "x": 1, "steps": 0}, decoding={"d": {"top_p": 9}}
    )
    _, lines = check(tmp_path, capsys, text)
    assert len(lines) == 6


def test_mistakes_of_all_files_are_reported(tmp_path, capsys):
    _, lines = check(tmp_path, capsys, changed(seeds="x"), "study: [", changed(study="c", retries=-1))
    assert [Path(line.split(": ")[0]).name for line in lines] == ["study0.yaml", "study1.yaml", "study2.yaml"]


YAML = {
    "key written twice": (BASE + "study: t\n", r"line 10: key 'study' is written twice; correct that line"),
    "key written twice below": (
        BASE.replace("  recall:", "  add:").replace("add, recall", "add"),
        r"line 5: key 'add' is written",
    ),
    "mapping as a key": ("study: {{ name }}\n", r"line 1: a key must be one word; correct that line"),
    "open bracket": ("study: [\n", r"not valid YAML in line 2"),
    "control character": ("study: \x01\n", r"not valid YAML: unacceptable character"),
    "a list": ("- 1\n", r"holds no settings; see config/README.md"),
    "nothing": ("", r"holds no settings"),
}


@pytest.mark.parametrize("name", YAML)
def test_a_file_that_is_no_configuration_is_one_line(name, tmp_path, capsys):
    text, message = YAML[name]
    code, lines = check(tmp_path, capsys, text)
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"{tmp_path / 'study0.yaml'}: ")
    assert re.search(message, lines[0])


def test_a_missing_file_and_a_binary_file_are_one_line(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    for name in ("binary.yaml", "missing.yaml"):
        with pytest.raises(RequestError, match=rf"{name}: cannot be read .*; name a YAML file"):
            read_yaml(tmp_path / name)


def test_merge_keys_of_yaml_work(tmp_path):
    (tmp_path / "s.yaml").write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")
    assert read_yaml(tmp_path / "s.yaml") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


def test_replay_only_steers_a_run(tmp_path):
    (tmp_path / "s.yaml").write_text(BASE + "replay: bundle.tar\n")
    (tmp_path / "t.yaml").write_text(BASE)
    assert load_study(tmp_path / "s.yaml") == load_study(tmp_path / "t.yaml")
