"""Short answers in free replies by the original rules, as of the paper and as of release 1.1.2."""

import json
import re
import string
from collections.abc import Iterator

from moco.scoring.base import Extraction
from moco.tasks.item import Reference

_BOX = re.compile(r"\\box(?:ed)?\s*\{", re.IGNORECASE)
_OPEN_BOX = re.compile(r"\\box(?:ed)?\s+([^\n\r]+)", re.IGNORECASE)
_LINE_CUES = tuple(
    re.compile(cue, re.IGNORECASE)
    for cue in ("final answer:", "final answer is:", "the answer is:", "answer:", "solution:", "the solution is:")
)
_OPEN_CUES = tuple(
    re.compile(rf"\b{cue}\s*(?:is|=)?\s*[:-]?\s*(.+)", re.IGNORECASE)
    for cue in ("the answer", "final answer", "answer")
)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_FULL_WHITE_SPACE = re.compile(r"\s*")
_LINE_BREAK = re.compile(r"[\n\r]")
_KEPT_SIGNS = "+-*/^=<>%"
_NO_OTHER_PUNCTUATION = str.maketrans("", "", "".join(set(string.punctuation) - set(_KEPT_SIGNS)))
_SIGN_WITH_BLANKS = re.compile(rf"\s*([{re.escape(_KEPT_SIGNS)}])\s*")


def paper_form(text: str) -> str:
    """Return the original normal form: lower case, no ASCII punctuation, no articles, single blanks."""
    bare = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def paper_1_1_form(text: str) -> str:
    """Return the normal form of release 1.1.2: nine signs stay, and lose the blanks around them."""
    bare = _SIGN_WITH_BLANKS.sub(r"\1", text.lower().translate(_NO_OTHER_PUNCTUATION))
    return " ".join(_ARTICLES.sub(" ", bare).split())


def stored_gold(reference: Reference) -> str:
    """Return the gold as the source wrote it, for the original rules: a list of answers as the text of that list."""
    if isinstance(reference.gold, list):
        stored = reference.meta.get("output")
        return stored if isinstance(stored, str) else json.dumps(reference.gold, ensure_ascii=False)
    gold = reference.gold.get("key") if isinstance(reference.gold, dict) else reference.gold
    return "" if gold is None else str(gold)


def paper_answer(reply: str) -> Extraction:
    """Return the text that the rules of the paper read out of a reply; it may be empty."""
    return _answer(reply, _cut_box(reply))


def paper_1_1_answer(reply: str) -> Extraction:
    """Return the text that the rules of release 1.1.2 read out of a reply; it may be empty."""
    return _answer(reply, _whole_box(reply))


def _answer(reply: str, boxed: str | None) -> Extraction:
    if boxed is not None:
        return Extraction(boxed, "box")
    opened = _OPEN_BOX.search(reply)
    if opened and opened[1].strip():
        return Extraction(opened[1].strip(), "open_box")
    for rule, captures in (("line_cue", _line_captures(reply)), ("open_cue", _open_captures(reply))):
        for capture in captures:
            answer = _LINE_BREAK.split(capture.strip(), maxsplit=1)[0].strip().rstrip(". ")
            if answer:
                return Extraction(answer, rule)
    return Extraction(reply.strip(), "whole_reply")


def _cut_box(reply: str) -> str | None:
    """Return the last box content that ends at the first closing brace, or None without any."""
    content: str | None = None
    position = 0
    while opening := _BOX.search(reply, position):
        closing = reply.find("}", opening.end())
        if closing < 0:
            break
        content = reply[opening.end() : closing].strip()
        position = closing + 1
    return content


def _whole_box(reply: str) -> str | None:
    """Return the last box content that ends at the brace that closes it, or None without any."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for brace in re.finditer(r"[{}]", reply):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            closing[opened.pop()] = brace.start()
    starts = [opening.end() for opening in _BOX.finditer(reply) if opening.end() - 1 in closing]
    return reply[starts[-1] : closing[starts[-1] - 1]].strip() if starts else None


def _line_captures(reply: str) -> Iterator[str]:
    """Yield what the line patterns capture; each must be ended by a line break that no `<` hides."""
    breaks: list[int] | None = None
    for cue in _LINE_CUES:
        for phrase in cue.finditer(reply):
            if reply.find("\n", phrase.end()) < 0:
                break
            breaks = _breaks(reply) if breaks is None else breaks
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


def _breaks(text: str) -> list[int]:
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


def _open_captures(reply: str) -> Iterator[str]:
    # Trailing white space decides only whether a blank capture exists; one character of it keeps the search linear.
    body = reply.rstrip()
    tail = reply[len(body) :]
    text = body + ("" if not tail else " " if tail.strip("\n") else "\n")
    for cue in _OPEN_CUES:
        match = cue.search(text)
        if match:
            yield match[1]
