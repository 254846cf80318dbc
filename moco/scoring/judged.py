"""What the scorers that ask models share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from moco.errors import RequestError
from moco.scoring.base import Case, Extraction, ScoringModels, Tools, Verdict
from moco.scoring.text import visible_answer, without_thoughts
from moco.tasks.item import Question, Reference


class JudgedScorer(ABC):
    """A scorer of batches; a single reply is a batch of one."""

    @abstractmethod
    def score_all(self, cases: Sequence[Case], tools: Tools) -> list[Verdict]:
        """Return one verdict per case, in order."""

    def score(self, question: Question, reference: Reference, reply: str) -> Verdict:
        """Score one reply without any model; what needs one is an error."""
        return self.score_all([Case(question, reference, reply)], Tools())[0]

    def score_extracted(self, question: Question, reference: Reference, extracted: str | None) -> Verdict:
        """Score one extracted answer without any model; what needs one is an error."""
        case = Case(question, reference, extracted or "", extracted=extracted, given=True)
        return self.score_all([case], Tools())[0]


class WholeReplyScorer(JudgedScorer):
    """A scorer that reads replies as a whole."""

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the reply outside its thoughts, or None when nothing is left."""
        text = visible_answer(reply)
        return Extraction(text, "empty" if text is None else "whole_reply")

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return the text with single blanks, since two texts are alike only if they are the same."""
        return " ".join(parsed.split())


def models_of(tools: Tools) -> ScoringModels:
    """Return the models that judge.

    Raises:
        RequestError: There are none.
    """
    if tools.models is None:
        raise RequestError("these tasks are scored by models, and none is at hand", remedy="name them in `scoring`")
    return tools.models


def spoken(reply: str) -> str:
    """Return a reply without its thoughts, trimmed; empty when a thought was never closed."""
    return (without_thoughts(reply) or "").strip()


def reference_texts(reference: Reference) -> tuple[str, ...]:
    """Return the reference replies of an item, none or several."""
    if isinstance(reference.gold, list):
        return tuple(str(each) for each in reference.gold if each is not None and str(each).strip())
    text = reference.text()
    return () if text is None or not text.strip() else (text,)
