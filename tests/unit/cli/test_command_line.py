"""The command: quick help, one line per error, exit codes that scripts can rely on."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.study_files import use_study

from moco import __version__
from moco.cli import VERBS, main
from moco.cli.jobs import plan
from moco.errors import RequestError, WorkError

pytestmark = pytest.mark.usefixtures("clean_environment")
HEAVY = ("torch", "transformers", "pandas", "pyarrow", "matplotlib", "scipy")


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [["--help"], [], ["help"], ["-h"]])
def test_help_lists_every_verb(arguments, capsys):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    for verb, text in VERBS.items():
        assert f"  {verb} " in out
        assert text in out


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"moco {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert f"usage: moco {verb}" in capsys.readouterr().out


def best_of_five(command: list[str]) -> float:
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - start

    return min(seconds() for _ in range(5))


@pytest.mark.parametrize("command", [["-c", "import moco"], ["-m", "moco", "--help"]])
def test_import_and_help_are_fast(command):
    assert best_of_five([sys.executable, *command]) < 1


@pytest.mark.parametrize(
    "code",
    [
        "import moco",
        "from moco.cli import main; main(['--help'])",
        "import moco.cli.check, moco.cli.generate, moco.cli.fit, moco.cli.answer, moco.cli.merge, moco.cli.zoo",
    ],
)
def test_light_commands_import_nothing_heavy(code):
    done = python(f"{code}\nimport sys\nprint('loaded', [name for name in {HEAVY!r} if name in sys.modules])")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded []"


@pytest.mark.parametrize("verb", ["methods", "check", "show", "tabulate", "plot", "score", "report", "verify"])
def test_verbs_without_models_never_import_torch(verb, tmp_path):
    (tmp_path / "s.yaml").write_text(
        "study: s\nmodels: {a: {kind: zoo, recipe: add}}\npools: {p: [a]}\nmethods: {control_random: {}}\n"
        "tasks: {t: {source: {kind: synthetic, skills: [add]}}}\n"
    )
    modules = {
        "tabulate": "moco.analysis.tables",
        "plot": "moco.analysis.figures",
        "report": "moco.analysis.report",
        "show": "moco.analysis.story_text",
        "score": "moco.jobs.score",
    }
    work = {
        "methods": "main(['methods', '--json'])",
        "check": f"main(['check', {str(tmp_path / 's.yaml')!r}])",
        "verify": f"main(['verify', {str(tmp_path)!r}, {str(tmp_path)!r}])",
    }.get(verb, f"__import__({modules.get(verb)!r})")
    code = f"from moco.cli import main\nassert main is not None\nprint({work})\nimport sys\nassert 'torch' not in sys.modules"
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_an_unknown_verb_is_a_wrong_request(capsys):
    assert main(["anwser"]) == 2
    assert capsys.readouterr().err == "moco anwser: unknown verb; did you mean answer?\n"


class Verb:
    """Stands in for a verb's module."""

    __doc__ = "Works."

    def __init__(self, outcome: object) -> None:
        self.outcome = outcome

    def configure(self, parser) -> None:
        parser.add_argument("--word", required=True)

    def run(self, _options) -> object:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


OUTCOMES = {
    "done": (None, 0, ""),
    "found differences": (1, 1, ""),
    "failed work": (
        WorkError("disk full", where="x", remedy="free space"),
        1,
        "moco verify: x: disk full; free space\n",
    ),
    "wrong request": (RequestError("no such pool"), 2, "moco verify: no such pool\n"),
    "interrupted": (KeyboardInterrupt(), 130, "moco verify: interrupted; finished requests are in the store\n"),
    "closed pipe": (BrokenPipeError(), 1, ""),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_exit_codes_say_whose_fault_it_was(name, monkeypatch, capsys):
    outcome, code, line = OUTCOMES[name]
    monkeypatch.setattr("moco.cli.import_module", lambda _name: Verb(outcome))
    assert main(["verify", "--word", "w"]) == code
    assert capsys.readouterr().err == line


def test_a_missing_option_is_a_wrong_request(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["answer", "--pool", "p"])
    assert stop.value.code == 2
    assert "required: --batch, --method, --seed, --split" in capsys.readouterr().err


JOB = ["generate", "--model", "m", "--batch", "b", "--split", "test", "--seed", "1", "--block", "s0"]


def test_a_verb_of_a_rule_needs_the_study(monkeypatch, tmp_path, capsys):
    assert main(JOB) == 2
    said = capsys.readouterr().err
    assert said.startswith("moco generate: MOCO_STUDY: no study is named; ")
    assert said.count("\n") == 1
    monkeypatch.setenv("MOCO_STUDY", str(tmp_path / "absent.json"))
    assert main(JOB) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"moco generate: MOCO_STUDY={tmp_path / 'absent.json'}: cannot be read (")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (JOB, "unknown batch 'b'; known: general-exact_match-"),
        (["resolve", "--model", "n"], "unknown model 'n'; known: m\n"),
        (["prepare", "--task", "u"], "unknown task 'u'; known: t\n"),
        (["merge", "--model", "a--b"], "unknown model 'a--b'"),
        (["resolve", "--model", "m", "--digest", "0"], "the study or the code is another one than that of the command"),
    ],
)
def test_names_that_the_study_lacks_are_one_line(monkeypatch, tmp_path, capsys, arguments, message):
    use_study(monkeypatch, tmp_path)
    assert main([*arguments, "--results", str(tmp_path / "results")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.splitlines()[-1].startswith(f"moco {arguments[0]}: ")
    assert not (tmp_path / "results").exists()


def test_a_job_with_a_digest_says_how_it_is_repeated(monkeypatch, tmp_path, capsys):
    use_study(monkeypatch, tmp_path)
    main(["prepare", "--task", "t", "--results", str(tmp_path / "a b")])
    assert "MOCO_STUDY" not in capsys.readouterr().err
    digest = plan().prepare.digest(SimpleNamespace(task="t"))
    main(["prepare", "--task", "t", "--results", str(tmp_path / "a b"), "--digest", digest])
    line = f"MOCO_STUDY={os.environ['MOCO_STUDY']} moco prepare --task t --results '{tmp_path}/a b' --digest {digest}\n"
    assert capsys.readouterr().err == line


def test_errors_are_one_line_without_a_traceback_in_a_process(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "moco", "check", "missing.yaml"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.startswith("missing.yaml: cannot be read (")
    assert done.stderr.count("\n") == 1


def test_the_reason_of_a_failure_is_left_for_the_parent(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCO_REASON_FILE", str(tmp_path / "reason"))
    assert main(["anwser"]) == 2
    assert (tmp_path / "reason").read_text() == "unknown verb; did you mean answer?"


def test_the_zoo_lies_where_the_environment_says(monkeypatch):
    from moco.config.expand import cache_root

    assert cache_root() == Path.home() / ".cache/moco"
    monkeypatch.setenv("MOCO_CACHE", "~/zoo")
    assert cache_root() == Path.home() / "zoo"
    assert "MOCO_CACHE" in os.environ
