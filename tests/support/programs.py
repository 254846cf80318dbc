"""Programs to score: constructed coding items, and the isolation that tests of execution need."""

import os
import shutil

import pytest

from moco.scoring import Case, Tools, score_cases, scorer_for
from moco.scoring.base import CodeTools
from moco.tasks.item import Question, Reference

REQUIRED = "MOCO_REQUIRE_BWRAP"


def need_sandbox():
    """Skip a test where bubblewrap is missing, or fail it where MOCO_REQUIRE_BWRAP is set."""
    if shutil.which("bwrap") is None:
        if REQUIRED in os.environ:
            pytest.fail(f"{REQUIRED} is set, and bubblewrap is not installed")
        pytest.skip("bubblewrap is not installed")


def coding_case(reply, *, prompt, test, entry_point=None, preamble="", meta=None, valid=True, **given):
    question = Question("u", "t", "test", "coding", prompt, prompt)
    gold = {"test": test, "entry_point": entry_point, "preamble": preamble}
    return Case(question, Reference("u", gold, "code", valid=valid, meta=meta or {}), reply, **given)


def verdicts(cases, rules="strict", *, workers=2, **code):
    return score_cases(scorer_for("coding", rules), cases, Tools(workers=workers, code=CodeTools(**code)))
