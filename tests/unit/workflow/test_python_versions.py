"""Other Python versions agree on source hashes, so that a results folder can move between them."""

import subprocess
import sys
from pathlib import Path

import pytest

from moco.methods.catalogue import method_class, method_ids
from moco.scoring import scorer_module, task_types
from moco.workflow.sources import source_hash

ROOT = Path(__file__).parents[3]
HASHES = """
import sys
sys.path.insert(0, sys.argv[1])
from moco.workflow.sources import source_hash
print(*(source_hash(module) for module in sys.argv[2:]))
"""


def interpreters():
    """Other Python versions that are installed, by version."""
    found = {}
    for minor in (12, 13, 14):
        name = f"python3.{minor}"
        for path in [Path(name), *sorted((Path.home() / ".pyenv/versions").glob(f"3.{minor}.*/bin/{name}"))]:
            try:
                done = subprocess.run(
                    [path, "-c", "import sys; print(sys.version_info[1])"], capture_output=True, text=True
                )
            except OSError:
                continue
            if done.stdout.strip() == str(minor) and minor != sys.version_info[1]:
                found[minor] = str(path)
    return found


OTHERS = interpreters()


@pytest.mark.skipif(not OTHERS, reason="no other Python version from 3.12 on is installed")
@pytest.mark.parametrize("minor", OTHERS)
def test_source_hashes_are_those_of_this_python(minor):
    modules = [method_class(id).__module__ for id in method_ids()]
    modules += [scorer_module(kind) for kind in task_types()] + ["moco.merging.build", "moco.jobs.joint"]
    command = [OTHERS[minor], "-c", HASHES, str(ROOT), *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [source_hash(module) for module in modules]
