"""How a reply states, denies and revises a choice: the grammar that `multiple_choice/strict` reads by.

    reply     = sentence ...
    sentence  = clause ...           parted by commas, dashes, colons and words such as "but", "so", "because"
    clause    = word or list ...     words have the roles of `moco.scoring.choice_words`
    list      = option ...           joined by "or", "and", "/" or commas; an option is its letter or its text

A clause does one thing with the options it names:

    deny      N ... list             "not A", "I don't think it is A", "neither A nor B"
              list ... X, N or n     "A is wrong", "A cannot be it", "Aではなく"
              X ... list             "the wrong answer is A"
    declare   box, answer element    the strongest form, whatever surrounds it
              list alone             "B.", "So it is B", "Correct: B": no word that is not in the lexicon
              S|P|V ... K list       "the answer must be B", "I choose B"
    support   list ... Y             "B is right"
    mention   anything else          in any language: "Jibu sahihi ni B.", "B fits"
    nothing   H, or a question       "at first I thought B", "is it B?"

Clauses are read in order. A later declaration replaces an earlier one; a support or a mention does so only when the reply
takes the earlier one back (R: "wait", "actually", "correction"). Two options in one declaration, two letters alone on
neighbouring lines, and two supported options leave the choice open. A clause of lexicon words without an option speaks of
the option before it: "no", "but it is not", "that is wrong" deny it, "yes" supports it. Options that are gone through in
order ("A) ... B) ...") are mentioned, no more. Mentions count when nothing is declared or supported: if a single option
that is not denied is mentioned, or a single one in the last sentence.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from moco.scoring.choice_tokens import Token, tokens

NOTHING, MENTIONED, SUPPORTED, DECLARED, BOXED = range(5)
"""How strongly a clause speaks for an option."""

_NAME = re.compile("[LT]")
_LETTER_AND_TEXT = re.compile("LT")
_LIST = re.compile(
    r"([LT])(?:,\1){0,25}(?:,?O[OFSMPK]{0,3}\1){1,25}"  # with "or" or "and"
    r"|(?<!N)([LT])(?:,\2){1,25}(?=[./?:;]|$)|(?<![KSV:])L(?:,L){1,25}(?=[KFX])"  # with commas alone
)
_LABEL_OF_WHAT_FOLLOWS = re.compile(r"[FO]*S?L")
_LINKS = re.compile(r"F*[LT]")
_LINKABLE = re.compile(r"[SYXPKVw]")
_BARE = re.compile(r"F*LF*")
_ALONE = re.compile(r"[LTSPKVRBFYO:]*")
_DENIAL = re.compile(r"[NnXYFPKSBRMO:]*[NnX][NnXYFPKSBRMO:]*")
_NO_DENIAL = re.compile(r".+N[FKM]*X.*")
_SUPPORT = re.compile(r"[YFPKSBR:]*Y[YFPKSBR:]*")
_NOT_MEANT = re.compile(r".*[wXYLT]F*K[KF]*")
_DENIED_AFTER = re.compile(r"[KFMVP]*(?:[Xn]|N(?![FSKVMP]*[LT])(?![FK]*X))|[^LTNXB]{0,3}n")
_WRONG_IS = re.compile(r"(?:^|[^N])(?:X[SFKPw]{0,3}|S[FKPw]{0,2}X[FP]*)[K:][KF]*$|^[FB]*XF*:?$")
_LINKED = re.compile(r"(?:[SPV].*[K:V]|V|S.*:)[FSK]*$")
_LINKED_TEXT = re.compile(r"(?:[SV].*[K:V]|V)[FSK]*$")
_SUPPORTED_AFTER = re.compile(r"[KF]*[YS]")
_MOST_WORDS_DENIED = 2
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


def choice(text: str, options: Sequence[str], said: str) -> tuple[frozenset[int], int]:
    """Return the options that a reply leaves standing, and how strongly it speaks for them.

    Args:
        text: The cleaned-up reply; boxes and answer elements are marked as `moco.scoring.choice_tokens` has it.
        options: Texts of the options.
        said: Text of the question and its options.
    """
    clauses = list(_clauses(_with_lists(tokens(text, options, said))))
    reading = _Reading(_gone_through(clauses))
    for clause in clauses:
        reading.add(clause)
    return reading.result(clauses[-1].sentence if clauses else 0)


def _with_lists(found: list[Token]) -> list[Token]:
    """Return the tokens with every list of options as one token, and a letter with its text as the letter."""
    codes = "".join(token.kind for token in found)
    doubled = {match.start() + 1 for match in _LETTER_AND_TEXT.finditer(codes)}
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
        linkable = _LINKABLE.search(here) and not _NAME.search(here)
        if token.kind == ":" and linkable and _LINKS.match(codes, place + 1):
            held.append(token)
            continue
        labels = bool(_LABEL_OF_WHAT_FOLLOWS.fullmatch(here))
        parts = token.kind in "./?,;:" or len(held) == _LONGEST_CLAUSE
        opens = token.kind in "BO" or (labels and held[-1].closed and token.kind in "wFTSPIHM")
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


def _gone_through(clauses: Sequence[Clause]) -> frozenset[int]:
    """Return the places of clauses that label options one after the other, in order: they choose none."""
    headings = [(place, min(clause.tokens[-1].options)) for place, clause in enumerate(clauses) if clause.heading]
    runs: list[list[tuple[int, int]]] = []
    for place, option in headings:
        if runs and runs[-1][-1][1] < option:
            runs[-1].append((place, option))
        else:
            runs.append([(place, option)])
    return frozenset(place for run in runs if len(run) > 1 for place, _ in run)


class _Reading:
    """What is known of the choice after some clauses.

    Args:
        listing: Places of clauses that only go through the options.
    """

    def __init__(self, listing: frozenset[int]) -> None:
        self._listing = listing
        self._place = -1
        self._chosen: frozenset[int] = frozenset()
        self._level = NOTHING
        self._denied: frozenset[int] = frozenset()
        self._mentions: list[tuple[int, bool, frozenset[int]]] = []
        self._last: frozenset[int] = frozenset()
        self._revising = self._bare = False
        self._supposed = -1

    def add(self, clause: Clause) -> None:
        """Read the next clause."""
        self._place += 1
        codes = clause.codes
        bare, self._bare = self._bare, False
        if "R" in codes:
            self._revising = True
        if not _NAME.search(codes):
            self._speak_of_the_last(clause, codes)
            return
        if "I" in codes:
            self._supposed = clause.sentence
        if clause.asked or "H" in codes or self._supposed == clause.sentence:
            self._last = _options(clause.tokens)
            return
        denied = [place for place in range(len(codes)) if codes[place] in "LT" and _is_denied(codes, place)]
        for place in denied:
            self._deny(clause.tokens[place].options)
        level, options = _stated(clause.tokens, denied)
        if not options:
            return
        if self._place in self._listing and level < BOXED:
            level = MENTIONED
        alone = level == DECLARED and clause.whole_line and bool(_BARE.fullmatch(codes))
        self._take(clause, level, options, joined=alone and bare)
        self._bare = alone

    def _speak_of_the_last(self, clause: Clause, codes: str) -> None:
        if clause.asked:
            return
        if _DENIAL.fullmatch(codes) and not _NO_DENIAL.fullmatch(codes):
            self._deny(self._last)
            self._revising = True
        elif _SUPPORT.fullmatch(codes) and not self._last & self._denied:
            self._take(clause, SUPPORTED, self._last, joined=False)

    def _deny(self, options: frozenset[int]) -> None:
        self._denied |= options
        self._last = options
        if self._chosen & options:
            self._chosen -= options
            self._revising = True
        if not self._chosen:
            self._level = NOTHING

    def _take(self, clause: Clause, level: int, options: frozenset[int], *, joined: bool) -> None:
        self._last = options
        revising, self._revising = self._revising, False
        if level == MENTIONED:
            self._mentions.append((clause.sentence, "M" in clause.codes, options))
            return
        if level < self._level and not revising:
            return
        together = joined or (level == SUPPORTED and self._level == SUPPORTED)
        self._chosen = self._chosen | options if together and not revising else options
        self._level = level
        self._denied -= options

    def result(self, last_sentence: int) -> tuple[frozenset[int], int]:
        """Return the options that are left, and how strongly the reply speaks for them."""
        if self._chosen:
            return self._chosen, self._level
        everywhere = frozenset().union(*(options for _, _, options in self._mentions)) - self._denied
        if len(everywhere) == 1:
            return everywhere, MENTIONED
        at_the_end = [options for sentence, open_, options in self._mentions if sentence == last_sentence and not open_]
        closing = frozenset().union(*at_the_end) - self._denied
        return (closing if len(closing) == 1 else frozenset()), MENTIONED


def _options(found: Sequence[Token]) -> frozenset[int]:
    return frozenset().union(*(token.options for token in found))


def _is_denied(codes: str, place: int) -> bool:
    """Tell whether a clause turns down the option at a place of it."""
    before, after = codes[:place], codes[place + 1 :]
    start = max(before.rfind("L"), before.rfind("T")) + 1
    gap = before[start:]
    negation = gap.rfind("N")
    if negation >= 0:
        meant = gap[negation + 1 :]
        if meant.count("w") <= _MOST_WORDS_DENIED and not _NOT_MEANT.fullmatch(meant):
            return True
    if _DENIED_AFTER.match(after):
        return True
    return start == 0 and bool(_WRONG_IS.search(gap))


def _stated(found: Sequence[Token], denied: Sequence[int]) -> tuple[int, frozenset[int]]:
    """Return how strongly a clause speaks for options that it does not turn down, and for which."""
    kept = [place for place, token in enumerate(found) if token.kind in "LT" and place not in denied]
    codes = "".join(token.kind for token in found)
    rest = codes
    for place in denied:
        rest = re.sub(r"[NXn]?[^NXnLT]*$", "", rest[:place]) + rest[place + 1 :]
    levels = {place: _level(codes, place, found[place]) for place in kept}
    if kept and _ALONE.fullmatch(rest):
        levels = {place: max(level, DECLARED if codes[place] == "L" else SUPPORTED) for place, level in levels.items()}
    best = max(levels.values(), default=NOTHING)
    return best, _options([found[place] for place, level in levels.items() if level == best])


def _level(codes: str, place: int, token: Token) -> int:
    before, after = codes[:place], codes[place + 1 :]
    if token.boxed:
        return BOXED
    own = before[max(before.rfind("L"), before.rfind("T")) + 1 :]
    if "M" not in own and (_LINKED if token.kind == "L" else _LINKED_TEXT).search(before):
        return DECLARED
    return SUPPORTED if _SUPPORTED_AFTER.match(after) and "M" not in own else MENTIONED
