"""Scorers of open text that nobody judges unless the study says how."""

from collections.abc import Sequence

from moco.scoring.base import SCORERS, Case, Tools, Verdict
from moco.scoring.general_verifier import GeneralVerifierStrict
from moco.scoring.judged import WholeReplyScorer
from moco.scoring.reward_model import RewardModelPaper, RewardModelStrict


class TextGenerationPaper(WholeReplyScorer):
    """A reward on dev, and on every other split the constant 0 that the original reports."""

    def score_all(self, cases: Sequence[Case], tools: Tools) -> list[Verdict]:
        """Return rewards of dev items and zeros."""
        dev = [case for case in cases if case.question.split == "dev"]
        rewards = iter(RewardModelPaper().score_all(dev, tools))
        return [next(rewards) if case.question.split == "dev" else Verdict(0.0, None, "constant") for case in cases]


class TextGenerationStrict(WholeReplyScorer):
    """No score, on any split, unless the study names a way to score."""

    def score_all(self, cases: Sequence[Case], tools: Tools) -> list[Verdict]:
        """Return verdicts without a score, or those of the scorer that the study names."""
        match tools.settings.text_generation:
            case "reward_model":
                return RewardModelStrict().score_all(cases, tools)
            case "general_verifier":
                return GeneralVerifierStrict().score_all(cases, tools)
        return [_UNSCORED for _ in cases]


_UNSCORED = Verdict(None, None, "none", "unscored")

SCORERS.add("text_generation/paper", TextGenerationPaper())
SCORERS.add("text_generation/paper-1.1", TextGenerationPaper())
SCORERS.add("text_generation/strict", TextGenerationStrict())
