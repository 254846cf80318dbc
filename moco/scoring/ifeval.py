"""Scorers of replies that have to follow instructions which programs can check."""

import math
from collections.abc import Mapping
from typing import Any

from moco.scoring import instructions, instructions_paper
from moco.scoring.base import SCORERS, Extraction, ReadingScorer, Verdict
from moco.scoring.judged import spoken
from moco.tasks.item import Question, Reference


class _IFEval(ReadingScorer):
    """What both rule sets share: a reply is read as a whole."""

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return the reply without the white space around it."""
        return parsed.strip()


class IFEvalPaper(_IFEval):
    """Scores the share of instructions that a reply follows, by the checks of release 1.1.2."""

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the reply."""
        return Extraction(reply, "reply")

    def compared(self, question: Question, reference: Reference, found: Extraction) -> Verdict:  # noqa: ARG002
        """Return the share of instructions that are followed; 1 without any."""
        asked = reference.gold["instructions"]
        reply = found.parsed
        if reply is None:
            return Verdict(0.0, None, found.rule, "unparsed")
        followed = [instructions_paper.follows(each["id"], each["arguments"], reply) for each in asked]
        share = math.fsum(followed) / len(asked) if asked else 1.0
        return Verdict(share, reply, found.rule, details=_counts(len(asked), sum(followed)))


class IFEvalStrict(_IFEval):
    """Scores 1 where a reply follows all of its instructions, by the official rules; thoughts are no part of the reply.

    The mean is the prompt-level accuracy. Details: `instructions`, and of these `followed`, whose sums make the
    instruction-level accuracy; `loose` and `followed_loose`, the same by the loose rules.
    """

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the reply outside its thoughts, or None."""
        text = spoken(reply)
        return Extraction(text or None, "reply" if text else "empty")

    def compared(self, question: Question, reference: Reference, found: Extraction) -> Verdict:  # noqa: ARG002
        """Return 1 if every instruction is followed."""
        asked = reference.gold["instructions"]
        if not reference.valid or not asked or not all(map(_can_be_checked, asked)):
            return Verdict(None, found.parsed, found.rule, "invalid")
        if found.parsed is None:
            details = {**_counts(len(asked), 0), "loose": 0.0, "followed_loose": 0.0}
            return Verdict(0.0, None, found.rule, "unparsed", details)
        readings = instructions.variants(found.parsed)
        strict = [_follows(each, found.parsed) for each in asked]
        loose = [any(_follows(each, text) for text in readings) for each in asked]
        details = {
            **_counts(len(asked), sum(strict)),
            "loose": float(all(loose)),
            "followed_loose": float(sum(loose)),
        }
        return Verdict(float(all(strict)), found.parsed, found.rule, details=details)


def _counts(asked: int, followed: int) -> dict[str, float | str]:
    return {"instructions": float(asked), "followed": float(followed)}


def _follows(instruction: Mapping[str, Any], reply: str) -> bool:
    return instructions.follows(instruction["id"], instruction["arguments"], reply)


def _can_be_checked(instruction: Mapping[str, Any]) -> bool:
    """Return whether an instruction is known and has its arguments."""
    if instruction["id"] not in instructions.KNOWN:
        return False
    try:
        instructions.follows(instruction["id"], instruction["arguments"], "x")
    except (KeyError, TypeError, AttributeError):
        return False
    return True


for _rules in ("paper", "paper-1.1"):
    SCORERS.add(f"ifeval/{_rules}", IFEvalPaper())
SCORERS.add("ifeval/strict", IFEvalStrict())
