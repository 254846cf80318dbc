"""Scorers of multiple-choice items: the letter by the original rules, or by rules that read more styles."""

import re
from collections.abc import Iterator, Sequence

from moco.scoring.base import SCORERS, Extraction, ReadingScorer, Verdict
from moco.scoring.labels import (
    folded,
    labels_anywhere,
    leading_label,
    letters_only,
    option_at_start,
    option_equal_to,
    option_follows,
    options_in,
    reason_follows,
)
from moco.scoring.text import (
    first_sentence,
    is_negated,
    last_answer_element,
    last_box,
    lines,
    sentences,
    unwrapped,
    visible_answer,
    without_emphasis,
)
from moco.tasks.item import LETTERS, Question, Reference

_CONNECTOR = (
    r"(?P<link>(?:\s*(?:is|are|was|(?:would|should|must|will|could)\s+be|seems\s+to\s+be|appears\s+to\s+be"
    r"|es|est|ist|lautet|wäre|sería|serait|é|è)(?![a-z])"
    r"(?:\s+(?:therefore|thus|hence|indeed|clearly|definitely|likely|most\s+likely|probably|then|also))?"
    r"|\s*(?:应该是|应为|應為|是|为|為|は))?(?:\s*[:=]|\s+[-–—](?=\s)|\s*→|\s*\n)?)\s*(?:(?:the|la|el|le|die)\s+(?=\S\W*$))?"
)
_CUE = re.compile(
    r"(?:(?P<sure>\b(?:final|correct|best|right|appropriate|most\s+likely)\s+(?:answer|choice|option|letter|response)s?)"
    r"|(?P<plain>\b(?:answer|respuesta|réponse|reponse|antwort|lösung|resposta|risposta|ответ)\b"
    r"(?:\s+(?:correcta|final|finale|correcte|correta|corretta|choice|option|letter)\b)?"
    r"|\b(?:my|our)\s+(?:choice|pick|selection|option|guess)\b|答案|正解|答え))" + _CONNECTOR,
    re.IGNORECASE | re.MULTILINE,
)
_SPAN_NEGATED = re.compile(
    r"(?:not|never|neither|n't|none|no\s+es|no\s+est|n'est|nicht|não|non|不|(?:is|was|would|could)n't)(?![a-z])",
    re.IGNORECASE,
)
_SAID_RIGHT = re.compile(
    r"(?<![\w'])[(\[]?(?P<letter>[A-Z])[)\]]?\s+(?:is|seems|looks)\s+(?:indeed\s+|clearly\s+)?(?:the\s+)?"
    r"(?:most\s+|only\s+)?(?:correct|right|best|answer|true|appropriate)\b(?![^.!\n]{0,60}\?)"
)
_CHOSEN = re.compile(
    r"(?:\b(?i:choose|chose|choosing|pick|picked|picking|select|selected|selecting|go\s+with|going\s+with|opt\s+for"
    r"|vote\s+for|elijo|choisis|wähle|escolho)\s+(?i:the\s+)?(?i:option\s+|choice\s+|letter\s+|answer\s+)?|选择?|選擇?)"
    r"\s*[(\[\"']*(?:(?P<letter>[B-HJ-Z])|(?P<word>[AI])(?=[)\].,;:\"'!。]|\s*$|\s*\n|\s+(?:because|since|as|over)\b))"
    r"(?![A-Za-z0-9_'])"
)
_SEVERAL = 2
_MOST_CUES = 40
_LONGEST_SPAN = 1_000


class MultipleChoicePaper(ReadingScorer):
    """Scores letters by the original rules: the first letter or option text found in list order."""

    def extract(self, question: Question, reply: str) -> Extraction:
        """Return the letter that the original rules read out of a reply."""
        text = reply.lower().strip()
        options = question.options or ()
        letters = LETTERS[: len(options)]
        for letter in letters:
            low = letter.lower()
            if text == low or text.startswith((low + ")", low + ".", low + " ")):
                return Extraction(letter, "start")
        for letter, option in zip(letters, options, strict=False):
            if option.lower() in text:
                return Extraction(letter, "option_text")
        for letter in letters:
            low = letter.lower()
            if any(form in text for form in (low + ")", f"({low})", f"answer is {low}", low + ".")):
                return Extraction(letter, "label")
        return Extraction(None, "none")

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
        text = _without_option_list(text, options)
        for rule, indices in _candidates(text, options):
            if len(indices) == 1:
                return Extraction(LETTERS[indices[0]], rule)
            if len(indices) > 1:
                return Extraction(None, "ambiguous")
        return Extraction(None, "none")

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


def _candidates(text: str, options: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """Yield the options that each rule finds, best rule first; an empty list sends the reader to the next rule."""
    count = len(options)
    for rule, content in (("box", last_box(text)), ("answer_element", last_answer_element(text))):
        if content:
            yield rule, _resolved(content, options, declared=True)
    for linked, span in _cue_spans(text):
        yield "cue", _resolved(span, options, declared=linked)
    yield "said_right", _said_right(text, count)[-1:]
    rows = lines(text)
    labelled = [row for row in rows if _line_label(row, options)]
    listing = len(labelled) >= _SEVERAL and len({_line_label(row, options)[0] for row in labelled}) >= _SEVERAL
    if rows and not listing:
        yield "first_line", _line_label(rows[0], options)
    if rows and (not listing or _is_bare_label(rows[-1], count)):
        yield "last_line", _line_label(rows[-1], options)
    closing = "" if listing and rows[-1] in labelled else (sentences(text) or [""])[-1]
    yield "label", _one_of(labels_anywhere(text, count), labels_anywhere(closing, count))
    yield "chosen", _one_of(_chosen(text, count), _chosen(closing, count))
    prose = "\n".join(row for row in rows if row not in labelled) if listing else text
    yield "last_sentence", _only(options_in(closing, options))
    yield "option_text", _only(options_in(prose, options))


def _only(indices: list[int]) -> list[int]:
    return indices if len(indices) == 1 else []


def _one_of(everywhere: list[int], at_the_end: list[int]) -> list[int]:
    return _only(everywhere) or _only(at_the_end)


def _resolved(span: str, options: Sequence[str], *, declared: bool) -> list[int]:
    """Return the options that a declaring span names; without a declaring word only labels count."""
    equal = option_equal_to(span, options) if declared else None
    label = leading_label(span, len(options))
    if label is not None and _is_bare_label(span, len(options)):
        return [label.index]
    if equal is not None:
        return [equal]
    if label is not None and label.ambiguous:
        return [label.index, -1]
    at_start = option_at_start(span, options) if declared else None
    if label is not None and label.firm and (at_start is None or option_follows(span, label, options)):
        return [label.index]
    certain = label is not None and label.capital and option_follows(span, label, options)
    if label is not None and (certain or (label.capital and at_start is None and reason_follows(span, label))):
        return [label.index]
    if at_start is not None:
        return [at_start]
    named = _only(options_in(first_sentence(span), options)) if declared else []
    if named or label is None or not declared or not label.capital or LETTERS[label.index] in "AI":
        return named
    return [label.index]


def _cue_spans(text: str) -> Iterator[tuple[bool, str]]:
    """Yield what follows each cue, last cue first, with whether a word or mark links the two."""
    for cue in reversed(list(_CUE.finditer(text))[-_MOST_CUES:]):
        linked = bool(cue["link"])
        span = text[cue.end() : cue.end() + _LONGEST_SPAN].split("\n", 1)[0]
        if not (linked or cue["sure"]) and cue["plain"] not in ("答案", "正解", "答え"):
            continue
        if _SPAN_NEGATED.match(span) or is_negated(text, cue.start(), cue.start()):
            continue
        yield linked, span


def _said_right(text: str, count: int) -> list[int]:
    found = (LETTERS.index(match["letter"]) for match in _SAID_RIGHT.finditer(text))
    return [index for index in found if index < count]


def _chosen(text: str, count: int) -> list[int]:
    found: list[int] = []
    for match in _CHOSEN.finditer(text):
        index = LETTERS.index(match["letter"] or match["word"])
        if index < count and index not in found and not is_negated(text, match.start(), match.start()):
            found.append(index)
    return found


def _line_label(line: str, options: Sequence[str]) -> list[int]:
    label = leading_label(line, len(options))
    if label is None:
        return []
    if label.ambiguous:
        return [label.index, -1]
    if label.firm or (label.capital and option_follows(line, label, options)):
        return [label.index]
    return []


def _is_bare_label(line: str, count: int) -> bool:
    label = leading_label(line, count)
    return label is not None and not letters_only(line[label.end :])


def _without_option_list(text: str, options: Sequence[str]) -> str:
    """Return `text` without a repetition of the whole option list, which says nothing about the choice."""
    if len(options) < _SEVERAL:
        return text
    words = [[re.escape(word) for word in without_emphasis(option).split()] for option in options]
    pieces = [
        rf"[(\[]?{letter}[)\].:]\s{{0,4}}" + r"\s{1,4}".join(option)
        for letter, option in zip(LETTERS, words, strict=False)
    ]
    pattern = r"(?<!\w)" + r"[\s.,;|*-]{0,8}(?:and\s)?".join(pieces) + r"(?!\w)"
    return re.sub(pattern, "\n", text, flags=re.IGNORECASE).strip()


SCORERS.add("multiple_choice/paper", MultipleChoicePaper())
SCORERS.add("multiple_choice/strict", MultipleChoiceStrict())
