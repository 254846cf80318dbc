"""Scorers of short answers: text equality by the original rules, or comparison by the kind of the gold answer."""

from fractions import Fraction

from moco.scoring.answers import FLOAT_TOLERANCE, answer_form, is_right, listed_options
from moco.scoring.base import SCORERS, Extraction, ReadingScorer, Verdict, dataset_of
from moco.scoring.numbers import EXACT_TOLERANCE
from moco.scoring.short_answers import declared_answer, original_answer, paper_form
from moco.tasks.item import Question, Reference


class ExactMatchPaper(ReadingScorer):
    """Scores text equality by the original rules."""

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the text that the original rules read out of a reply; it may be empty."""
        return original_answer(reply)

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return the text that the original rules compare."""
        return paper_form(parsed)

    def compared(self, question: Question, reference: Reference, found: Extraction) -> Verdict:  # noqa: ARG002
        """Return 1 if the text and the gold answer have the same normal form."""
        if found.parsed is None:
            return Verdict(0.0, None, found.rule, "unparsed")
        right = paper_form(found.parsed) == paper_form(_gold_text(reference) or "")
        return Verdict(float(right), found.parsed, found.rule)


class ExactMatchStrict(ReadingScorer):
    """Scores short answers by the kind of the gold answer; an empty capture is never right."""

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the answer that a reply declares, or its only or last line, or None."""
        return declared_answer(reply)

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return one text for all spellings of a number, label, formula or phrase."""
        return answer_form(parsed)

    def compared(self, question: Question, reference: Reference, found: Extraction) -> Verdict:
        """Return 1 if the answer agrees with the gold answer."""
        gold = _gold_text(reference)
        if not reference.valid or gold is None:
            return Verdict(None, found.parsed, found.rule, "invalid")
        if found.parsed is None or not found.parsed.strip():
            return Verdict(0.0, None, found.rule, "unparsed")
        right = is_right(
            found.parsed,
            gold,
            reference.gold_kind,
            options=question.options or listed_options(question.question),
            tolerance=_tolerance(question, reference),
        )
        return Verdict(float(right), found.parsed, found.rule)


def _gold_text(reference: Reference) -> str | None:
    gold = reference.gold
    if isinstance(gold, dict):
        gold = gold.get("key")
    return None if gold is None else str(gold)


def _tolerance(question: Question, reference: Reference) -> Fraction:
    computed = dataset_of(question, reference) == "theoremqa" or "float" in str(reference.meta.get("answer_type", ""))
    return FLOAT_TOLERANCE if computed else EXACT_TOLERANCE


SCORERS.add("exact_match/paper", ExactMatchPaper())
SCORERS.add("exact_match/strict", ExactMatchStrict())
