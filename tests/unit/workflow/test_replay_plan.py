"""The plan of a bundle: its own configuration, its own files, and nothing that overwrites another study's."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support.bundles import CONTENT, entry, finished_study, pack, results_of, sound

from moco.cli import main
from moco.config.load import load_study, study_from
from moco.errors import MocoError, RequestError, WorkError
from moco.workflow.plan import Plan
from moco.workflow.replay import replay

ITEMS = "--with-tasks"


def bundle_of(config: Path, *options: str) -> Path:
    output = config.parent / "b.tar.zst"
    arguments = ["--config", str(config), "--results", str(results_of(config)), "--output", str(output)]
    assert main(["bundle", "create", *arguments, *options]) == 0
    return output


def holding(study: bytes, path: Path) -> Path:
    """Write a sound bundle with any configuration."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["entries"]["study.yaml"] = {"sha256": sha256(study).hexdigest(), "size": len(study)}

    entries = sound(change)
    entries[1] = entry("study.yaml", study)
    return pack(path, entries)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def bundle(config: Path) -> Path:
    return bundle_of(config)


@pytest.mark.usefixtures("empty")
def test_tables_and_figures_are_planned_from_the_files_of_the_bundle(config: Path, bundle: Path):
    (plan, content), original = replay(bundle), Plan(load_study(config))
    assert set(plan.tabulate.collected) <= set(plan.bundled)
    assert plan.tabulate.collected == original.tabulate.collected
    assert set(plan.tabulate.task_files) <= set(plan.bundled)
    assert plan.report.digest(None) == original.report.digest(None)
    assert [name for name in original.tables if name != "data_quality"] == list(plan.tables)
    assert plan.figures == original.figures
    assert "no data_quality" in plan.notice
    again = Plan(study_from(content, "study file"))
    assert [again.tabulate.digest(None), again.report.digest(None)] == [
        original.tabulate.digest(None),
        original.report.digest(None),
    ]


@pytest.mark.usefixtures("empty")
def test_with_items_the_plan_is_that_of_the_study(config: Path, tmp_path: Path):
    (plan, _), original = replay(bundle_of(finished_study(tmp_path / "own"), ITEMS)), Plan(load_study(config))
    assert plan.tables == original.tables
    assert plan.tabulate.task_files == original.tabulate.task_files


@pytest.mark.usefixtures("empty")
def test_the_results_folder_is_where_the_first_output_lies(bundle: Path):
    plan, _ = replay(bundle)
    for folder in ("results/tiny", "module/out"):
        outputs = [path.replace("<results>", folder) for path in plan.bundled]
        assert plan.bundle_folder(None, outputs) == folder


def test_sources_of_tasks_and_their_variables_may_be_missing(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "items.jsonl").write_text(
        "".join(f'{{"question": "What is {i}?", "answer": "{i}"}}\n' for i in range(9))
    )
    monkeypatch.setenv("MY_DATA", str(tmp_path))
    source = {"kind": "table", "paths": dict.fromkeys(("dev", "test"), "${MY_DATA}/items.jsonl")}
    tasks = {"own": {"source": source, "type": "exact_match", "splits": "upstream"}}
    bundle = bundle_of(finished_study(tmp_path / "own", {**CONTENT, "tasks": tasks}))
    monkeypatch.delenv("MY_DATA")
    (tmp_path / "items.jsonl").unlink()
    assert replay(bundle)[0].bundled
    assert not list(empty.iterdir())


def test_results_of_other_studies_are_no_obstacle(empty: Path, bundle: Path):
    (empty / "results/other/models/add").mkdir(parents=True)
    (empty / "results/other/models/add/model.json").write_text("{}")
    assert replay(bundle)[0].bundled


def test_other_files_under_the_same_names_are_refused(config: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(config.parent)
    with pytest.raises(RequestError, match="differs from the file in the bundle"):
        replay(bundle)


@pytest.mark.usefixtures("empty")
def test_equal_files_are_no_obstacle(bundle: Path):
    main(["bundle", "extract", str(bundle), "--results", "results/tiny"])
    assert replay(bundle)[0].bundled


@pytest.mark.usefixtures("empty")
def test_a_bundle_that_lacks_an_input_of_a_figure_says_which(tmp_path: Path, config: Path):
    with pytest.raises(WorkError, match=r"lacks .*analysis/benchmark/scores.*replay it with moco 0"):
        replay(holding(config.read_bytes(), tmp_path / "b"))


@pytest.mark.parametrize("study", [b"\xff", b"- a list", b"a: [", b"study: s"])
@pytest.mark.usefixtures("empty")
def test_a_bundle_without_a_study_is_one_line(study: bytes, tmp_path: Path):
    with pytest.raises(MocoError):
        replay(holding(study, tmp_path / "b"))


def test_a_replayed_plan_imports_no_torch(empty: Path, bundle: Path):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from pathlib import Path; from moco.workflow.replay import replay\n"
        f"replay(Path({str(bundle)!r}))[0].report.digest(None); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=empty, check=True)
