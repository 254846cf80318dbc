"""Where a study may lie: in a workflow of somebody else's, behind links, beside another study."""

import os
import shutil
from pathlib import Path

import pytest
import yaml
from support.projects import Project, new_project
from support.warm import Warm

pytestmark = pytest.mark.slow

ITEMS = {"kind": "synthetic", "skills": ["add"], "items": {"test": 4}}
TINY = {
    "study": "tiny",
    "models": {"add": {"kind": "zoo"}, "recall": {"kind": "zoo", "steps": 10}},
    "pools": {"pair": ["add", "recall"]},
    "tasks": {"sums": {"source": ITEMS}},
    "decoding": {"default": {"max_new_tokens": 4}},
    "methods": {"text_majority_vote": {}},
}
USING = """
configfile: "config/config.yaml"

module moco:
    snakefile: "{snakefile}"
    config: config
    {where}

use rule * from moco as moco_*

rule extra:
    input: "{below}/tables/moco_main.csv"
    output: "extra.txt"
    shell: "wc -l {{input}} > {{output}}"

rule everything:
    default_target: True
    input: rules.moco_all.input, "extra.txt"
"""


def tiny_project(folder: Path, cache: Path, warm: Warm | None = None) -> Project:
    project = new_project(folder, cache, warm=warm)
    (project.folder / "config/config.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
    project.study = "tiny"
    return project


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, zoo_cache, warm) -> Project:
    """A finished study of two models and a vote."""
    project = tiny_project(tmp_path_factory.mktemp("tiny") / "project", zoo_cache, warm)
    project.snakemake()
    return project


@pytest.fixture
def elsewhere(tiny, tmp_path) -> Project:
    """A project with the same study, and the store of the finished one, without results."""
    project = tiny.copy(tmp_path / "project")
    shutil.rmtree(project.folder / "results")
    shutil.rmtree(project.folder / ".snakemake")
    return project


def made(project: Project) -> list[str]:
    """Return the folders of the project that are not the code's."""
    return sorted(
        path.name for path in project.folder.iterdir() if path.name not in ("config", "moco", "profiles", "workflow")
    )


@pytest.mark.parametrize(
    ("where", "below", "folder"),
    [
        ('pathvars:\n        results="out",\n        logs="out/logs",\n        benchmarks="bm"', "out", "out"),
        ('prefix: "sub"', "sub/results/tiny", "sub"),
    ],
    ids=["pathvars", "prefix"],
)
def test_another_workflow_uses_this_one_and_says_where_its_results_lie(tiny, elsewhere, where, below, folder):
    (elsewhere.folder / "Snakefile").write_text(
        USING.format(snakefile=elsewhere.folder / "workflow/Snakefile", where=where, below=below)
    )
    elsewhere.snakemake()
    assert (elsewhere.folder / "extra.txt").read_text().endswith(f"{below}/tables/moco_main.csv\n")
    done = elsewhere.run("moco", "verify", str(tiny.results), str(elsewhere.folder / below), check=False)
    assert done.stdout == "equal\n"
    assert set(made(elsewhere)) >= {folder, "extra.txt"}
    assert not (elsewhere.folder / "results").exists()
    assert not list((elsewhere.folder / folder).rglob(".moco")), "the store is the project's"
    planned = elsewhere.planned()
    assert "Nothing to be done" in planned.output


def test_results_behind_a_link_leave_the_store_where_it_is(tiny, elsewhere, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (elsewhere.folder / "results").symlink_to(disk)
    shards = sorted((elsewhere.folder / ".moco/store/generations").rglob("*.parquet"))
    elsewhere.snakemake()
    assert sorted(path.name for path in disk.iterdir()) == ["tiny"]
    assert not (tmp_path / ".moco").exists()
    assert sorted((elsewhere.folder / ".moco/store/generations").rglob("*.parquet")) == shards
    assert elsewhere.run("moco", "verify", str(tiny.results), str(elsewhere.results)).stdout == "equal\n"


def test_two_studies_of_one_folder_leave_each_other_alone(tiny, tmp_path):
    project = tiny.copy(tmp_path / "project")
    other = {**TINY, "study": "other", "models": {"add": {"kind": "zoo", "recipe": "recall"}}}
    other["pools"] = {"pair": ["add", "add"]}
    (project.folder / "other.yaml").write_text(yaml.safe_dump(other, sort_keys=False))
    before = {path: path.stat().st_mtime_ns for path in project.results.rglob("*") if path.is_file()}
    figure = "figures/moco_win_rate.pdf"
    project.snakemake("--configfile", "other.yaml")
    assert (project.folder / "results/other" / figure).is_file()
    assert before == {path: path.stat().st_mtime_ns for path in project.results.rglob("*") if path.is_file()}
    assert "Nothing to be done" in project.planned().output
    assert "Nothing to be done" in project.planned("--configfile", "other.yaml").output
    done = project.snakemake(f"results/other/{figure}", "--force", check=False)
    assert done.returncode != 0, "the configuration decides whose figure is made"
    assert (project.folder / "results/other" / figure).is_file()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, zoo_cache):
    project = tiny_project(tmp_path / "project", zoo_cache)
    (project.folder / ".moco").write_text("a file")
    lines = refusal(project)
    assert lines == [
        "moco: config/config.yaml: .moco/studies: cannot be written (Not a directory); run in a folder of your own"
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_line(tmp_path, zoo_cache):
    project = tiny_project(tmp_path / "project", zoo_cache)
    project.folder.chmod(0o555)
    try:
        [line] = refusal(project)
    finally:
        project.folder.chmod(0o755)
    assert "cannot be written (Permission denied); run in a folder of your own" in line


def refusal(project: Project) -> list[str]:
    done = project.snakemake("--dry-run", check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return [line.replace(f"{project.folder}/", "") for line in done.stderr.splitlines() if line.startswith("moco: ")]
