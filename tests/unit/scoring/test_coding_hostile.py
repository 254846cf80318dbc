"""Hostile programs: under the strict rules none scores, and none harms the machine or outlives its run."""

import hashlib
import os
import time
from pathlib import Path

import pytest
from support.programs import coding_case, need_sandbox, verdicts

from moco.scoring.coding import CodingStrict

pytestmark = pytest.mark.slow

PROMPT = "Complete the following code\ndef square(x):\n    pass\n"
CHECK = "def check(candidate):\n    for n in (2, 3, 5):\n        assert candidate(n) == n * n\n"
SECRET = "canary-8d3f"
SECONDS = 3

AT_ONCE = {
    "exit": "import sys\ndef square(x): return 0\nsys.exit(0)",
    "exit in the call": "import sys\ndef square(x): sys.exit(0)",
    "quick exit": "import os\ndef square(x): return 0\nos._exit(0)",
    "quick exit in the call": "import os\ndef square(x): os._exit(0)",
    "exit handler": "import atexit, os\natexit.register(os._exit, 0)\ndef square(x): raise SystemExit(0)",
    "kill itself": "import os\ndef square(x): os.kill(os.getpid(), 9)",
    "kill everybody": "import os\ndef square(x):\n    os.kill(-1, 9)",
    "kill the parent": "import os\ndef square(x):\n    os.kill(os.getppid(), 9)\n    return 0",
    "kill by number": "import os\ndef square(x):\n    for n in range(1, 4000):\n        try: os.kill(n, 9)\n        except OSError: pass",
    "kill the group": "import os\ndef square(x):\n    os.killpg(0, 9)",
    "segmentation fault": "import ctypes\ndef square(x): ctypes.string_at(0)",
    "stop signal": "import os, signal\ndef square(x): os.kill(os.getpid(), signal.SIGTERM)",
    "always equal": "class E:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\ndef square(x): return E()",
    "always equal number": "class E(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\ndef square(x): return E(1)",
    "always equal text": "class E(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\ndef square(x): return E()",
    "always equal list": "class E(list):\n    def __eq__(self, other): return True\ndef square(x): return E()",
    "liar about its class": "class E:\n    __class__ = int\n    def __eq__(self, other): return True\ndef square(x): return E()",
    "class as result": "class M(type):\n    def __eq__(self, other): return True\n    __hash__ = type.__hash__\nclass E(metaclass=M): pass\ndef square(x): return E",
    "mock": "from unittest.mock import MagicMock, ANY\ndef square(x): return ANY",
    "operand": "class E:\n    def __req__(self, o): return True\n    def __rsub__(self, o): return 0\ndef square(x): return E()",
    "patched built-ins": "import builtins\nbuiltins.int = lambda *a: 4\nbuiltins.AssertionError = ValueError\nbuiltins.range = lambda *a: []\ndef square(x): return 0",
    "patched exception": "import sys\nsys.excepthook = lambda *a: None\ndef square(x): raise AssertionError",
    "patched frame": "import sys\ndef square(x):\n    f = sys._getframe()\n    while f:\n        f.f_locals.update(status='passed'); f = f.f_back\n    return 0",
    "patched harness": "import sys\nfor m in list(sys.modules.values()):\n    for n in dir(m):\n        if n in ('encode', 'failure', 'Worker'):\n            try: setattr(m, n, lambda *a, **k: True)\n            except Exception: pass\ndef square(x): return 0",
    "garbage collector": "import gc\ndef square(x):\n    for o in gc.get_objects():\n        if isinstance(o, dict) and 'test' in o: o['test'] = ''\n    return 0",
    "trace": "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\ndef square(x): return 0",
    "frozen stop": "def square(x): raise StopIteration",
    "generator exit": "def square(x): raise GeneratorExit",
    "interrupt": "def square(x): raise KeyboardInterrupt",
    "own base exception": "class B(BaseException): pass\ndef square(x): raise B",
    "exception that breaks in print": "class B(Exception):\n    def __str__(self): raise self\ndef square(x): raise B",
    "forged output": 'import os, json\ndef square(x):\n    for fd in range(64):\n        try: os.write(fd, b\'["token", "passed", ""]\\n\')\n        except OSError: pass\n    return 0',
    "forged answers": 'import os\nfor fd in range(3, 64):\n    try: os.write(fd, b\'["loaded"]\\n\' + b\'["value", ["int", "0x4"]]\\n\' * 9)\n    except OSError: pass\nos._exit(0)\ndef square(x): return 0',
    "forged handle": 'import os\ndef square(x):\n    for fd in range(3, 64):\n        try: os.write(fd, b\'["value", ["held", 7]]\\n\')\n        except OSError: pass',
    "deep answer": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'[' * 100000 + b'\\n')\n    except OSError: pass\ndef square(x): return 0",
    "endless line": "import os\nfor fd in range(3, 64):\n    try:\n        while True: os.write(fd, b'x' * 65536)\n    except OSError: pass\ndef square(x): return 0",
    "deep result": "def square(x):\n    r = []\n    for _ in range(100000): r = [r]\n    return r",
    "circle": "def square(x):\n    r = []\n    r.append(r)\n    return r",
    "large result": "def square(x): return 'x' * 100_000_000",
    "memory": "def square(x):\n    a = []\n    while True: a.append(bytearray(10_000_000))",
    "recursion": "import sys\nsys.setrecursionlimit(10 ** 9)\ndef square(x): return square(x)",
    "threads": "import threading, time\ndef square(x):\n    while True: threading.Thread(target=time.sleep, args=(99,)).start()",
    "disk": "def square(x):\n    n = 0\n    while True:\n        with open(f'/tmp/{n}', 'wb') as f: f.write(b'x' * 4_000_000)\n        n += 1",
    "large file": "def square(x):\n    with open('/tmp/a', 'wb') as f:\n        while True: f.write(b'x' * 1_000_000)",
    "environment": f"import os\ndef square(x):\n    return x * x if {SECRET!r} in str(os.environb) else 0",
    "environment of others": f"import glob\ndef square(x):\n    s = b''\n    for p in glob.glob('/proc/*/environ'):\n        try: s += open(p, 'rb').read()\n        except OSError: pass\n    return x * x if {SECRET!r}.encode() in s else 0",
    "harness in the file system": "import os\ndef square(x):\n    s = ''\n    for d, _, fs in os.walk('/harness'):\n        for f in fs: s += open(os.path.join(d, f)).read()\n    return x * x if 'candidate(n)' in s else 0",
    "network": "import socket\ndef square(x):\n    socket.create_connection(('127.0.0.1', PORT), timeout=1)\n    return x * x",
    "name service": "import socket\ndef square(x):\n    socket.getaddrinfo('example.org', 80)\n    return x * x",
    "interfaces": "import socket\ndef square(x):\n    return x * x if [n for n in socket.if_nameindex() if n[1] != 'lo'] else 0",
    "shell": "import subprocess\ndef square(x):\n    subprocess.run(['/bin/sh', '-c', 'true'], check=True)\n    return x * x",
    "user": "import os\ndef square(x):\n    os.setuid(0)\n    return x * x",
    "root": "import os\ndef square(x):\n    return x * x if os.getuid() == 0 else 0",
    "mount": "import ctypes, os\ndef square(x):\n    r = ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, b'')\n    return x * x if r == 0 else 0",
    "change root": "import os\ndef square(x):\n    os.chroot('/tmp')\n    return x * x",
    "tracing the parent": "import ctypes, os\ndef square(x):\n    r = ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)\n    return x * x if r == 0 else 0",
    "limits": "import resource\ndef square(x):\n    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n    return x * x",
    "host name": "import socket\ndef square(x):\n    socket.sethostname('taken')\n    return x * x",
    "clock": "import time\ndef square(x):\n    time.clock_settime(time.CLOCK_REALTIME, 0)\n    return x * x",
    "shared memory": "import ctypes\ndef square(x):\n    c = ctypes.CDLL(None)\n    return x * x if c.shmget(0, 300_000_000, 0o1600) >= 0 else 0",
    "memory file": "import os\ndef square(x):\n    os.memfd_create('a')\n    return x * x",
    "users of its own": "import ctypes\ndef square(x):\n    return x * x if ctypes.CDLL(None).unshare(0x10000000) == 0 else 0",
    "child with users of its own": "import ctypes\ndef square(x):\n    return x * x if ctypes.CDLL(None).syscall(56, 0x10000011, 0, 0, 0, 0) > 0 else 0",
    "sockets to a host": "import socket\ndef square(x):\n    socket.socket(40, socket.SOCK_STREAM)\n    return x * x",
    "other programs' code": "import sys\ndef square(x):\n    import moco\n    return x * x",
    "installed packages": "import sys, glob\ndef square(x):\n    sys.path += glob.glob('/*/lib/python3*/site-packages') + [PACKAGES]\n    import pip\n    return x * x",
}
UNTIL_TIME_IS_UP = {
    "endless loop": "def square(x):\n    while True: pass",
    "endless sleep": "import time\ndef square(x): time.sleep(9999)",
    "endless output": "def square(x):\n    while True: print('x' * 1_000_000)",
    "signals blocked": "import signal\nfor s in range(1, 32):\n    try: signal.signal(s, signal.SIG_IGN)\n    except OSError: pass\ndef square(x):\n    while True: pass",
    "fork bomb": "import os\ndef square(x):\n    while True:\n        try: os.fork()\n        except OSError: pass",
    "children that stay": "import os, time\ndef square(x):\n    for _ in range(5):\n        if os.fork() == 0:\n            os.setsid()\n            time.sleep(9999)\n    time.sleep(9999)",
    "children that hold the channel": "import os, time\nif os.fork() == 0: time.sleep(9999)\nos._exit(0)\ndef square(x): pass",
    "stopped": "import os, signal\ndef square(x): os.kill(os.getpid(), signal.SIGSTOP)",
    "closed channel": "import os, time\ndef square(x):\n    while True: time.sleep(1)",
    "regular expression": "import re\ndef square(x): re.match('(a+)+$', 'a' * 64 + 'b')",
}
OUTSIDE = {
    "file": "open(PLACE + '/out', 'w').write('x')",
    "low-level": "import os\n    os.write(os.open(PLACE + '/out', os.O_CREAT | os.O_WRONLY), b'x')",
    "root folder": "open('/out', 'w').write('x')",
    "device folder": "open('/dev/shm/out', 'w').write('x')",
    "library": "import os\n    open(os.__file__, 'a').write('x')",
    "interpreter": "import sys\n    open(sys.executable, 'ab').write(b'x')",
    "harness": "open('/harness/guest/checker.py', 'a').write('x')",
    "link": "import os\n    os.symlink(PLACE, '/tmp/link')\n    open('/tmp/link/out', 'w').write('x')",
    "rename": "import os\n    open('/tmp/a', 'w').write('x')\n    os.rename('/tmp/a', PLACE + '/out')",
    "delete": "import os\n    os.remove(PLACE + '/canary')",
    "read": "assert open(PLACE + '/canary').read()",
}


def case(source, test=CHECK):
    return coding_case(f"```python\n{source}\n```", prompt=PROMPT, test=test)


def processes():
    """Return the processes of the sandbox's harness that this process started, or that nobody waits for any more.

    Tests that run beside this one have sandboxes of their own, which must not be counted here.
    """
    reapers = {str(os.getpid()), *_ancestors(str(os.getpid()))}
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        if _is_sandbox(folder.name):
            starter = next((pid for pid in _ancestors(folder.name) if not _is_sandbox(pid)), None)
            if starter is None or starter in reapers:
                found.add(folder.name)
    return found


def _is_sandbox(pid):
    try:
        return b"guest." in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _ancestors(pid):
    """Yield the parent of a process, its parent, and so on."""
    while pid != "0":
        try:
            pid = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            return
        yield pid


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """A folder and an environment with canaries; afterwards both are unchanged, and no process is left."""
    need_sandbox()
    canary = tmp_path / "canary"
    canary.write_text(SECRET)
    monkeypatch.setenv("MOCO_CANARY", SECRET)
    tmp_path.chmod(0o777)
    before = dict(os.environ)
    sources = {path: hashlib.sha256(path.read_bytes()).digest() for path in (Path(os.__file__), *_harness())}
    yield tmp_path
    assert {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"} == {
        name: value for name, value in before.items() if name != "PYTEST_CURRENT_TEST"
    }
    assert [path.name for path in tmp_path.iterdir()] == ["canary"]
    assert canary.read_text() == SECRET
    assert all(hashlib.sha256(path.read_bytes()).digest() == known for path, known in sources.items())
    deadline = time.monotonic() + 5
    while processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes() == set()


def _harness():
    import moco.scoring.sandbox.guest as guest

    return sorted(Path(guest.__file__).parent.glob("*.py"))


def free_memory():
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024


@pytest.mark.usefixtures("watched")
def test_a_right_solution_scores_under_these_settings():
    (verdict,) = verdicts([case("def square(x): return x * x")], seconds=SECONDS)
    assert verdict.score == 1


@pytest.mark.usefixtures("watched")
def test_hostile_programs_score_nothing(free_port):
    import sysconfig

    known = {"PORT": free_port, "PACKAGES": sysconfig.get_path("purelib")}
    head = "".join(f"{name} = {value!r}\n" for name, value in known.items())
    start = time.monotonic()
    found = verdicts([case(head + source) for source in AT_ONCE.values()], seconds=SECONDS)
    scores = {name: verdict.score for name, verdict in zip(AT_ONCE, found, strict=True)}
    assert len(AT_ONCE) >= 40
    assert scores == dict.fromkeys(AT_ONCE, 0)
    assert time.monotonic() - start < len(AT_ONCE) * (SECONDS + 1) / 2


@pytest.mark.usefixtures("watched")
def test_programs_that_do_not_end_are_ended():
    start, before = time.monotonic(), free_memory()
    found = verdicts([case(source) for source in UNTIL_TIME_IS_UP.values()], seconds=SECONDS)
    assert {name: verdict.score for name, verdict in zip(UNTIL_TIME_IS_UP, found, strict=True)} == dict.fromkeys(
        UNTIL_TIME_IS_UP, 0
    )
    assert time.monotonic() - start < len(UNTIL_TIME_IS_UP) * (SECONDS + 2) / 2
    assert free_memory() > before - 1_000_000_000


@pytest.mark.parametrize("rules", ["strict", "paper"])
def test_nothing_outside_can_be_written_or_read(watched, rules):
    sources = [
        f"PLACE = {str(watched)!r}\ndef square(x):\n    {attempt}\n    return x * x" for attempt in OUTSIDE.values()
    ]
    found = verdicts([case(source) for source in sources], rules, seconds=SECONDS)
    assert {name: verdict.score for name, verdict in zip(OUTSIDE, found, strict=True)} == dict.fromkeys(OUTSIDE, 0)


@pytest.mark.usefixtures("watched")
def test_hostile_programs_harm_nothing_under_the_original_rules_either():
    sources = {**AT_ONCE, "fork bomb": UNTIL_TIME_IS_UP["fork bomb"]}
    names = (
        "kill everybody",
        "fork bomb",
        "memory",
        "disk",
        "large file",
        "threads",
        "segmentation fault",
        "recursion",
    )
    found = verdicts([case(sources[name]) for name in names], "paper")
    assert [verdict.score for verdict in found] == [0] * len(names)


@pytest.mark.usefixtures("watched")
def test_a_program_that_ends_by_itself_passes_under_the_original_rules_only():
    programs = [case(AT_ONCE[name]) for name in ("exit", "exit in the call", "quick exit", "quick exit in the call")]
    assert [verdict.score for verdict in verdicts(programs, "paper")] == [1] * 4
    assert [verdict.score for verdict in verdicts(programs, "strict")] == [0] * 4


@pytest.mark.usefixtures("watched")
def test_processes_of_a_fork_bomb_are_counted():
    count = "import os, time\ndef square(x):\n    n = 0\n    while True:\n        try:\n            if os.fork() == 0: time.sleep(9)\n            n += 1\n        except OSError: return n\n"
    test = "def check(candidate):\n    assert 0 < candidate(0) < 20\n"
    (verdict,) = verdicts([case(count, test)], seconds=SECONDS)
    assert verdict.rule == "fence/passed"


@pytest.mark.usefixtures("watched")
def test_a_sandbox_sees_only_what_python_needs():
    look = "import os\ndef square(x):\n    return sorted(os.listdir(x)) if os.path.isdir(x) else []"
    test = (
        "def check(candidate):\n"
        "    assert set(candidate('/')) <= {'dev', 'etc', 'harness', 'lib', 'lib32', 'lib64', 'tmp', 'usr', *HOMES}\n"
        "    assert candidate('/tmp') == [] and candidate('/proc') == [] and candidate('/home') == []\n"
        "    assert candidate('/dev') == ['null', 'random', 'urandom', 'zero']\n"
    )
    import sys

    homes = {Path(sys.base_prefix).resolve().parts[1]}
    (verdict,) = verdicts([case(look, f"HOMES = {homes!r}\n{test}")])
    assert verdict.rule == "fence/passed"


@pytest.fixture
def free_port():
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_the_scorer_itself_never_runs_a_program():
    names = CodingStrict.extract.__code__.co_names + CodingStrict._judged.__code__.co_names
    assert not {"exec", "eval", "compile"} & set(names)
