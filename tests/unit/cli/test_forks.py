"""A forked job is what a process of its own would be: words, folder, environment, streams, signals, end, measures."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake import benchmark
from support.study_files import use_study

from moco.cli import forks as cli_forks
from moco.cli import main
from moco.cli.forks import READY, asks
from moco.home import FORK_SERVER
from moco.workflow import forks
from moco.workflow.forks import fork_jobs

SERVER = """
import socket, sys
from pathlib import Path
from moco.cli.forks import READY, Forks
KEPT = "imported once"
def run(words):
    names = {"words": words, "KEPT": KEPT}
    exec(words[1], names)
    return names.get("code", 0)
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen(64)
folder = Path(sys.argv[1]).parent
(folder / READY).touch()
forks = Forks(listening, run)
print("ready", flush=True)
forks.serve()
"""

COMMAND = "import sys; from moco.cli import main; sys.exit(main(sys.argv[1:]))"


class Served:
    """A process that forks, here without any library, and commands that ask it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.address = folder, folder / "socket"
        command = [sys.executable, "-c", SERVER, str(self.address)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self.process.stdout.readline() == b"ready\n"

    def command(self, code: str) -> list[str]:
        return [sys.executable, "-c", COMMAND, "job", textwrap.dedent(code), "--digest", "d"]

    def environment(self, **further: str) -> dict[str, str]:
        return {**os.environ, FORK_SERVER: str(self.address), "OMP_NUM_THREADS": "1", **further}

    def start(self, code: str, **named) -> subprocess.Popen:
        return subprocess.Popen(self.command(code), env=self.environment(), **named)

    def run(self, code: str, environment: dict[str, str] | None = None, **named) -> subprocess.CompletedProcess[str]:
        environment = self.environment() if environment is None else environment
        return subprocess.run(self.command(code), env=environment, capture_output=True, text=True, **named)


@pytest.fixture
def served(tmp_path):
    found = Served(tmp_path / "served")
    yield found
    if not found.process.stdin.closed:
        found.process.communicate()


def wait_until(happened) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lives(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def number_in(path: Path) -> int:
    wait_until(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def test_words_folder_environment_streams_and_code_are_the_command_s(served, tmp_path):
    code = """
        import os, sys
        print(KEPT, os.getcwd(), os.environ["MINE"], "HOME" in os.environ, sys.argv[3:], words[2:])
        print(sys.stdin.read(), file=sys.stderr)
        code = 7
    """
    environment = served.environment(MINE="x y")
    del environment["HOME"]
    done = served.run(code, environment, cwd=tmp_path, input="typed")
    assert done.stdout == f"imported once {tmp_path} x y False ['--digest', 'd'] ['--digest', 'd']\n"
    assert done.stderr == "typed\n"
    assert done.returncode == 7


def test_long_words_arrive_whole(served):
    text = "é" * 50_000
    assert served.run(f"print(len('{text}'))").stdout == "50000\n"


def test_what_nobody_expected_is_a_traceback_and_an_exit_is_its_code(served):
    done = served.run("raise LookupError('gone')")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "LookupError: gone")
    assert served.run("import sys; sys.exit(5)").returncode == 5


def test_jobs_run_side_by_side_and_know_nothing_of_each_other(served, tmp_path):
    first = served.start(f"import time, pathlib\nwhile not pathlib.Path('{tmp_path}/go').exists(): time.sleep(0.01)")
    assert served.run(f"KEPT = 'changed'\nopen('{tmp_path}/go', 'w')").returncode == 0
    assert first.wait(60) == 0
    assert served.run("print(KEPT)").stdout == "imported once\n"


def test_a_signal_to_the_command_reaches_the_job(served, tmp_path):
    code = f"""
        import os, pathlib, signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
        pathlib.Path("{tmp_path}/job").write_text(str(os.getpid()))
        time.sleep(600)
    """
    command = served.start(code)
    number_in(tmp_path / "job")
    command.terminate()
    assert command.wait(60) == 9


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_job_that_a_signal_ends_ends_its_command_likewise(served, tmp_path, number):
    """As when memory runs out: what started the command must see the signal."""
    command = served.start(f"import os, time\nopen('{tmp_path}/job', 'w').write(str(os.getpid()))\ntime.sleep(600)")
    os.kill(number_in(tmp_path / "job"), number)
    assert command.wait(60) == -number


def test_a_job_goes_when_its_command_is_killed(served, tmp_path):
    command = served.start(f"import os, time\nopen('{tmp_path}/job', 'w').write(str(os.getpid()))\ntime.sleep(600)")
    job = number_in(tmp_path / "job")
    assert lives(job)
    command.kill()
    command.wait()
    wait_until(lambda: not lives(job))
    assert served.run("print(1)").stdout == "1\n"
    assert sorted(path.name for path in served.folder.iterdir()) == ["ready", "socket"]


def test_without_the_process_that_forks_its_jobs_end(served, tmp_path):
    code = f"import os, time\nopen('{tmp_path}/job', 'w').write(str(os.getpid()))\ntime.sleep(600)"
    command = served.start(code, stderr=subprocess.PIPE, text=True)
    job = number_in(tmp_path / "job")
    served.process.kill()
    assert command.communicate(timeout=60)[1] == "moco: the process that forks jobs has ended\n"
    assert command.returncode == 1
    wait_until(lambda: not lives(job))


@pytest.mark.parametrize("recipe", ["add", "lora_add"])
def test_peft_is_imported_ahead_where_a_model_of_the_study_is_an_adapter(recipe, monkeypatch, tmp_path):
    skills = {"source": {"kind": "synthetic", "skills": ["add"], "items": {"dev": 4, "test": 4}}}
    models = {"base": {"kind": "zoo"}, "m": {"kind": "zoo", "recipe": recipe}}
    use_study(monkeypatch, tmp_path, study="s", models=models, pools={"p": ["m"]}, tasks={"t": skills})
    imported = []
    monkeypatch.setattr(cli_forks, "import_module", imported.append)
    monkeypatch.setattr(cli_forks, "Forks", lambda *_: SimpleNamespace(serve=lambda: None))
    monkeypatch.setattr("gc.freeze", lambda: None)
    cli_forks.main(None, tmp_path)
    assert ("peft" in imported) == (recipe == "lora_add")
    assert "moco.engines.transformers" in imported


def test_it_ends_with_the_workflow(served):
    served.process.communicate(timeout=60)
    assert served.process.returncode == 0


def test_a_command_that_nobody_answers_does_its_own_work(tmp_path, monkeypatch, capsys):
    (tmp_path / READY).touch()
    monkeypatch.setenv(FORK_SERVER, str(tmp_path / "nothing"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert asks(["anwser", "--digest", "d"])
    assert main(["anwser", "--digest", "d"]) == 2
    assert "did you mean answer?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["score"], {}),
        (["score", "--digest", "d"], {FORK_SERVER: "off"}),
        (["score", "--digest", "d"], {FORK_SERVER: ""}),
        (["score", "--digest", "d"], {"OMP_NUM_THREADS": "4"}),
        (["score", "--digest", "d"], {"OMP_NUM_THREADS": ""}),
    ],
)
def test_tools_and_jobs_of_several_threads_start_as_ever(arguments, environment, monkeypatch, tmp_path):
    (tmp_path / READY).touch()
    for name, value in {FORK_SERVER: str(tmp_path / "socket"), "OMP_NUM_THREADS": "1", **environment}.items():
        monkeypatch.setenv(name, value)
    assert not asks(arguments)


def test_until_all_is_imported_only_jobs_wait_that_would_import_torch(monkeypatch, tmp_path):
    monkeypatch.setenv(FORK_SERVER, str(tmp_path / "socket"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert asks(["generate", "--digest", "d"])
    assert not asks(["score", "--digest", "d"])
    (tmp_path / READY).touch()
    assert asks(["score", "--digest", "d"])


def test_snakemake_measures_the_fork(served, monkeypatch):
    """A command alone takes no second of processor time and not these 300 megabytes."""
    monkeypatch.setattr(benchmark.BenchmarkTimer, "__init__", benchmark.BenchmarkTimer.__init__)
    forks._measure_forks(served.process.pid)
    code = """
        import time
        held = bytearray(b"1" * 300_000_000)
        while time.process_time() < 1.2: pass
        time.sleep(1.5)
    """
    record = benchmark.BenchmarkRecord()
    with served.start(code) as command, benchmark.benchmarked(command.pid, record):
        assert command.wait(120) == 0
    assert record.max_uss >= 300_000_000 / 2**20
    assert record.cpu_time >= 1.2


def a_workflow(jobs=50, local=True, executor_touches=False, deployed=(), main_process=True):
    return SimpleNamespace(
        is_main_process=main_process,
        executor_plugin=SimpleNamespace(common_settings=SimpleNamespace(local_exec=local)),
        touch=executor_touches,
        deployment_settings=SimpleNamespace(deployment_method=frozenset(deployed)),
        dag=range(jobs),
    )


def a_plan(use_gpu=False, bundle=None):
    return SimpleNamespace(bundle=bundle, study=SimpleNamespace(site=SimpleNamespace(use_gpu=use_gpu)))


@pytest.fixture
def started(monkeypatch):
    """Return the commands that would have been started."""
    found = []
    monkeypatch.setattr(forks, "_start", found.append)
    monkeypatch.setattr(forks, "_measure_forks", lambda _server: None)
    monkeypatch.delenv(FORK_SERVER, raising=False)
    yield found
    os.environ.pop(FORK_SERVER, None)


def test_jobs_of_this_machine_are_forked(started):
    fork_jobs(a_workflow(), a_plan())
    assert [str(address) for address in started] == [os.environ[FORK_SERVER]]


@pytest.mark.parametrize(
    ("workflow", "plan"),
    [
        ({"local": False}, {}),
        ({"main_process": False}, {}),
        ({"executor_touches": True}, {}),
        ({"deployed": ("conda",)}, {}),
        ({"jobs": 3}, {}),
        ({}, {"use_gpu": True}),
        ({}, {"bundle": Path("b.zip")}),
    ],
)
def test_others_are_not(started, workflow, plan):
    fork_jobs(a_workflow(**workflow), a_plan(**plan))
    assert not started
    assert FORK_SERVER not in os.environ


def test_off_is_off(started, monkeypatch):
    monkeypatch.setenv(FORK_SERVER, "off")
    fork_jobs(a_workflow(), a_plan())
    assert not started
