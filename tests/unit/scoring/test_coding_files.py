"""From a file of programs to real score files: what the scoring job does with its slice of the configuration."""

import json

import pytest
from support.studies import reply

from moco import paths
from moco.config.tasks import TaskEntry
from moco.errors import RequestError
from moco.jobs.score import ScoreJob
from moco.records import GENERATIONS, SCORES, Provenance, read_rows, write_rows
from moco.tasks.prepare import prepare

pytestmark = pytest.mark.slow

PROMPT = "Write a function that squares.\nYour code should pass this test case: assert square(2) == 4"
TEST = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 9\n"
REPLIES = {
    "```python\ndef square(x):\n    return x * x\n```": (1.0, "ok", "fence/passed"),
    "```python\ndef square(x):\n    return x + x\n```": (0.0, "ok", "fence/wrong"),
    "```python\ndef square(x):\n    while True: pass\n```": (0.0, "ok", "fence/timeout"),
    "I cannot.": (0.0, "unparsed", "none/no_code"),
}


def test_scores_of_programs_are_written(tmp_path):
    items = [{"id": n, "input": PROMPT, "test": TEST, "language": "python"} for n in range(len(REPLIES))]
    source = tmp_path / "code.json"
    source.write_text(json.dumps({"dev": items, "test": items}))
    entry = TaskEntry(source={"kind": "moco", "path": str(source)}, type="coding", splits="upstream")
    prepare("code", entry, tmp_path / paths.task_folder("code"), {})
    generation = paths.generation("m", "b", "test", 1, "s0")
    rows = [reply("code", n, 1, (1, 1)) | {"text": text} for n, text in enumerate(REPLIES)]
    write_rows(tmp_path / generation, GENERATIONS, rows, Provenance("generate"))
    spec = {"scorer": "strict", "type": "coding", "tasks": ["code"]}
    job = ScoreJob(tmp_path, spec, generation.removesuffix(".parquet"), "test")
    with pytest.raises(RequestError, match="without permission"):
        job.run()
    spec["code"] = {"isolation": "limits", "seconds": 2, "memory_mb": 512}
    job.run()
    written = read_rows(tmp_path / paths.scores("strict", generation), SCORES)
    assert [(row["score"], row["status"], row["rule"]) for row in written] == list(REPLIES.values())
