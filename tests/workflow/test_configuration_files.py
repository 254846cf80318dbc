"""Exactly one study is loaded, whoever names it."""

import pytest
import yaml
from support.projects import ROOT, new_project

pytestmark = pytest.mark.slow


@pytest.fixture
def bare(tmp_path, zoo_cache):
    """A project whose embedded study and a second one have nothing in common."""
    project = new_project(tmp_path / "project", zoo_cache)
    other = {
        "study": "other",
        "models": {"only": {"kind": "zoo", "recipe": "add"}},
        "pools": {"alone": ["only"]},
        "tasks": {"sums": {"source": {"kind": "synthetic", "skills": ["add"], "items": {"dev": 4, "test": 4}}}},
    }
    (project.folder / "other.yaml").write_text(yaml.safe_dump(other))
    return project


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, zoo_cache):
    """What is planned without any configuration."""
    return new_project(tmp_path_factory.mktemp("embedded") / "project", zoo_cache).planned()


def tasks(planned):
    return {message.removeprefix("preparing ") for message in planned.messages if message.startswith("preparing")}


def test_embedded_study_without_any_configuration(embedded):
    assert tasks(embedded) == {"mixed", "quiz"}


def test_named_configuration_file_alone(bare):
    assert tasks(bare.planned("--configfile", "other.yaml")) == {"sums"}


def test_single_setting_changes_the_embedded_study(bare, embedded):
    planned = bare.planned("--config", "seeds=[1,2]")
    assert tasks(planned) == {"mixed", "quiz"}
    assert planned.counts["generate"] == 2 * embedded.counts["generate"]
    assert "/seed2/s0.parquet" in planned.output


def test_configuration_file_of_a_profile(bare):
    folder = bare.folder / "profiles/mine"
    folder.mkdir()
    (folder / "profile.yaml").write_text("configfile: other.yaml\n")
    assert tasks(bare.planned("--workflow-profile", "profiles/mine")) == {"sums"}


def test_command_line_wins_over_a_profile(bare):
    folder = bare.folder / "profiles/mine"
    folder.mkdir()
    (folder / "profile.yaml").write_text("configfile: other.yaml\n")
    planned = bare.planned("--profile", "profiles/mine", "--configfile", "config/config.yaml")
    assert tasks(planned) == {"mixed", "quiz"}


def test_mistake_is_one_line_without_a_traceback(bare):
    done = bare.snakemake("--dry-run", "--config", "seed=3", check=False)
    assert done.returncode == 2
    assert "moco: config/config.yaml: unknown key 'seed'; did you mean seeds?\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert "File " not in done.stderr


@pytest.mark.parametrize("arguments", [["--configfile", "nope.yaml"], ["--configfile=nope.yaml"]])
def test_missing_file_is_one_line_without_a_traceback(bare, arguments):
    done = bare.snakemake("--dry-run", *arguments, check=False)
    assert done.returncode == 2
    assert "moco: nope.yaml: cannot be read (No such file or directory); name a YAML file\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_default_profile_shares_no_key_with_another_profile():
    profiles = {path.parent.name: yaml.safe_load(path.read_text()) for path in ROOT.glob("profiles/*/profile.yaml")}
    default = set(profiles.pop("default"))
    assert profiles
    for name, profile in profiles.items():
        assert not default & set(profile), name
        assert "set-resources" not in profile
