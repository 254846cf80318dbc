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
    mention   anything else          in any language: "Oikea vastaus on B.", "B fits"
    nothing   H, or a question       "at first I thought B", "is it B?"

Clauses are read in order. A later declaration replaces an earlier one; a support does so only when the reply takes the
earlier one back (R: "wait", "actually", "correction"), a mention never. Two options in one declaration, two letters alone on
neighbouring lines, and two supported options leave the choice open. A clause of lexicon words without an option speaks of
the option before it: "no", "but it is not", "that is wrong" deny it, "yes" supports it. Options that are gone through in
order ("A) ... B) ...") are mentioned, no more, and so is one whose text is told ("B is London"). Where the question asks for what is wrong, "A is wrong" turns nothing down
and "A is right" supports nothing. Mentions count when nothing is declared or supported: if a single option
that is not denied is mentioned, or a single one in the last sentence.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from moco.scoring.choice_clauses import NAMED, Clause, clauses, gone_through
from moco.scoring.choice_tokens import Token, tokens
from moco.scoring.choice_words import word_at

NOTHING, MENTIONED, SUPPORTED, DECLARED, BOXED = range(5)
"""How strongly a clause speaks for an option."""

_BARE = re.compile(r"F*LF*")
_ALONE = re.compile(r"[LTSPKVRBFYO:]*")
_RIGHT_ALONE = re.compile(r"[BF]*[LT][KF]*Y[F]*")
_DENIAL = re.compile(r"[NnXYFPKSBRMO:]*[NnX][NnXYFPKSBRMO:]*")
_NO_DENIAL = re.compile(r".+N[FKM]*X.*")
_SUPPORT = re.compile(r"[YFPKSBR:]*Y[YFPKSBR:]*")
_NOT_MEANT = re.compile(r".*[wXYLT]F*K[KF]*")
_DENIED_AFTER = re.compile(r"[KFMVP]*(?:[Xn]|N(?![FSKVMP]*[LT])(?![FK]*X))|[^LTNXB]{0,3}n")
_WRONG_IS = re.compile(r"(?:^|[^N])(?:X[SFKPw]{0,3}|S[FKPw]{0,2}X[FP]*)[K:][KF]*$|^[FB]*XF*:?$")
_LINKED = re.compile(r"(?:[SPV].*[K:V]|V|S.*:)[FSK]*$")
_LINKED_TEXT = re.compile(r"(?:[SV].*[K:V]|V)[FSK]*$")
_DESCRIBED = re.compile(r"[FBO]*S?(L)K[FK]*(T)")
_SUPPORTED_AFTER = re.compile(r"[KF]*[YS]")
_SENTENCE = re.compile(r"[.?!。？！؟।\n]\s*")
_NOT_ASKED = re.compile(r"\b(?:NOT|EXCEPT|LEAST)\b|不是|不属于|不屬於")
_LONGEST_QUESTION = 400
_MOST_WORDS_DENIED = 2


def choice(text: str, question: str, options: Sequence[str]) -> tuple[frozenset[int], int]:
    """Return the options that a reply leaves standing, and how strongly it speaks for them.

    Args:
        text: The cleaned-up reply; boxes and answer elements are marked as `moco.scoring.choice_tokens` has it.
        question: What was asked.
        options: Texts of the options.
    """
    found = clauses(tokens(text, options, "\n".join([question, *options]).casefold()))
    reading = _Reading(found, wrong_is_asked=_asks_what_is_wrong(question))
    for clause in found:
        reading.add(clause)
    return reading.result(found[-1].sentence if found else 0)


@lru_cache(maxsize=1024)
def _asks_what_is_wrong(question: str) -> bool:
    """Tell whether the last sentence of a question asks for what is false, or not so: "right" and "wrong" choose none."""
    last = _SENTENCE.split(question.rstrip(" .?:\n_"))[-1][-_LONGEST_QUESTION:]
    if _NOT_ASKED.search(last):
        return True
    words = (word_at(last, place) for place in range(len(last)) if place == 0 or not last[place - 1].isalnum())
    return any(word is not None and word[0] == "X" for word in words)


class _Reading:
    """What is known of the choice after some clauses.

    Args:
        found: All clauses.
        wrong_is_asked: Whether the question asks for what is wrong, so that a clause that calls an option wrong does not
            turn it down.
    """

    def __init__(self, found: Sequence[Clause], *, wrong_is_asked: bool) -> None:
        self._listing = gone_through(found)
        self._explained = {each.sentence for place in self._listing for each in found[place : place + 2]}
        self._wrong_is_asked = wrong_is_asked
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
        if not NAMED.search(codes):
            self._speak_of_the_last(clause, codes)
            return
        if "I" in codes:
            self._supposed = clause.sentence
        if clause.asked or "H" in codes or self._supposed == clause.sentence:
            self._last = _options(clause.tokens)
            return
        denied = [place for place in range(len(codes)) if codes[place] in "LT" and self._denies(codes, place)]
        for place in denied:
            self._deny(clause.tokens[place].options)
        level, options = _stated(clause.tokens, denied)
        if not options:
            return
        called_right = self._wrong_is_asked and "Y" in codes and "S" not in codes
        labelled = self._place in self._listing or (self._place - 1 in self._listing and "Y" not in codes)
        if (called_right or labelled or _describes(clause)) and level < BOXED:
            level = MENTIONED
        alone = level == DECLARED and clause.whole_line and bool(_BARE.fullmatch(codes))
        self._take(clause, level, options, joined=alone and bare)
        self._bare = alone

    def _denies(self, codes: str, place: int) -> bool:
        return _is_denied(codes.replace("X", "w") if self._wrong_is_asked else codes, place)

    def _speak_of_the_last(self, clause: Clause, codes: str) -> None:
        if clause.asked:
            return
        if _DENIAL.fullmatch(codes) and not _NO_DENIAL.fullmatch(codes):
            self._deny(self._last)
            self._revising = True
        elif self._last and _SUPPORT.fullmatch(codes) and not self._last & self._denied:
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
            self._mentions.append((clause.sentence, "M" in clause.codes or clause.sentence in self._explained, options))
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


def _describes(clause: Clause) -> bool:
    """Tell whether a clause says what the text of a letter is, as in "B is London": that is no choice."""
    match = _DESCRIBED.match(clause.codes)
    return match is not None and clause.tokens[match.start(1)].options == clause.tokens[match.start(2)].options


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
    if kept and _ALONE.fullmatch(rest) and not _RIGHT_ALONE.fullmatch(codes):
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
