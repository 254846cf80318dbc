"""Scorers of open replies by a reward model: its logit, which is no accuracy and has no fixed range."""

from collections.abc import Sequence

from moco.scoring.base import SCORERS, Case, Rating, Tools, Verdict
from moco.scoring.judged import WholeReplyScorer, models_of, reference_texts, spoken


class RewardModelPaper(WholeReplyScorer):
    """Rates the raw reply; nothing is cut but what the model cannot read."""

    def score_all(self, cases: Sequence[Case], tools: Tools) -> list[Verdict]:
        """Return the reward of every reply."""
        pairs = [(case.question.prompt, case.text) for case in cases]
        ratings = models_of(tools).reward("reward", pairs, None) if pairs else []
        return [Verdict(rating.reward, None, "reward") for rating in ratings]


class RewardModelStrict(WholeReplyScorer):
    """Rates what a reply says outside its thoughts, up to a stated length.

    Details: `tokens`, since rewards grow with length; `win` against the reference, where there is one (a tie is 0.5, an
    empty reply loses); `second_reward` by a model that no method optimises, where the study names one.
    """

    def score_all(self, cases: Sequence[Case], tools: Tools) -> list[Verdict]:
        """Return the reward of every reply."""
        if not cases:
            return []
        models, limit = models_of(tools), tools.settings.max_length
        replies = [(case.question.prompt, spoken(case.text)) for case in cases]
        golds = {
            place: (case.question.prompt, text)
            for place, case in enumerate(cases)
            for text in reference_texts(case.reference)[:1]
        }
        rated = models.reward("reward", [*replies, *golds.values()], limit)
        of_gold = dict(zip(golds, rated[len(replies) :], strict=True))
        second: list[Rating] | list[None] = [None] * len(replies)
        if tools.settings.second_reward is not None:
            second = models.reward("second_reward", replies, limit)
        return [
            _verdict(text, rating, of_gold.get(place), other)
            for place, ((_, text), rating, other) in enumerate(zip(replies, rated, second, strict=False))
        ]


def _verdict(text: str, rating: Rating, gold: Rating | None, second: Rating | None) -> Verdict:
    details: dict[str, float | str] = {"tokens": rating.tokens}
    if gold is not None:
        won, tied = rating.reward > gold.reward, rating.reward == gold.reward
        details["win"] = 0.0 if not text else 1.0 if won else 0.5 if tied else 0.0
    if second is not None:
        details["second_reward"] = second.reward
    return Verdict(rating.reward, None, "reward", "ok" if text else "unparsed", details)


SCORERS.add("reward_model/paper", RewardModelPaper())
SCORERS.add("reward_model/paper-1.1", RewardModelPaper())
SCORERS.add("reward_model/strict", RewardModelStrict())
