"""What the scorers that ask models share."""

from moco.errors import RequestError
from moco.scoring.base import BatchScorer, Extraction, ScoringModels, Tools
from moco.scoring.text import visible_answer, without_thoughts
from moco.tasks.item import Question, Reference


class WholeReplyScorer(BatchScorer):
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
