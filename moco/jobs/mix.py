"""What the students of a round learn from, as one readable file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moco import paths
from moco.errors import WorkError
from moco.records import ANSWERS, MIXTURE, Provenance, read_by_task, write_rows
from moco.tasks.prepare import read_questions

SPLIT = "distill"


def write_mixture(results: Path, spec: Mapping[str, Any], path: Path) -> int:
    """Write the pairs of prompt and completion for every student, and return their number for one of them.

    In the supervised variant every student gets the answers of the collaboration to the distill split; failed and empty
    ones are left out.

    Args:
        results: The results folder.
        spec: The job's slice of the study: `task`, `answers` (a file below results), `students`, `variant`.
        path: The file.

    Raises:
        WorkError: No answer can be taught.
    """
    questions = {item.uid: item for item in read_questions(results / paths.task_folder(spec["task"]), SPLIT)}
    answers = read_by_task(results / spec["answers"], ANSWERS).get(spec["task"], [])
    taught = [row for row in answers if row["status"] == "ok" and row["text"].strip()]
    if not taught:
        raise WorkError("no answer can be taught", where=spec["answers"], remedy="see why they failed or are empty")
    rows = (
        {
            "student": student,
            "task": spec["task"],
            "uid": row["uid"],
            "split": SPLIT,
            "source": "teach",
            "prompt": questions[row["uid"]].prompt,
            "completion": row["text"],
        }
        for student in spec["students"]
        for row in taught
    )
    write_rows(path, MIXTURE, rows, Provenance("mix", spec))
    return len(taught)
