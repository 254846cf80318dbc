"""The clauses of a reply: lists of options made one, sentences parted, labels of what follows recognised."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from moco.scoring.choice_tokens import Token

NAMED = re.compile("[LT]")
_LETTER_AND_TEXT = re.compile("L,?T")
_LIST = re.compile(
    r"([LT])(?:,\1){0,25}(?:(?:,?O[OFSMPK]{0,3}|,M[FMPK]{0,3})\1){1,25}"  # with "or" or "and"
    r"|(?<!N)([LT])(?:,\2){1,25}(?=[./?:;]|$)|(?<![KSV:])L(?:,L){1,25}(?=[KFX])"  # with commas alone
)
_LABEL_OF_WHAT_FOLLOWS = re.compile(r"[FO]*S?L")
_LINKS = re.compile(r"F*[LT]")
_LINKABLE = re.compile(r"[SYXPKVw]")
_PARTS = "./?,;:"
_LONGEST_CLAUSE = 80


@dataclass(frozen=True)
class Clause:
    """A clause of a reply.

    Attributes:
        tokens: Its tokens; a list of options is one of them.
        sentence: Number of its sentence.
        asked: Whether the sentence is a question.
        whole_line: Whether it is a line of its own.
        heading: Whether it is nothing but a label of what follows, as in "A) Paris is in France".
    """

    tokens: tuple[Token, ...]
    sentence: int
    asked: bool
    whole_line: bool
    heading: bool

    @property
    def codes(self) -> str:
        """Kinds of the tokens, one character each."""
        return "".join(token.kind for token in self.tokens)


def clauses(found: Sequence[Token]) -> list[Clause]:
    """Return the clauses that the tokens of a reply make."""
    return list(_clauses(_with_lists(list(found))))


def _with_lists(found: list[Token]) -> list[Token]:
    """Return the tokens with every list of options as one token, and a letter with its text ("B (London)") as the letter."""
    codes = "".join(token.kind for token in found)
    doubled = {
        place
        for match in _LETTER_AND_TEXT.finditer(codes)
        if not _labels(found, match.start())
        if "," not in match[0] or found[match.start()].options == found[match.end() - 1].options
        for place in range(match.start() + 1, match.end())
    }
    found = [token for place, token in enumerate(found) if place not in doubled]
    codes = "".join(token.kind for token in found)
    merged: list[Token] = []
    place = 0
    for match in _LIST.finditer(codes):
        parts, after = found[match.start() : match.end()], found[match.end() : match.end() + 1]
        if "O" not in match[0] and after and after[0].end - after[0].start == len("is") and len(parts) == len("L,L"):
            continue  # "B, A is wrong"
        options = frozenset().union(*(part.options for part in parts))
        merged += [*found[place : match.start()], replace(parts[0], end=parts[-1].end, options=options)]
        place = match.end()
    return [*merged, *found[place:]]


def _labels(found: Sequence[Token], place: int) -> bool:
    """Tell whether a letter labels what follows it, as in "A) Paris", and nothing leads to it, as "the answer is" does."""
    return found[place].kind == "L" and found[place].closed and (place == 0 or found[place - 1].kind in f"{_PARTS}LTw")


def _leads_to_label(found: Sequence[Token], place: int) -> bool:
    return place + 1 < len(found) and _labels(found, place + 1)


def _clauses(found: list[Token]) -> Iterator[Clause]:
    """Part tokens into clauses."""
    codes = "".join(token.kind for token in found)
    sentence = 0
    held: list[Token] = []
    new_line = True

    closings = _closings(codes)

    def clause(end: int, *, heading: bool = False) -> Clause:
        closing = closings[end]
        ends_line = end >= len(codes) or codes[end] == "/" or codes[end : end + 2] in (".", "./")
        return Clause(tuple(held), sentence, closing == "?", new_line and ends_line, heading)

    for place, token in enumerate(found):
        here = "".join(each.kind for each in held)
        rest = codes[place + 1 : place + 2]
        linkable = not NAMED.search(here) and _LINKABLE.search(
            here.replace("w", "") if _leads_to_label(found, place) else here
        )
        if token.kind == ":" and linkable and _LINKS.match(codes, place + 1):
            held.append(token)
            continue
        labels = bool(_LABEL_OF_WHAT_FOLLOWS.fullmatch(here))
        parts = token.kind in _PARTS or len(held) == _LONGEST_CLAUSE
        opens = (
            token.kind in "BO"
            or (rest == "T" and _labels(found, place))
            or (labels and held[-1].closed and token.kind in "wFTSPIHM")
        )
        if held and (parts or opens):
            heading = labels and (
                (token.kind in ".:" and rest not in ("", "/")) or (not parts and token.kind not in "BO")
            )
            yield clause(place, heading=heading)
            held, new_line = [], False
        if token.kind in "./?":
            sentence += 1
            new_line = token.kind == "/"
        elif token.kind not in ",;:":
            held.append(token)
    if held:
        yield clause(len(found))


def _closings(codes: str) -> str:
    """Return, for every place and the end, the mark that closes its sentence."""
    closing, found = "/", ["/"]
    for code in reversed(codes):
        closing = code if code in "./?" else closing
        found.append(closing)
    return "".join(reversed(found))


def gone_through(said: Sequence[Clause]) -> frozenset[int]:
    """Return the places of clauses that label options one after the other, in order: they choose none."""
    headings = [(place, min(clause.tokens[-1].options)) for place, clause in enumerate(said) if clause.heading]
    runs: list[list[tuple[int, int]]] = []
    for place, option in headings:
        if runs and runs[-1][-1][1] < option:
            runs[-1].append((place, option))
        else:
            runs.append([(place, option)])
    return frozenset(place for run in runs if len(run) > 1 for place, _ in run)
