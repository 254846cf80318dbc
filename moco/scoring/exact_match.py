"""Scorers of short answers: text equality by the original rules, or comparison by the kind of the gold answer."""

from fractions import Fraction

from moco.scoring.answers import FLOAT_TOLERANCE, answer_form, is_right, listed_options
from moco.scoring.base import SCORERS, Extraction, ReadingScorer, Unevaluable, Verdict, dataset_of
from moco.scoring.numbers import EXACT_TOLERANCE
from moco.scoring.original_answers import paper_1_1_answer, paper_1_1_form, paper_answer, paper_form, stored_gold
from moco.scoring.original_equality import equal
from moco.scoring.short_answers import declared_answer
from moco.tasks.item import Question, Reference


class ExactMatchPaper(ReadingScorer):
    """Scores text equality by the original rules."""

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the text that the original rules read out of a reply; it may be empty."""
        return paper_answer(reply)

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return the text that the original rules compare."""
        return paper_form(parsed)

    def compared(self, question: Question, reference: Reference, found: Extraction) -> Verdict:  # noqa: ARG002
        """Return 1 if the text and the gold answer have the same normal form."""
        if found.parsed is None:
            return Verdict(0.0, None, found.rule, "unparsed")
        right = paper_form(found.parsed) == paper_form(stored_gold(reference))
        return Verdict(float(right), found.parsed, found.rule)


class ExactMatchPaper11(ReadingScorer):
    """Scores by the rules of release 1.1.2: lists, truth values and numbers within 1 %, and else text equality.

    It fails on an item without a gold answer, which is then invalid.
    """

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the text that the rules read out of a reply; it may be empty."""
        return paper_1_1_answer(reply)

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return the text that the rules compare where neither side is a list, a truth value or a number."""
        return paper_1_1_form(parsed)

    def compared(self, question: Question, reference: Reference, found: Extraction) -> Verdict:  # noqa: ARG002
        """Return 1 if the text agrees with the gold answer."""
        if reference.gold is None:
            return Verdict(None, found.parsed, found.rule, "invalid")
        if found.parsed is None:
            return Verdict(0.0, None, found.rule, "unparsed")
        try:
            right = equal(found.parsed, stored_gold(reference), reference.meta.get("answer_type"))
        except Unevaluable:
            return Verdict(None, found.parsed, found.rule, "invalid")
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
        """Return 1 if the answer agrees with the gold answer, or with one of several aliases."""
        golds = _gold_texts(reference)
        if not reference.valid or not golds:
            return Verdict(None, found.parsed, found.rule, "invalid")
        if found.parsed is None or not found.parsed.strip():
            return Verdict(0.0, None, found.rule, "unparsed")
        options = question.options or listed_options(question.question)
        tolerance = _tolerance(question, reference)
        given, kind = found.parsed, reference.gold_kind
        right = any(is_right(given, gold, kind, options=options, tolerance=tolerance) for gold in golds)
        return Verdict(float(right), found.parsed, found.rule)


def _gold_texts(reference: Reference) -> list[str]:
    gold = reference.gold
    if isinstance(gold, dict):
        gold = gold.get("key")
    return [str(alias) for alias in (gold if isinstance(gold, list) else [gold]) if alias is not None]


def _tolerance(question: Question, reference: Reference) -> Fraction:
    computed = dataset_of(question, reference) == "theoremqa" or "float" in str(reference.meta.get("answer_type", ""))
    return FLOAT_TOLERANCE if computed else EXACT_TOLERANCE


SCORERS.add("exact_match/paper", ExactMatchPaper())
SCORERS.add("exact_match/paper-1.1", ExactMatchPaper11())
SCORERS.add("exact_match/strict", ExactMatchStrict())
