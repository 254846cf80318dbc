"""What a bundle holds, what it leaves out, and that it is the same bytes every time."""

import io
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from support.bundles import CONTENT, contents, finished_study, readable, texts_of

from moco import paths
from moco.bundle.create import resolved_yaml
from moco.bundle.licences import WITHHELD, terms_of
from moco.bundle.redact import Redaction
from moco.cli import main
from moco.config.load import load_study, study_from
from moco.config.tasks import TaskEntry
from moco.records import GENERATIONS, RESPONSE_LOGITS, Provenance, read_rows, write_rows
from moco.tasks.catalogue import dataset, dataset_names
from moco.workflow.plan import Plan

ROOT = Path(__file__).parents[3]
HUB = {"kind": "hub", "repository": "a/b", "splits": {"test": "test"}, "columns": {"question": "q", "gold": "a"}}


def create(config: Path, name: str = "b.tar.zst", *options: str) -> Path:
    output = config.parent / name
    arguments = ["--config", str(config), "--results", str(config.parent / "results"), "--output", str(output)]
    assert main(["bundle", "create", *arguments, *options]) == 0
    return output


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


def test_all_that_the_plan_makes_is_packed_and_nothing_else(config: Path, bare: dict[str, bytes]):
    results, plan = config.parent / "results", Plan(load_study(config))
    inputs = {path.removeprefix("<results>/") for path in plan.analysis_inputs}
    names = {name.removeprefix("results/") for name in bare}
    assert inputs <= names
    key = ("pair", "mixed", "refine-2", 1)
    assert {paths.answers(*key, "test"), paths.calls(*key, "test"), f"{paths.fit_folder(*key)}/fit.json"} <= names
    assert paths.scores("strict", paths.generation("add", "mixed", "dev", "default", 1, 0)) in names
    strange = results / paths.generation("other", "mixed", "test", "default", 1, 0)
    strange.parent.mkdir(parents=True)
    strange.write_bytes((results / paths.generation("add", "mixed", "test", "default", 1, 0)).read_bytes())
    weights = results / "checkpoints/add/model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    assert contents(create(config)) == bare


def test_without_tasks_no_question_is_in_any_file(config: Path, bare: dict[str, bytes]):
    texts = texts_of(config.parent / "results", "mixed")
    assert len(texts) == 28
    for name, data in bare.items():
        said = readable(name, data)
        assert not [text for text in texts if text in said], name
    assert not [
        name for name in bare if name.endswith(("questions.parquet", "references.parquet", "reference.parquet"))
    ]


def test_left_out_words_change_no_number(config: Path, bare: dict[str, bytes]):
    name = paths.generation("add", "mixed", "test", "default", 1, 0)
    packed = pq.ParquetFile(io.BytesIO(bare[f"results/{name}"])).read()
    original = read_rows(config.parent / "results" / name, GENERATIONS)
    kept = [column for column in packed.schema.names if column != "text"]
    assert packed.select(kept).to_pylist() == [{column: row[column] for column in kept} for row in original]
    assert packed.schema.metadata == pq.read_schema(config.parent / "results" / name).metadata
    assert packed["text"][0].as_py() == "You ask: [question left out] I say 7."


def test_with_tasks_items_of_the_workflow_are_packed_as_they_are(config: Path):
    packed = contents(create(config, "t.tar.zst", "--with-tasks"))
    results = config.parent / "results"
    for name, data in packed.items():
        if name.startswith("results/") and not name.endswith("model.json"):
            assert data == (config.parent / name).read_bytes(), name
    assert {paths.questions("mixed", "test"), paths.references("mixed", "dev")} <= {
        name.removeprefix("results/") for name in packed
    }
    said = readable("x.parquet", packed[f"results/{paths.calls('pair', 'mixed', 'refine-2', 1, 'test')}"])
    assert texts_of(results, "mixed")[-1] in said


def test_token_ids_of_replies_are_words_too(config: Path, tmp_path: Path):
    columns = {name: None for name in RESPONSE_LOGITS.columns.names}
    row = {**columns, "uid": "mixed/test/0", "tokens": [1, 2], "top_ids": [1, 2], "logprobs": [-0.5, -0.25]}
    write_rows(tmp_path / "s0.parquet", RESPONSE_LOGITS, [row], Provenance("logits"))
    entry = load_study(config).tasks["mixed"]
    for with_tasks, expected in ((False, None), (True, [1, 2])):
        redaction = Redaction(
            config.parent / "results", {"mixed": terms_of(entry, with_tasks=with_tasks)}, {"mixed": ("dev", "test")}
        )
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


def test_a_state_that_repeats_a_question_stays_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = finished_study(tmp_path)
    fit = tmp_path / "results" / paths.fit_folder("pair", "mixed", "refine-2", 1) / "fit.json"
    fit.write_text(json.dumps({"examples": [texts_of(tmp_path / "results", "mixed")[1]]}))
    name = f"results/{fit.relative_to(tmp_path / 'results')}"
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
    (tmp_path / "results" / paths.costs("pair", "mixed", "refine-2", 1, "test")).unlink()
    arguments = ["--config", str(config), "--results", str(tmp_path / "results"), "--output", str(tmp_path / "b")]
    assert main(["bundle", "create", *arguments]) == 2
    error = capsys.readouterr().err
    assert "test_costs.parquet" in error
    assert "is missing" in error
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.yaml")), ids=lambda path: path.stem)
def test_the_resolved_configuration_is_the_same_study(path: Path):
    study = load_study(path)
    again = study_from(yaml.safe_load(resolved_yaml(study)), "study.yaml")
    assert again.slice() == study.slice()
    assert Plan(again).analysis_spec() == Plan(study).analysis_spec()
    assert list(Plan(again).analysis_spec()["methods"]) == list(Plan(study).analysis_spec()["methods"])


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
