"""The two halves of a task item: what everybody may see, and what only scorers see."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DATASET = "registered_dataset"
"""Key in a reference's `meta`: the registered dataset of its task, where it has one."""

NULL_OPTIONS = "null_options"
"""Key in a reference's `meta`: positions of options that are null at the source, where the item is kept at all."""


@dataclass(frozen=True)
class Question:
    """What models and methods see of an item (one row of `questions.parquet`).

    Where a task asks for several answers per item, a method gets a question for each (`answer_rows`): `answer` numbers
    them, and all but the first have uids of their own.
    """

    uid: str
    task: str
    split: str
    type: str
    question: str
    prompt: str
    options: tuple[str, ...] | None = None
    domain: str = ""
    answer: int = 0

    @property
    def item(self) -> str:
        """The item's uid, which all its questions share."""
        return self.uid.removesuffix(f"#{self.answer}") if self.answer else self.uid


def answer_rows(questions: Sequence[Question], answers: int) -> list[Question]:
    """Return one question per item and wanted answer, those of an item side by side."""
    return [
        replace(question, uid=f"{question.uid}#{number}" if number else question.uid, answer=number)
        for question in questions
        for number in range(answers)
    ]


WITHOUT_ANSWERS = frozenset({"coding", "gene_ranking", "ifeval", "kernel_bench", "noncompliance", "smdd"})
"""Task types whose references say how a reply is judged, and hold no reply that could be learnt."""


@dataclass(frozen=True)
class Reference:
    """What scorers see of an item (one row of `references.parquet`).

    `gold` by `gold_kind`: `option` {"index": position or null, "key": label at the source}; `aliases` a list of
    strings; `code` {"test", "entry_point", "preamble"}; `instructions`, `relevance`, `pharmacophore`, `lead_opt` and
    `kernel` an object (`moco.tasks.sources.structured`); every other kind a string, number or null.
    """

    uid: str
    gold: Any
    gold_kind: str
    src_id: str = ""
    group: str | None = None
    valid: bool = True
    meta: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str | None:
        """Return the gold answer as a reply would give it, or None where there is no single such text."""
        if not self.valid or self.gold is None:
            return None
        if self.gold_kind == "option":
            position = self.gold["index"]
            # Options that are part of the question's text have no positions: their label is the answer.
            return str(self.gold["key"]) if position is None else LETTERS[position]
        if isinstance(self.gold, dict) or self.gold_kind == "category":
            return None
        if isinstance(self.gold, list):
            return str(self.gold[0]) if self.gold else None
        return str(self.gold)
