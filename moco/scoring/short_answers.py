"""Short answers in free replies: what a reply declares as its answer."""

import re
from collections.abc import Callable, Iterator

from moco.scoring.answers import answer_form
from moco.scoring.base import Extraction
from moco.scoring.continuation import before_next_question
from moco.scoring.text import (
    first_sentence,
    last_answer_element,
    last_box,
    lines,
    visible_answer,
    without_empty_boxes,
    without_strong_emphasis,
)

_HASH_LINE = re.compile(r"^[ \t]*####[ \t]*(\S.*)$", re.MULTILINE)
_CUE = re.compile(
    r"(?:(?P<sure>\bfinal\s+answer|\b(?:the|my|our|correct|right|best)\s+(?:(?:final|correct|right|best)\s+)?"
    r"(?:answer|option|choice)|\b(?:respuesta|réponse|antwort|resposta|risposta|ответ)"
    r"(?:\s+(?:correcta|final|finale|correcte|correta|corretta))?)\b|答案|答え|(?P<plain>\banswer\b))"
    r"(?P<link>(?:\s*(?:is|are|was|equals|(?:would|should|must|will)\s+be|es|est|ist|lautet|é|è)\b"
    r"(?:\s+(?:therefore|thus|hence|then|simply|indeed|clearly|approximately|about))?|\s*[是为為は])?"
    r"(?P<mark>\s*[:=]|\s+[-–—](?=\s)|\s*\n)?)[\s*_]*",
    re.IGNORECASE,
)
_LINKLESS_START = re.compile(r"[-+]?[\d$\\(\[\"'.]")
_SKIPPED_CAPTURE = re.compile(r"(?:to|for|of|from|in|not|never)\b|n't\b|不", re.IGNORECASE)
_DISPLAY = re.compile(r"\$\$\s*([^$]*?)\s*\$\$|\\\[\s*(.*?)\s*\\\]", re.DOTALL)
_ENVIRONMENT = re.compile(r"\\begin\{(\w+)\}.{0,1000}?\\end\{\1\}", re.DOTALL)
_SHORT_REPLY_WORDS = 8
_LONGEST_CAPTURE = 2_000


def declared_answer(reply: str, *, names: bool = False) -> Extraction:
    """Return the answer that a reply declares, or its only or last line, or None.

    What a base model writes after its answer, a further question with its own answer, is not read.

    Args:
        reply: The reply.
        names: Names are expected: full stops after initials and abbreviations do not end a declaration.
    """
    visible = visible_answer(reply)
    if visible is None:
        return Extraction(None, "empty")
    visible = _ENVIRONMENT.sub(lambda found: found[0].replace("\n", " "), before_next_question(visible))
    text = without_strong_emphasis(visible)
    found: tuple[tuple[str, Callable[[str], str | None]], ...] = (
        ("box", last_box),
        ("answer_element", last_answer_element),
    )
    for rule, read in found:
        answer = _tidy(read(text) or "")
        if answer:
            return Extraction(answer, rule)
    answer = _tidy(_hash_line(visible))
    if answer:
        return Extraction(answer, "hash")
    for capture in _cue_captures(text, names=names):
        return Extraction(capture, "cue")
    rows = lines(without_empty_boxes(text))
    answer = _tidy(rows[-1]) if rows else ""
    if not answer:
        return Extraction(None, "none")
    short = len(rows) == 1 and len(answer.split()) <= _SHORT_REPLY_WORDS
    return Extraction(answer, "short_reply" if short else "last_line")


def _tidy(answer: str) -> str:
    """Return an answer without the marks around it: white space, emphasis and closing full stops."""
    return answer.strip().strip("*").strip().rstrip(".。 ").strip()


def _hash_line(text: str) -> str:
    """Return what follows the last four hash marks that begin a line, unless it is a heading of further text."""
    found = list(_HASH_LINE.finditer(text))
    if not found:
        return ""
    content = found[-1][1]
    is_last = not text[found[-1].end() :].strip()
    return content if is_last or answer_form(content).lstrip("-")[:1].isdigit() else ""


def _cue_captures(text: str, *, names: bool) -> Iterator[str]:
    """Yield what the cues declare, last cue first."""
    for cue in reversed(list(_CUE.finditer(text))):
        if cue["plain"] and not (cue["mark"] or "").strip(" \n-–—"):
            continue
        capture = _captured(text, cue.end(), names=names)
        if not cue["link"] and not _LINKLESS_START.match(capture):
            continue
        answer = _tidy(capture)
        title = names and cue["link"] and answer[:1].isupper()
        if answer and (title or not _SKIPPED_CAPTURE.match(answer)):
            yield answer


def _captured(text: str, start: int, *, names: bool) -> str:
    display = _DISPLAY.match(text, start, start + _LONGEST_CAPTURE)
    if display:
        return display[1] or display[2] or ""
    return first_sentence(text[start : start + _LONGEST_CAPTURE].split("\n", 1)[0], names=names)
