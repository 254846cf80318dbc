"""Rebuilding outputs from a bundle: in a folder of its own, without torch, without any other configuration."""

import shutil
from pathlib import Path

import pytest
from support.bundles import contents, entry, finished_study, pack
from support.projects import Project, new_project
from support.warm import Warm

from moco.analysis.figures import write_figure
from moco.analysis.report import write_report
from moco.analysis.tables import write_table
from moco.cli import main
from moco.config.load import load_study
from moco.records import versions
from moco.workflow.plan import Plan

pytestmark = pytest.mark.slow

RESULTS = "results/tiny"
FIGURE = f"{RESULTS}/figures/moco_win_rate.pdf"


class Reviewer:
    """Someone with the code, a bundle, and neither torch nor any other configuration.

    Warm jobs have torch all the same.
    """

    def __init__(self, folder: Path, bundle: Path, warm: Warm | None = None) -> None:
        self.project = new_project(folder, folder / "no-cache", warm=warm)
        shutil.rmtree(folder / "config")
        self.bundle = shutil.copy(bundle, folder / "b.tar.zst")
        for name in ("torch", "transformers", "safetensors"):
            (folder / "missing" / name).mkdir(parents=True)
            (folder / "missing" / name / "__init__.py").write_text(f"raise ImportError('no {name} here')\n")
        self.environment = {"PYTHONPATH": f"{folder}:{folder / 'missing'}"}

    @property
    def results(self) -> Path:
        return self.project.folder / RESULTS

    def planned(self, *targets: str) -> dict[str, int]:
        done = self.snakemake("--dry-run", "--printshellcmds", *targets)
        table = done.partition("Job stats:")[2].partition("\n\n")[0].splitlines()[3:]
        return {row.split()[0]: int(row.split()[1]) for row in table if row.split()[0] != "total"}

    def snakemake(self, *arguments: str, check: bool = True) -> str:
        targets = [each for each in arguments if not each.startswith("-")]
        options = [each for each in arguments if each.startswith("-")]
        command = [*options, "--config", "replay=b.tar.zst", "--", *targets]
        done = self.project.snakemake(*command, check=check, **self.environment)
        return done.stdout + done.stderr


def bundle_of(folder: Path, config: Path, *options: str) -> Path:
    """Pack the study of a folder."""
    output = folder / "b.tar.zst"
    arguments = ["--config", str(config), "--results", str(folder / RESULTS), "--output", str(output)]
    assert main(["bundle", "create", *arguments, *options]) == 0
    return output


def write_outputs(folder: Path, config: Path) -> None:
    """Write all tables, figures and the report of a made-up study."""
    plan = Plan(load_study(config))
    about, results = plan.tabulate.slice(None), folder / RESULTS
    for name in plan.tables:
        write_table(name, about, results)
    for name in plan.figures:
        write_figure(name, about, results)
    write_report(plan.report.slice(None), results, results / "report.html", versions())


def assert_equal_outputs(original: Path, replayed: Path) -> None:
    for kind in ("tables", "figures"):
        assert main(["verify", str(original / kind), str(replayed / kind)]) == 0, kind


def test_one_figure_takes_two_jobs_and_no_torch(tmp_path: Path):
    config = finished_study(tmp_path / "author")
    write_outputs(tmp_path / "author", config)
    reviewer = Reviewer(tmp_path / "reviewer", bundle_of(tmp_path / "author", config))
    assert reviewer.planned(FIGURE) == {"bundle": 1, "plot": 1}
    assert not reviewer.results.exists()
    reviewer.snakemake(FIGURE)
    assert main(["verify", str(tmp_path / "author" / RESULTS / "figures"), str(reviewer.results / "figures")]) == 1
    made = {path.name for path in (reviewer.results / "figures").iterdir()}
    assert made == {"moco_win_rate.pdf", "moco_win_rate.png"}
    for name in made:
        mine, theirs = (tmp_path / who / RESULTS / "figures" / name for who in ("author", "reviewer"))
        assert mine.read_bytes() == theirs.read_bytes()
    refused = reviewer.snakemake(f"{RESULTS}/tables/data_quality.csv", check=False)
    assert f"No rule to produce {RESULTS}/tables/data_quality.csv" in refused
    assert "no data_quality: items are not in the bundle" in refused
    assert "Traceback" not in refused


def test_with_items_everything_comes_out_again(tmp_path: Path):
    config = finished_study(tmp_path / "author")
    write_outputs(tmp_path / "author", config)
    reviewer = Reviewer(tmp_path / "reviewer", bundle_of(tmp_path / "author", config, "--with-tasks"))
    assert reviewer.planned() == {"bundle": 1, "tabulate": 6, "plot": 2, "report": 1, "all": 1}
    reviewer.snakemake()
    assert_equal_outputs(tmp_path / "author" / RESULTS, reviewer.results)
    reports = [(tmp_path / who / RESULTS / "report.html").read_text() for who in ("author", "reviewer")]
    mine, theirs = (page.partition('<section id="reproduce">') for page in reports)
    assert mine[:2] == theirs[:2]  # what follows says where and by whom the page was made
    assert 'id="examples"' in theirs[0]
    assert "Nothing to be done" in reviewer.snakemake("--dry-run")


def test_no_other_configuration_is_loaded_and_no_file_overwritten(tmp_path: Path):
    config = finished_study(tmp_path / "author")
    reviewer = Reviewer(tmp_path / "reviewer", bundle_of(tmp_path / "author", config))
    (tmp_path / "reviewer/other.yaml").write_text("study: other\nnonsense: 1\n")
    said = reviewer.snakemake("--dry-run", "--configfile=other.yaml", FIGURE)
    assert "all other settings are left aside" in said
    assert "holds study tiny" in said
    mine = reviewer.results / "models/add/model.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("{}")
    said = reviewer.snakemake(FIGURE, check=False)
    (line,) = [line for line in said.splitlines() if line.startswith("moco:") and "differs" in line]
    assert line == f"moco: {RESULTS}/models/add/model.json: differs from the file in the bundle; use an empty folder"
    assert mine.read_text() == "{}"


def test_a_bundle_with_one_changed_file_stops_before_any_is_written(tmp_path: Path):
    config = finished_study(tmp_path / "author")
    reviewer = Reviewer(tmp_path / "reviewer", bundle_of(tmp_path / "author", config))
    files = contents(Path(reviewer.bundle))
    *_, last = files
    files[last] = files[last][:-2] + b"]\n"
    pack(Path(reviewer.bundle), [entry(name, data) for name, data in files.items()])
    said = reviewer.snakemake(FIGURE, check=False)
    assert f"b.tar.zst: is damaged or no bundle: '{last}' does not have its checksum; get it again" in said
    left = {path.relative_to(reviewer.results).parts[0] for path in reviewer.results.rglob("*") if path.is_file()}
    assert left <= {"logs"}


@pytest.mark.parametrize("options", [(), ("--with-tasks",)], ids=["bare", "with-tasks"])
def test_a_study_of_real_models_comes_out_again(
    finished: Project, warm: Warm, tmp_path: Path, options: tuple[str, ...]
):
    config = finished.folder / "config/config.yaml"
    bundle = tmp_path / "b.tar.zst"
    original = finished.folder / "results/small"
    arguments = ["--config", str(config), "--results", str(original), "--output", str(bundle)]
    assert main(["bundle", "create", *arguments, *options]) == 0
    assert main(["bundle", "verify", str(bundle)]) == 0
    # The bundle with items holds all of the other one; it is the one that has to do without torch.
    reviewer = Reviewer(tmp_path / "reviewer", bundle, None if options else warm)
    tables = ["moco_main", "moco_cost", "moco_paid_perf", "moco_jobs_perf", "moco_truncated"]
    tables += ["data_quality"] if options else []
    assert reviewer.planned() == {"bundle": 1, "tabulate": len(tables), "plot": 2, "report": 1, "all": 1}
    reviewer.snakemake()
    replayed = reviewer.project.folder / "results/small"
    for name in tables:
        mine, theirs = (folder / f"tables/{name}.csv" for folder in (original, replayed))
        assert mine.read_bytes() == theirs.read_bytes(), name
    assert main(["verify", str(original / "figures"), str(replayed / "figures")]) == 0
    assert ('id="data_quality"' in (replayed / "report.html").read_text()) == bool(options)
