"""`moco run` and `moco plan` become Snakemake with this installation's workflow; `moco init` writes what they can run."""

import sys
from pathlib import Path

import pytest
import yaml

from moco.cli import main
from moco.project import project

ROOT = Path(__file__).parents[3]
SNAKEFILE = ["--snakefile", str(ROOT / "Snakefile"), "--workflow-profile", str(ROOT / "profiles/default")]
LOCAL = ["--cores", "all", "--keep-going"]


class Became(BaseException):
    """Stands for the process that would run instead."""


@pytest.fixture
def became(monkeypatch, tmp_path):
    """Return the arguments of the Snakemake that a command becomes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text("study: s\n")

    def execute(program, command):
        assert command[:3] == [program, "-m", "snakemake"]
        assert program == sys.executable
        raise Became(command[3:])

    monkeypatch.setattr("os.execv", execute)

    def run(*arguments):
        with pytest.raises(Became) as stop:
            main(arguments)
        return stop.value.args[0]

    return run


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["run"], [*SNAKEFILE, *LOCAL]),
        (["run", "study.yaml"], [*SNAKEFILE, *LOCAL, "--configfile", "study.yaml"]),
        (["run", "--", "--cores", "2"], [*SNAKEFILE, *LOCAL, "--cores", "2"]),
        (["run", "study.yaml", "--", "--profile", "p"], [*SNAKEFILE, "--configfile", "study.yaml", "--profile", "p"]),
        (["run", "study.yaml", "--", "--profile=p"], [*SNAKEFILE, "--configfile", "study.yaml", "--profile=p"]),
        (["plan", "study.yaml"], [*SNAKEFILE, *LOCAL, "--configfile", "study.yaml", "--dry-run"]),
        (["plan", "--", "--cores", "2"], [*SNAKEFILE, *LOCAL, "--cores", "2", "--dry-run"]),
    ],
)
def test_what_follows_two_dashes_goes_to_snakemake(became, typed, expected):
    assert became(*typed) == expected


def test_the_profile_is_spelled_from_here_where_that_is_shorter(became, tmp_path, monkeypatch):
    inside = tmp_path / ".venv/lib/python3.11/site-packages/moco/project"
    monkeypatch.setattr("moco.cli.run.project", lambda: inside)
    arguments = became("run")
    assert arguments[:2] == ["--snakefile", str(inside / "Snakefile")]
    assert arguments[2:4] == ["--workflow-profile", f"{inside.relative_to(tmp_path)}/profiles/default"]


def test_who_names_no_profile_gets_what_the_local_one_says(became, monkeypatch):
    said = yaml.safe_load((ROOT / "profiles/local/profile.yaml").read_text())
    assert ["--cores", said.pop("cores"), *(f"--{name}" for name, value in said.items() if value is True)] == LOCAL
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "mine")
    assert became("run") == SNAKEFILE


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_study_that_is_not_there_is_one_line(verb, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([verb, "nope.yaml"]) == 2
    err = capsys.readouterr().err
    assert err == f"moco {verb}: nope.yaml: there is no such file; moco init writes one to begin with\n"


def test_without_the_extra_a_run_says_what_to_install_and_a_plan_does_not_need_it(became, monkeypatch, capsys):
    monkeypatch.setattr("moco.cli.run.find_spec", lambda _: None)
    assert main(["run"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "pip install 'PACKAGE[run]'" in err
    assert became("plan")[-1] == "--dry-run"


SERVED = """\
study: s
models:
  far: {kind: server, endpoint: "http://127.0.0.1:8000/v1", name: wise-1, date: 2026-01-31}
  further: {kind: server, endpoint: "http://127.0.0.1:8000/v1", name: wise-2, date: 2026-01-31}
pools: {two: [far, further]}
tasks: {sums: {source: {kind: synthetic, skills: [add]}}}
methods: {text_majority_vote: {}}
"""


def test_a_study_whose_models_are_all_served_runs_without_the_extra(became, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("moco.cli.run.find_spec", lambda _: None)
    (tmp_path / "served.yaml").write_text(SERVED)
    assert became("run", "served.yaml") == [*SNAKEFILE, *LOCAL, "--configfile", "served.yaml"]
    (tmp_path / "mixed.yaml").write_text(SERVED.replace("pools:", "  here: {kind: zoo}\npools:"))
    assert main(["run", "mixed.yaml"]) == 2
    assert "pip install 'PACKAGE[run]'" in capsys.readouterr().err


def test_init_writes_a_study_that_is_ready_and_a_profile(tmp_path, capsys):
    assert main(["init", str(tmp_path / "mine")]) == 0
    assert main(["check", str(tmp_path / "mine/study.yaml")]) == 0
    assert "study my_study is ready" in capsys.readouterr().out
    assert yaml.safe_load((tmp_path / "mine/profile/profile.yaml").read_text()) == {"cores": "all", "keep-going": True}
    for path in ("study.yaml", "profile/profile.yaml"):
        assert "# " in (tmp_path / "mine" / path).read_text()


def test_init_overwrites_nothing(tmp_path, capsys):
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile/profile.yaml").write_text("cores: 1\n")
    assert main(["init", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert not (tmp_path / "study.yaml").exists()
    assert (tmp_path / "profile/profile.yaml").read_text() == "cores: 1\n"


def test_a_checkout_runs_its_own_files():
    assert project() == ROOT
