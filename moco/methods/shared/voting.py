"""Counting readable answers that the metric treats alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from moco.methods.context import AnswerContext, FitContext
from moco.tasks.item import Question


@dataclass(frozen=True)
class Ballot:
    """The votes on one item.

    Attributes:
        parsed: What was read out of each reply; None: no vote.
        forms: Normal form of each; None likewise.
        replies: All of them.
    """

    parsed: tuple[str | None, ...]
    forms: tuple[str | None, ...]
    replies: tuple[str, ...]

    @cached_property
    def voters(self) -> dict[str, list[int]]:
        """Positions of the replies behind each form, forms in order of first appearance."""
        voters: dict[str, list[int]] = {}
        for index, form in enumerate(self.forms):
            if form is not None:
                voters.setdefault(form, []).append(index)
        return voters

    @property
    def votes(self) -> dict[str, int]:
        """Number of votes by form."""
        return {form: len(indices) for form, indices in self.voters.items()}

    @property
    def tied(self) -> list[str]:
        """Forms with the most votes, sorted; empty when nothing could be read."""
        most = max(self.votes.values(), default=0)
        return sorted(form for form, count in self.votes.items() if count == most)

    def spelling(self, form: str) -> str:
        """Return the most frequent spelling of a form, the earliest on ties."""
        texts = [str(self.parsed[index]) for index in self.voters[form]]
        return max(texts, key=lambda text: (texts.count(text), -texts.index(text)))

    def reply(self, form: str) -> str:
        """Return the first reply that gives a form in its spelling."""
        return self.replies[self.parsed.index(self.spelling(form))]


def ballot(ctx: AnswerContext | FitContext, question: Question, replies: Sequence[str]) -> Ballot:
    """Read the answer out of every reply; blank answers have no vote."""
    parsed = [ctx.extract(question, reply).parsed for reply in replies]
    kept = [answer if answer is not None and answer.strip() else None for answer in parsed]
    forms = [None if answer is None else ctx.normal_form(question, answer) for answer in kept]
    return Ballot(tuple(kept), tuple(forms), tuple(replies))


def drawn(ctx: AnswerContext, forms: Sequence[str], purpose: str, item: str) -> str:
    """Return one of several forms, drawn at random by purpose and item; a single one without a draw."""
    return forms[0] if len(forms) == 1 else forms[int(ctx.rng(purpose, item).integers(len(forms)))]
