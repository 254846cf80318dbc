"""What a scorer is: pure functions of (question, reference, reply), one class per task type and rule set."""

from dataclasses import dataclass
from typing import Protocol

from moco.registry import Registry
from moco.tasks.item import Question, Reference


@dataclass(frozen=True)
class Extraction:
    """What was read out of a reply.

    Attributes:
        parsed: The answer as written (an option letter for multiple choice), or None when nothing was found.
        rule: Name of the rule that fired.
    """

    parsed: str | None
    rule: str


@dataclass(frozen=True)
class Verdict:
    """The score of one reply.

    Attributes:
        score: 0 to 1; None exactly when `status` is `invalid` (a broken item, left out of means).
        parsed: What was extracted.
        rule: The extraction rule that fired, or `given` for an answer extracted by a method.
        status: `ok`, `unparsed` (score 0) or `invalid`.
    """

    score: float | None
    parsed: str | None
    rule: str
    status: str = "ok"


class Scorer(Protocol):
    """Scores the replies of one task type under one rule set (`paper` or `strict`)."""

    def extract(self, question: Question, reply: str) -> Extraction:
        """Read the answer out of a reply without seeing the reference."""
        ...

    def normal_form(self, question: Question, parsed: str) -> str:
        """Return the text under which answers that the metric treats alike are equal (for voting)."""
        ...

    def score(self, question: Question, reference: Reference, reply: str) -> Verdict:
        """Extract and compare."""
        ...

    def score_extracted(self, question: Question, reference: Reference, extracted: str | None) -> Verdict:
        """Compare an answer that a method already extracted; None is `unparsed`."""
        ...


SCORERS: Registry[Scorer] = Registry("scorer", group="moco.scorers")
"""Keys are `<task type>/<rule set>`, for instance `multiple_choice/strict`."""
