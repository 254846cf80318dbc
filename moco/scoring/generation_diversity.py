"""Scorers of how different several replies to one prompt are: distances between the vectors of an encoder."""

import math
from collections.abc import Sequence
from itertools import combinations

from moco.errors import RequestError
from moco.scoring.base import SCORERS, Case, Tools, Verdict
from moco.scoring.judged import WholeReplyScorer, models_of, reference_texts, spoken

Vector = Sequence[float]


class GenerationDiversityPaper(WholeReplyScorer):
    """Distance of the first reply from the references, with vectors that are mostly padding, as the original has it."""

    def score_all(self, cases: Sequence[Case], tools: Tools) -> list[Verdict]:
        """Return 1 - the mean cosine to the references; items without any are invalid."""
        texts = [(case.text, *reference_texts(case.reference)) for case in cases]
        vectors = iter(_embedded([text for each in texts for text in each], "padded", tools))
        verdicts = []
        for each in texts:
            reply, *golds = [next(vectors) for _ in each]
            if not golds:
                verdicts.append(Verdict(None, None, "none", "invalid"))
                continue
            verdicts.append(Verdict(_mean([distance(reply, gold) for gold in golds]), None, "distance"))
        return verdicts


class GenerationDiversityStrict(WholeReplyScorer):
    """Mean distance between an item's replies; a reply without quality is at distance 0 from everything.

    Details: `answers`, `gated` (replies below the thresholds of words or reward) and `to_references`, the mean distance
    to the references where there are some.
    """

    def score_all(self, cases: Sequence[Case], tools: Tools) -> list[Verdict]:
        """Return the mean pairwise distance of every item's replies.

        Raises:
            RequestError: An item has a single reply.
        """
        for case in cases:
            if not case.further:
                raise RequestError(
                    "diversity is that of several replies to one item, and there is one",
                    where=case.question.uid,
                    remedy="set `answers` of the task to 4 or more",
                )
        replies = [[spoken(text) for text in (case.text, *case.further)] for case in cases]
        good = iter(
            _quality(
                [(c.question.prompt, text) for c, each in zip(cases, replies, strict=True) for text in each], tools
            )
        )
        golds = [reference_texts(case.reference) for case in cases]
        texts = [text for each, of_item in zip(replies, golds, strict=True) for text in (*each, *of_item)]
        vectors = iter(_embedded(texts, "mask", tools))
        verdicts = []
        for each, of_item in zip(replies, golds, strict=True):
            kept = [next(good) for _ in each]
            own = [next(vectors) for _ in each]
            verdicts.append(_verdict(own, kept, [next(vectors) for _ in of_item]))
        return verdicts


def _verdict(replies: Sequence[Vector], kept: Sequence[bool], golds: Sequence[Vector]) -> Verdict:
    places = range(len(replies))
    between = [
        distance(replies[one], replies[other]) if kept[one] and kept[other] else 0.0
        for one, other in combinations(places, 2)
    ]
    details: dict[str, float | str] = {"answers": len(replies), "gated": kept.count(False)}
    if golds:
        away = [distance(replies[place], gold) if kept[place] else 0.0 for place in places for gold in golds]
        details["to_references"] = _mean(away)
    return Verdict(_mean(between), None, "distance", "ok" if any(kept) else "unparsed", details)


def _quality(pairs: Sequence[tuple[str, str]], tools: Tools) -> list[bool]:
    """Return whether each reply, with its prompt, passes the thresholds."""
    settings = tools.settings
    enough = [bool(text) and len(text.split()) >= settings.least_words for _, text in pairs]
    if settings.least_reward is None:
        return enough
    ratings = models_of(tools).reward("reward", pairs, settings.max_length)
    return [long and rating.reward >= settings.least_reward for long, rating in zip(enough, ratings, strict=True)]


def _embedded(texts: Sequence[str], pooling: str, tools: Tools) -> list[Vector]:
    return models_of(tools).embed(texts, "mask" if pooling == "mask" else "padded") if texts else []


def distance(one: Vector, other: Vector) -> float:
    """Return 1 - the cosine of two vectors, in 0..2; 1 where one of them is zero."""
    size = math.sqrt(math.fsum(x * x for x in one)) * math.sqrt(math.fsum(x * x for x in other))
    if size == 0:
        return 1.0
    return min(2.0, max(0.0, 1.0 - math.fsum(x * y for x, y in zip(one, other, strict=True)) / size))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


SCORERS.add("generation_diversity/paper", GenerationDiversityPaper())
SCORERS.add("generation_diversity/paper-1.1", GenerationDiversityPaper())
SCORERS.add("generation_diversity/strict", GenerationDiversityStrict())
