"""What jobs import when all that they ask of models is in the store: an import budget for every verb."""

import json
import shlex
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

LARGE = ("torch", "transformers", "tokenizers", "matplotlib", "scipy", "datasets", "peft", "sympy")

BUDGET: dict[str, set[str]] = {
    "prepare": set(),
    "zoo": set(),
    "resolve": {"tokenizers"},
    "generate": {"transformers", "tokenizers"},  # prompts become token ids, by which the store knows them
    "logits": {"transformers", "tokenizers"},
    "fit": {"transformers", "tokenizers"},
    "answer": {"transformers", "tokenizers"},
    "merge": set(),
    "score": set(),
    "collect": set(),
    "tabulate": set(),
    "plot": {"matplotlib"},
    "report": {"matplotlib"},
}

CODE = f"""
import json, sys
from moco.cli import main
code = main(sys.argv[1:])
print("\\n" + json.dumps([code, [name for name in {LARGE!r} if name in sys.modules]]))
"""


@pytest.mark.parametrize("verb", BUDGET)
def test_a_verb_imports_no_more_than_its_budget(verb, project):
    """Three jobs of each kind, from the first to the last; the weights of models that fits made are gone by now."""
    logged = project.logged_commands(verb, "")
    commands = [command for command in logged if "--s1--" not in command] or logged
    for command in {commands[0], commands[len(commands) // 2], commands[-1]}:
        done = subprocess.run(
            [sys.executable, "-c", CODE, *shlex.split(command)[1:]],
            cwd=project.folder,
            env={**project.environment, "BASH_ENV": "", "MOCO_STUDY": project.study_file, "MOCO_FORK_SERVER": "off"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        code, imported = json.loads(done.stdout.splitlines()[-1])
        assert code == 0, done.stderr[-3000:]
        assert set(imported) <= BUDGET[verb], command
