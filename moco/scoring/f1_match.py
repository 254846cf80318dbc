"""Scorers of recalled facts: overlap of words between a short answer and the accepted ones."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from moco.scoring.answers import plain_form
from moco.scoring.base import SCORERS, Extraction, ReadingScorer, Verdict, dataset_of
from moco.scoring.original_answers import paper_1_1_answer, paper_1_1_form, paper_answer, paper_form, stored_gold
from moco.scoring.short_answers import declared_answer
from moco.scoring.text import plain_unicode, unwrapped, without_emphasis, without_math_delimiters
from moco.tasks.item import Question, Reference

_LIST_DATASET = "popqa"
"""The dataset whose gold the original rules split as the text of a list."""

_LIST_MARKS = str.maketrans("", "", "[]\"'")
_LONGEST_MENTION = 20
_LEAD = re.compile(
    r"(?:(?:it|this|that|these|those|he|she|they)(?:'s|'re|\s+(?:is|was|are|were))\s+)+(?=\S)", re.IGNORECASE
)
_SEPARATORS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (r",(?!\d)|[;、，；]", r"\s(?:and/)?or\s", r"\sand\s|\s&\s", r"\s/\s|(?<=\w)/(?=\w)")
)


def token_f1(given: str, gold: str) -> float:
    """Return the F1 of the words of two normal forms, repeated words counted; 1 if both are empty, 0 if one is."""
    words, wanted = given.split(), gold.split()
    if not words or not wanted:
        return float(words == wanted)
    shared = sum((Counter(words) & Counter(wanted)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(words), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


class F1MatchPaper(ReadingScorer):
    """Scores by the original rules; a list of accepted answers is split at every comma of its text.

    Args:
        answer: Reads the answer out of a reply.
        form: Normal form whose words are compared.
    """

    def __init__(self, answer: Callable[[str], Extraction], form: Callable[[str], str]) -> None:
        self._answer, self._form = answer, form

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the text that the original rules read out of a reply; it may be empty."""
        return self._answer(reply)

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return the text whose words the original rules compare."""
        return self._form(parsed)

    def compared(self, question: Question, reference: Reference, found: Extraction) -> Verdict:
        """Return the F1 of the text."""
        if found.parsed is None:
            return Verdict(0.0, None, found.rule, "unparsed")
        gold = stored_gold(reference)
        accepted = (
            gold.translate(_LIST_MARKS).split(",") if dataset_of(question, reference) == _LIST_DATASET else [gold]
        )
        given = self._form(found.parsed)
        return Verdict(max(token_f1(given, self._form(each)) for each in accepted), found.parsed, found.rule)


class F1MatchStrict(ReadingScorer):
    """Scores by the accepted answer that fits best; of several answers in one reply, the first counts.

    Besides the F1, verdicts report whether an accepted answer was given exactly (`exact`), whether one occurs in an
    answer of at most 20 words (`contains`), and how many answers the reply lists (`candidates`).
    """

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the answer that a reply declares, or its only or last line, or None."""
        return declared_answer(reply, names=True)

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return the words that are compared, without diacritics."""
        return _bare_form(_without_lead(_bare(parsed))) or parsed.strip()

    def compared(self, question: Question, reference: Reference, found: Extraction) -> Verdict:  # noqa: ARG002
        """Return the F1 of the answer."""
        accepted = [alias for alias in _accepted(reference) if plain_form(alias)]
        if not reference.valid or not accepted:
            return Verdict(None, found.parsed, found.rule, "invalid")
        if found.parsed is None or not plain_form(found.parsed):
            return Verdict(0.0, None, found.rule, "unparsed")
        whole = _bare(found.parsed)
        readings = (whole, _without_lead(whole))
        if any(_is_one_of(reading, accepted) for reading in readings):
            return Verdict(1.0, found.parsed, found.rule, details={"exact": 1.0, "contains": 1.0, "candidates": 1.0})
        candidates = _candidates(readings[1], accepted)
        details = {
            "exact": float(_is_one_of(candidates[0], accepted)),
            "contains": float(_mentions(whole, accepted)),
            "candidates": float(len(candidates)),
        }
        return Verdict(_best(candidates[0], accepted), found.parsed, found.rule, details=details)


def _accepted(reference: Reference) -> list[str]:
    gold = reference.gold
    return [str(alias) for alias in (gold if isinstance(gold, list) else [gold]) if alias is not None]


def _bare(answer: str) -> str:
    """Return an answer without the marks of LaTeX and Markdown around it."""
    return without_emphasis(without_math_delimiters(unwrapped(plain_unicode(answer))))


def _bare_form(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", plain_unicode(text).casefold())
    return plain_form("".join(mark for mark in decomposed if not unicodedata.combining(mark)))


@lru_cache(maxsize=16_384)
def _forms(text: str) -> tuple[str, str]:
    return plain_form(text), _bare_form(text)


def _best(given: str, accepted: Iterable[str]) -> float:
    forms = _forms(given)
    return max(token_f1(ours, theirs) for alias in accepted for ours, theirs in zip(forms, _forms(alias), strict=True))


def _is_one_of(given: str, accepted: Iterable[str]) -> bool:
    forms = _forms(given)
    return any(ours == theirs for alias in accepted for ours, theirs in zip(forms, _forms(alias), strict=True))


def _mentions(given: str, accepted: Iterable[str]) -> bool:
    words = _bare_form(given).split()
    if len(words) > _LONGEST_MENTION:
        return False
    text = f" {' '.join(words)} "
    return any(f" {form} " in text for _, form in map(_forms, accepted) if form)


def _without_lead(text: str) -> str:
    return text[lead.end() :] if (lead := _LEAD.match(text)) else text


def _candidates(text: str, accepted: Sequence[str]) -> list[str]:
    """Return the answers that a text lists; what separates words within an accepted answer separates no answers."""
    parts = [text]
    for separator in _SEPARATORS:
        if not any(separator.search(alias) for alias in accepted):
            parts = [piece for part in parts for piece in separator.split(part)]
    return [part for part in parts if plain_form(part)] or [text]


SCORERS.add("f1_match/paper", F1MatchPaper(paper_answer, paper_form))
SCORERS.add("f1_match/paper-1.1", F1MatchPaper(paper_1_1_answer, paper_1_1_form))
SCORERS.add("f1_match/strict", F1MatchStrict())
