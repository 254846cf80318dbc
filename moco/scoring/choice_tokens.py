"""A reply as tokens: option letters and option texts, words with their role, marks that end clauses and sentences."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from moco.scoring.choice_words import is_unspaced, word_at
from moco.scoring.labels import folded
from moco.tasks.item import LETTERS

OPENED, CLOSED = "\ue000", "\ue001"
"""Marks around what a box or an answer element holds."""

_CASED = r"A-Za-z0-9_\u00c0-\u024f"
_LETTER = re.compile(
    rf"(?<![{_CASED}])(?<![{_CASED}]['’-])[A-Za-z](?![{_CASED}])(?!['-][A-Za-z\u00c0-\u024f]|\+\+|\+(?=\s)|#)"
)
_INITIALS = re.compile(
    r"(?<![^\W_])(?:[A-Za-z]\.){2,}(?:[A-Za-z](?![^\W_]))?|\b[A-Za-z]\.[A-Za-z]\b|\b[A-Z]\. [K-Z]\. (?=[A-Z][a-z])"
)
_DEGREES = re.compile(r"\d ?°? ?[A-Z](?![^\W_])|°[A-Z](?![^\W_])")
_CALL = re.compile(r"[A-Za-z0-9]\([A-Za-z](?:[,|][^()]*)?\)")
_OPENING, _CLOSING = "([{<\"'「『【《〈«$", ")]}>\"'」』】》〉»$"
_SENTENCE_END = re.compile(r"(?:\.{2,}|[.!?。！？؟।॥…۔])+(?=[\s\"')\]}*」』】$]|[^\x00-\u024f]|$)|[!?。！？؟।॥…۔]+")
_COMMA = re.compile(r"[,，、،]")
_SEMICOLON = re.compile(r"[;；؛]")
_LINK_MARK = re.compile(r":|=+>?|→|->|⇒|(?<=\s)[-–—]+(?=\s)|[–—]")
_NUMBER_BEFORE = re.compile(r"\d[.,/]$|[-+]$")
_NUMBER_AFTER = re.compile(r"[.,/]\d")
_JOINING_MARK = re.compile(r"[/&+]")
_ARTICLES = "AEIOUY"
_COPULA = re.compile(r"\s+(?:is|ist|est|es)\b")
_ASKING = "?؟"


@dataclass(frozen=True)
class Token:
    """One unit of a reply.

    Attributes:
        kind: `L` a letter of an option, `T` the text of one, a role of `moco.scoring.choice_words`, `w` another word,
            `.` the end of a sentence, `?` of a question, `/` of a line, `,` or `;` of a clause, `:` a mark that links or parts.
        start: Where it begins.
        end: Where it ends.
        options: Positions of the options that are meant, for `L` and `T`.
        closed: Whether a bracket or quotation mark follows a letter.
        boxed: Whether it stands in a box or an answer element.
    """

    kind: str
    start: int
    end: int
    options: frozenset[int] = frozenset()
    closed: bool = False
    boxed: bool = False


def tokens(text: str, options: Sequence[str], said: str) -> list[Token]:
    """Return the tokens of a cleaned-up reply.

    Args:
        text: The reply; boxes and answer elements are between `OPENED` and `CLOSED`.
        options: Texts of the options.
        said: Question and options, case-folded: what is called "vitamin C" there is no letter.
    """
    found = list(_read(text, options))
    kept: list[Token] = []
    for place, token in enumerate(found):
        if token.kind == "L":
            following = found[place + 1] if place + 1 < len(found) else None
            token = _judged(token, text, kept, following, said)
        kept.append(token)
    return kept


def _read(text: str, options: Sequence[str]) -> Iterator[Token]:
    texts = _texts(text, options)
    masked = {
        place
        for form in (_INITIALS, _DEGREES, _CALL)
        for match in form.finditer(text)
        for place in range(*match.span())
    }
    letters = LETTERS[: len(options)]
    position, boxed = 0, False
    while position < len(text):
        mark = text[position]
        match = None
        if mark in (OPENED, CLOSED):
            boxed = mark == OPENED
            position += 1
            continue
        if mark == "\n":
            yield Token("/", position, position + 1, boxed=boxed)
        elif position in texts:
            end, index = texts[position]
            yield Token("T", position, end, frozenset({index}), boxed=boxed)
            position = end
            continue
        elif position not in masked and mark.upper() in letters and (match := _LETTER.match(text, position)):
            closed = text[position + 1 : position + 2] in (*_CLOSING, CLOSED)
            yield Token("L", position, position + 1, frozenset({letters.index(mark.upper())}), closed, boxed)
        elif match := _SENTENCE_END.match(text, position):
            yield Token("?" if any(each in match[0] for each in _ASKING) else ".", *match.span(), boxed=boxed)
        elif match := _COMMA.match(text, position):
            yield Token(",", *match.span(), boxed=boxed)
        elif match := _SEMICOLON.match(text, position):
            yield Token(";", *match.span(), boxed=boxed)
        elif match := _LINK_MARK.match(text, position):
            yield Token(":", *match.span(), boxed=boxed)
        elif match := _JOINING_MARK.match(text, position):
            yield Token("O", *match.span(), boxed=boxed)
        elif mark == "(" and not _LETTER.match(text, position + 1):
            yield Token(",", position, position + 1, boxed=boxed)
        elif word := word_at(text, position):
            yield Token(word[0], position, word[1], boxed=boxed)
            match = None
            position = word[1]
            continue
        else:
            position += 1
            continue
        position = match.end() if match else position + 1


def _texts(text: str, options: Sequence[str]) -> dict[int, tuple[int, int]]:
    """Return where option texts stand, by their beginning: end and option. The longest one counts, of equal ones the first."""
    lower = "".join(low if len(low := mark.lower()) == 1 else mark for mark in text)
    found: dict[int, tuple[int, int]] = {}
    for index, option in enumerate(options):
        form = folded(option)
        if len(form) == 1:
            continue  # the letter of an option, if anything
        start = lower.find(form) if form else -1
        while start >= 0:
            end = start + len(form)
            if found.get(start, (0, 0))[0] < end and _is_whole(lower, start, end):
                found[start] = end, index
            start = lower.find(form, start + 1)
    return found


def _is_whole(text: str, start: int, end: int) -> bool:
    """Tell whether what stands in a place is not a part of a longer word or number."""
    first, last = text[start], text[end - 1]
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if (_in_word(before[-1:]) and _in_word(first)) or (_in_word(after[:1]) and _in_word(last)):
        return False
    signed = first.isdigit() and (_NUMBER_BEFORE.search(before) is not None)
    return not signed and not (last.isdigit() and _NUMBER_AFTER.match(after))


def _in_word(mark: str) -> bool:
    return (mark.isalnum() or mark == "_") and not is_unspaced(mark)


def _judged(token: Token, text: str, before: list[Token], following: Token | None, said: str) -> Token:
    """Return a letter as what it is: the label of an option, an article or pronoun, or a part of a name."""
    last = before[-1] if before else None
    letter = text[token.start]
    rest = text[token.end : token.end + 1]
    opened = token.start > 0 and text[token.start - 1] in (*_OPENING, OPENED)
    first = last is None or last.kind in "./?,;:" or last.boxed != token.boxed
    ends = following is None or following.kind in "./?,;:" or following.boxed != token.boxed
    word = word_at(text, token.start)
    other = replace(token, kind=word[0] if word and word[1] == token.end else "w", options=frozenset())
    named = following is not None and following.kind == "T" and following.options == token.options
    said_as_label = opened or first or (last is not None and last.kind in "SKV:" + "FONX" * letter.isupper())
    if (token.closed and said_as_label) or (named and letter.isupper()):
        return token
    if letter.islower():
        linked = last is not None and last.kind in "SV:"
        after_noun = last is not None and last.kind == "K" and any(each.kind == "S" for each in before[-4:])
        whole = first and ends and (last is None or last.kind == "/") and (following is None or following.kind in "/.")
        return token if (ends and (linked or after_noun)) or whole or token.boxed else other
    if last is not None and last.kind == "w" and text[last.end : token.start].isspace():
        phrase = text[last.start : token.end].casefold()
        if phrase in said and re.search(rf"(?<![^\W_]){re.escape(phrase)}(?![^\W_])", said):
            return other
        if rest == "." and text[last.start].isupper() and text[token.end + 1 : token.end + 3].strip().istitle():
            return other
    if following is None or letter not in _ARTICLES or ends:
        return other if letter == "I" and following is not None and following.kind == "," else token
    if letter != "A":
        return token if _COPULA.match(text, token.end) else other
    marked = following.kind in "XY" and not text[following.start].isascii()
    return token if marked or following.kind in "KNnBO" or (last is not None and last.kind in "OV") else other
