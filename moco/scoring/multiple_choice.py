"""Scorers of multiple-choice items: the letter by the original rules, or what a reply says by a grammar of choices."""

import re
from collections.abc import Callable, Sequence

from moco.scoring.base import SCORERS, Extraction, ReadingScorer, Unevaluable, Verdict
from moco.scoring.choice_grammar import BOXED, DECLARED, MENTIONED, SUPPORTED, choice
from moco.scoring.choice_tokens import CLOSED, OPENED
from moco.scoring.choice_turns import ends
from moco.scoring.labels import folded, leading_label, letters_only, option_equal_to
from moco.scoring.original_choice import Options, paper_1_1_choice, paper_choice
from moco.scoring.text import unwrapped, visible_answer, without_emphasis
from moco.tasks.item import LETTERS, NULL_OPTIONS, Question, Reference

_RULES = {BOXED: "box", DECLARED: "declared", SUPPORTED: "supported", MENTIONED: "mentioned"}
_BOX = re.compile(
    r"\\(?:boxed|fbox|box)(?![a-z])[ \t]*(?:\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}|\{?([^\n{}]*))", re.IGNORECASE
)
_ANSWER = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][\w -]+>")
_MATH = re.compile(r"\\[()\[\]]")
_LOOKALIKE = re.compile(r"(?<![^\W_])[\u0410\u0421\u0391\u0392](?![^\W_])")
_LATIN = {"\u0410": "A", "\u0421": "C", "\u0391": "A", "\u0392": "B"}
"""Cyrillic and Greek capitals that look like a Latin label and stand for no other place in their own alphabet."""

_LIST_MARK = re.compile(r"^[ \t]*(?:[-•]|\d{1,2}[.)])[ \t]+", re.MULTILINE)
_SEVERAL = 2


class MultipleChoicePaper(ReadingScorer):
    """Scores letters by the original rules.

    An item with a null option is invalid where the original, which raises an error on such an option, would look at it.

    Args:
        choice: Reads a letter out of a reply.
    """

    def __init__(self, choice: Callable[[str, Options], Extraction]) -> None:
        self._choice = choice

    def extract(self, question: Question, reply: str) -> Extraction:
        """Return the letter that the original rules read out of a reply."""
        try:
            return self._choice(reply, question.options or ())
        except Unevaluable:
            return Extraction(None, "error")

    def score(self, question: Question, reference: Reference, reply: str) -> Verdict:
        """Extract and compare."""
        nulls = reference.meta.get(NULL_OPTIONS, ())
        options = [None if place in nulls else text for place, text in enumerate(question.options or ())]
        try:
            return self.compared(question, reference, self._choice(reply, options))
        except Unevaluable:
            return Verdict(None, None, "error", "invalid")

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return the letter in upper case."""
        return parsed.strip().upper()

    def compared(self, question: Question, reference: Reference, found: Extraction) -> Verdict:
        """Return 1 if the letter equals the label stored at the source."""
        if found.parsed is None:
            return Verdict(0.0, None, found.rule, "unparsed")
        right = self.normal_form(question, found.parsed) == reference.gold["key"]
        return Verdict(float(right), found.parsed, found.rule)


class MultipleChoiceStrict(ReadingScorer):
    """Scores options by position, reading declared answers before anything else and refusing to guess."""

    def extract(self, question: Question, reply: str) -> Extraction:
        """Return the letter of the one option that a reply settles on, or None."""
        visible = visible_answer(reply)
        if visible is None:
            return Extraction(None, "empty")
        options = question.options or ()
        text = without_emphasis(unwrapped(visible))
        equal = option_equal_to(text, options)
        if equal is not None and not _is_bare_label(text, len(options)):
            return Extraction(LETTERS[equal], "whole_reply")
        found, level = _read(_without_option_list(_marked(text), options), question.question, options)
        if len(found) != 1:
            return Extraction(None, "ambiguous" if found else "none")
        return Extraction(LETTERS[min(found)], _RULES[level])

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return the letter in upper case."""
        return parsed.strip().upper()

    def compared(self, question: Question, reference: Reference, found: Extraction) -> Verdict:
        """Return 1 if the letter names the gold option or one with the same text."""
        options = question.options or ()
        gold = reference.gold["index"]
        if not reference.valid or gold is None:
            return Verdict(None, found.parsed, found.rule, "invalid")
        letter = "" if found.parsed is None else self.normal_form(question, found.parsed)
        index = LETTERS.find(letter) if len(letter) == 1 else -1
        if not 0 <= index < len(options):
            return Verdict(0.0, None, found.rule, "unparsed")
        right = index == gold or folded(options[index]) == folded(options[gold])
        return Verdict(float(right), found.parsed, found.rule)


def _read(text: str, question: str, options: Sequence[str]) -> tuple[frozenset[int], int]:
    """Return the options that a reply chooses before it goes over to another question, and how strongly."""
    for end, plainly in ends(text, question, options):
        found, level = choice(text[:end], question, options)
        if plainly or (found and level > MENTIONED):
            return found, level
    return choice(text, question, options)


def _marked(text: str) -> str:
    """Return a reply with what boxes and answer elements hold between marks, and no other tags and delimiters."""
    text = _BOX.sub(lambda box: f" {OPENED}{box[1] or box[2] or ''}{CLOSED} ", text)
    text = _ANSWER.sub(lambda element: f" {OPENED}{element[1].strip()}{CLOSED} ", text)
    text = _LIST_MARK.sub("", _TAG.sub("\n", _MATH.sub(" ", text)))
    return _LOOKALIKE.sub(lambda letter: _LATIN[letter[0]], text)


def _is_bare_label(line: str, count: int) -> bool:
    label = leading_label(line, count)
    return label is not None and not letters_only(line[label.end :])


def _without_option_list(text: str, options: Sequence[str]) -> str:
    """Return `text` without a repetition of the whole option list, which says nothing about the choice."""
    said = folded(text)
    if len(options) < _SEVERAL or not all(folded(option) in said for option in options):
        return text
    words = [[re.escape(word) for word in without_emphasis(option).split()] for option in options]
    pieces = [
        rf"[(\[]?{letter}[)\].:]\s{{0,4}}" + r"\s{1,4}".join(option)
        for letter, option in zip(LETTERS, words, strict=False)
    ]
    pattern = r"(?<!\w)" + r"[\s.,;|*-]{0,8}(?:and\s)?".join(pieces) + r"(?!\w)"
    return re.sub(pattern, "\n", text, flags=re.IGNORECASE).strip()


SCORERS.add("multiple_choice/paper", MultipleChoicePaper(paper_choice))
SCORERS.add("multiple_choice/paper-1.1", MultipleChoicePaper(paper_1_1_choice))
SCORERS.add("multiple_choice/strict", MultipleChoiceStrict())
