"""A file that is forgotten is made again, with all that rests on it, and comes out the same."""

from pathlib import Path

import pytest
from support.projects import Project

from moco.cli import main

pytestmark = pytest.mark.slow

RESULTS = Path("results/small")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_what_is_forgotten_and_all_that_rests_on_it_is_planned_again(finished: Project, project: Project, split: str):
    (plain,) = (project.folder / RESULTS).glob(f"generations/add/zoo-exact_match-*/{split}/seed1/s0.parquet")
    before = {path.relative_to(project.folder) for path in (project.folder / RESULTS).rglob("*.parquet")}
    plain.unlink()
    assert "Nothing to be done" in project.planned().output
    project.run("moco", "forget", str(plain.relative_to(project.folder)))
    left = {path.relative_to(project.folder) for path in (project.folder / RESULTS).rglob("*.parquet")}
    planned = project.planned()
    gone = {path.parts[2] for path in before - left}
    for rule, folder in (("generate", "generations"), ("fit", "fits"), ("answer", "answers"), ("collect", "analysis")):
        assert (rule in planned.counts) == (folder in gone), rule
    assert ("fits" in gone) == (split == "dev")
    project.snakemake()
    assert main(["verify", str(finished.folder / RESULTS), str(project.folder / RESULTS)]) == 0
