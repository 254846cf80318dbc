"""What the students of a round learn from, as one readable file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from moco import paths
from moco.errors import WorkError
from moco.evolution.mixture import Pair, Sources, best_student, kept_apart, mix
from moco.prompts.blocks import answered
from moco.records import ANSWERS, CALLS, GENERATIONS, MIXTURE, SCORES, Provenance, Schema, read_by_task, write_rows
from moco.tasks.item import Question
from moco.tasks.prepare import read_questions, read_references

Row = Mapping[str, Any]


def write_mixture(results: Path, spec: Mapping[str, Any], path: Path) -> list[int]:
    """Write the pairs of prompt and completion for every student, and return their numbers.

    Failed and empty replies are left out.

    Args:
        results: The results folder.
        spec: The job's slice of the study, as `moco.workflow.evolution.Mix` makes it.
        path: The file.

    Raises:
        WorkError: A student has nothing to learn.
    """
    found = _Found(results, spec)
    upstream = spec["protocol"] == "upstream"

    def mixed(*, held_out: bool) -> list[list[Pair]]:
        return mix(
            found.sources(held_out=held_out),
            spec["shares"],
            len(spec["students"]),
            spec["seed"],
            rule=spec["filter"],
            dedupe=spec["dedupe"],
            overlap=upstream,
        )

    mixtures = mixed(held_out=False)
    for student, pairs in zip(spec["students"], mixtures, strict=True):
        if not pairs:
            remedy = "see why replies failed or are empty, or what the filter leaves of them"
            raise WorkError("nothing can be taught", where=student, remedy=remedy)
    apart = mixed(held_out=True) if spec["held_out"] else [[] for _ in mixtures]
    apart = [[replace(pair, held_out=True) for pair in pairs] for pairs in apart]
    rows = (
        {
            "student": student,
            "task": spec["task"],
            **vars(pair),
            "models": list(pair.models),
            "keys": list(pair.keys),
        }
        for student, pairs, others in zip(spec["students"], mixtures, apart, strict=True)
        for pair in (*pairs, *others)
    )
    write_rows(path, MIXTURE, rows, Provenance("mix", spec))
    return [len(pairs) for pairs in mixtures]


class _Found:
    """What a round can teach, read from its files."""

    def __init__(self, results: Path, spec: Mapping[str, Any]) -> None:
        self._results, self._spec = results, spec
        self._task, self._shares = spec["task"], spec["shares"]
        self._read: dict[str, Sequence[Row]] = {}
        self._items: dict[str, list[Question]] = {}

    def sources(self, *, held_out: bool) -> Sources:
        """Return pairs of every source that has a share, of the items that are learnt from or of those held out."""
        spec, shares = self._spec, self._shares
        asked = any(shares.get(source) for source in ("teach", "gold", "prompt"))
        teaches = self._questions(spec["teaches_on"], held_out=held_out) if asked else {}
        owned = shares.get("self") or shares.get("best")
        learns = self._questions(spec["own_split"], held_out=held_out) if owned else {}
        return Sources(
            teach=self._taught(teaches) if shares.get("teach") else (),
            own=[self._own(place, learns) for place in range(len(spec["own"]))] if learns else (),
            gold=self._gold(teaches) if shares.get("gold") else (),
            best=best_student([self._mean(*each) for each in spec["chosen"]]) if shares.get("best") else 0,
            prompts=[Pair(uid, item.prompt, "", spec["teaches_on"], "prompt") for uid, item in teaches.items()],
            sizes={
                "teach": self._answers(len(teaches)),
                **dict.fromkeys(("gold", "prompt"), len(teaches)),
                **dict.fromkeys(("self", "best"), len(learns)),
            },
        )

    def _answers(self, items: int) -> int:
        """Return how many answers the collaboration was asked for: several per item where the task says so."""
        if not self._shares.get("teach"):
            return 0
        rows = self._rows(self._spec["answers"], ANSWERS)
        return items * (1 + max((row["answer"] for row in rows), default=0))

    def _questions(self, split: str, *, held_out: bool) -> dict[str, Question]:
        if split not in self._items:
            self._items[split] = list(read_questions(self._results / paths.task_folder(self._task), split))
        uids = [item.uid for item in self._items[split]]
        # By run seed and task alone: all rounds and variants hold out the same items.
        apart = kept_apart(uids, self._spec["held_out"], [*self._spec["seed"][:2], split])
        return {item.uid: item for item in self._items[split] if (item.uid in apart) is held_out}

    def _taught(self, questions: Mapping[str, Question]) -> list[Pair]:
        spec = self._spec
        scores = {(row["uid"], row["answer"]): row["score"] for row in self._scores(spec["answers"])}
        keys: dict[str, dict[str, None]] = {}
        for call in self._rows(spec["calls"], CALLS):
            keys.setdefault(call["uid"], {}).update({call["key"]: None} if call["key"] else {})
        return [
            Pair(
                row["uid"],
                questions[row["uid"]].prompt,
                _as_reply(questions[row["uid"]], row),
                spec["teaches_on"],
                "teach",
                tuple(row["models"]),
                scores.get((row["uid"], row["answer"])),
                tuple(keys.get(row["uid"], ())),
            )
            for row in self._said(spec["answers"], ANSWERS)
            if row["uid"] in questions
        ]

    def _own(self, place: int, questions: Mapping[str, Question]) -> list[Pair]:
        path, sample = self._spec["own"][place]
        scores = {row["uid"]: row["score"] for row in self._scores(path, sample)}
        return [
            Pair(
                row["uid"],
                questions[row["uid"]].prompt,
                row["text"],
                self._spec["own_split"],
                "self",
                (self._spec["parents"][place],),
                scores.get(row["uid"]),
                (row["key"],),
            )
            for row in self._said(path, GENERATIONS)
            if row["sample"] == sample and row["uid"] in questions
        ]

    def _gold(self, questions: Mapping[str, Question]) -> list[Pair]:
        split = self._spec["teaches_on"]
        references = read_references(self._results / paths.task_folder(self._task), split)
        return [
            Pair(uid, item.prompt, answered(item.type, text), split, "gold")
            for uid, item in questions.items()
            if (text := references[uid].text()) is not None
        ]

    def _rows(self, path: str, schema: Schema) -> Sequence[Row]:
        """Return the task's rows of a file, which is read once."""
        if path not in self._read:
            self._read[path] = read_by_task(self._results / path, schema).get(self._task, [])
        return self._read[path]

    def _said(self, path: str, schema: Schema) -> list[Row]:
        return [row for row in self._rows(path, schema) if row["status"] == "ok" and row["text"].strip()]

    def _scores(self, path: str, sample: int | None = None) -> list[Row]:
        rows = self._rows(paths.scores(self._spec["scorer"], path), SCORES)
        return [row for row in rows if sample is None or row["sample"] == sample]

    def _mean(self, path: str, sample: int) -> float | None:
        known = [row["score"] for row in self._scores(path, sample) if row["score"] is not None]
        return fmean(known) if known else None


def _as_reply(item: Question, row: Row) -> str:
    """Return an answer as a reply; one that is the extracted answer alone in the form that its prompt asks for."""
    alone = row["has_extracted"] and row["text"] == row["extracted"]
    return answered(item.type, row["text"]) if alone else str(row["text"])
