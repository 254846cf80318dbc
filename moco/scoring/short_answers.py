"""Short answers in free replies: what a reply gives as its answer, by the original rules and by the strict ones."""

import json
import re
import string
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
from moco.tasks.item import Reference

_PAPER_BOX = re.compile(r"\\box(?:ed)?\s*\{", re.IGNORECASE)
_PAPER_OPEN_BOX = re.compile(r"\\box(?:ed)?\s+(.+)", re.IGNORECASE)
_PAPER_LINE_CUES = tuple(
    re.compile(cue, re.IGNORECASE)
    for cue in ("final answer:", "final answer is:", "the answer is:", "answer:", "solution:", "the solution is:")
)
_PAPER_OPEN_CUES = tuple(
    re.compile(rf"\b{cue}\s*(?:is|=)?\s*[:-]?\s*(.+)", re.IGNORECASE)
    for cue in ("the answer", "final answer", "answer")
)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_FULL_WHITE_SPACE = re.compile(r"\s*")

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


def paper_form(text: str) -> str:
    """Return the original normal form: lower case, no ASCII punctuation, no articles, single blanks."""
    bare = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def stored_gold(reference: Reference) -> str:
    """Return the gold as the source wrote it, for the original rules: a list of answers as the text of that list."""
    if isinstance(reference.gold, list):
        stored = reference.meta.get("output")
        return stored if isinstance(stored, str) else json.dumps(reference.gold, ensure_ascii=False)
    gold = reference.gold.get("key") if isinstance(reference.gold, dict) else reference.gold
    return "" if gold is None else str(gold)


def original_answer(reply: str) -> Extraction:
    """Return the text that the original rules read out of a reply; it may be empty."""
    boxed = _paper_boxed(reply)
    if boxed is not None:
        return Extraction(boxed, "box")
    opened = _PAPER_OPEN_BOX.search(reply)
    if opened and opened[1].strip():
        return Extraction(opened[1].strip(), "open_box")
    for rule, captures in (("line_cue", _paper_line_captures(reply)), ("open_cue", _paper_open_captures(reply))):
        for capture in captures:
            answer = capture.strip().split("\n")[0].strip().rstrip(". ")
            if answer:
                return Extraction(answer, rule)
    return Extraction(reply.strip(), "whole_reply")


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


def _paper_boxed(reply: str) -> str | None:
    """Return the last box content that ends at the first closing brace, or None without any."""
    content: str | None = None
    position = 0
    while opening := _PAPER_BOX.search(reply, position):
        closing = reply.find("}", opening.end())
        if closing < 0:
            break
        content = reply[opening.end() : closing].strip()
        position = closing + 1
    return content


def _paper_line_captures(reply: str) -> Iterator[str]:
    """Yield what the line patterns capture; each must be ended by a line break that no `<` hides."""
    breaks: list[int] | None = None
    for cue in _PAPER_LINE_CUES:
        for phrase in cue.finditer(reply):
            if reply.find("\n", phrase.end()) < 0:
                break
            breaks = _paper_breaks(reply) if breaks is None else breaks
            start = _end_of_white_space(reply, phrase.end())
            if breaks[start] >= 0:
                yield reply[start : breaks[start]]
                break
            if "\n" in reply[phrase.end() : start]:
                yield ""
                break


def _end_of_white_space(text: str, start: int) -> int:
    match = _FULL_WHITE_SPACE.match(text, start)
    return match.end() if match else start


def _paper_breaks(text: str) -> list[int]:
    """Return for each position the line break that ends a capture from there, or -1.

    A `<` takes the character after it along, so that a line break there is not seen, and two in a row end the search.
    """
    ends = [-1] * (len(text) + 2)
    for position in range(len(text) - 1, -1, -1):
        mark = text[position]
        if mark == "\n":
            ends[position] = position
        elif mark != "<":
            ends[position] = ends[position + 1]
        elif text[position + 1 : position + 2] != "<":
            ends[position] = ends[position + 2]
    return ends


def _paper_open_captures(reply: str) -> Iterator[str]:
    # Trailing white space decides only whether a blank capture exists; one character of it keeps the search linear.
    body = reply.rstrip()
    tail = reply[len(body) :]
    text = body + ("" if not tail else " " if tail.strip("\n") else "\n")
    for cue in _PAPER_OPEN_CUES:
        match = cue.search(text)
        if match:
            yield match[1]


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
