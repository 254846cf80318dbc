"""What learning is expected to bring on the zoo where many answers are made into one, from the files of a study."""

from collections.abc import Iterator
from pathlib import Path

from moco import paths
from moco.analysis.comparison import Comparison
from moco.analysis.expectation import NO_WORSE, Expectation, variants_of
from moco.analysis.results import load_scores
from moco.analysis.statistics import Estimate, estimate, paired_difference
from moco.records import read_json

AGGREGATOR, VOTE = "text_agglm", "text_majority_vote"
AGAINST_THE_VOTE = 0.3
"""Share of the items with a right candidate and a wrong vote that a trained aggregator answers rightly."""
LEARNERS = ("text_multiagent_finetuning", "text_sparta", "text_sparta_stackelberg")
"""Methods whose members learn, which are expected to lose nothing against the best of them."""


def where_the_vote_is_wrong(
    comparison: Comparison, results: Path, pool: str, variant: str, task: str, vote: str
) -> Estimate | None:
    """Return how often a method is right where some member is right and the vote of all is wrong.

    The mean over items, each the mean over the seeds in which it is such a case. None where there is no such case, or
    where the pool has copies, whose answers have no scores of their own.

    Args:
        comparison: Of the study.
        results: The results folder.
        pool: The pool.
        variant: The method that is measured.
        task: A task whose right answers score 1.
        vote: Variant of the vote, whose ties are those that it drew.
    """
    models = list(comparison.spec["pools"][pool])
    if len(set(models)) < len(models):
        return None
    frame = load_scores(comparison.spec, results)
    frame = frame.loc[(frame["task"] == task) & frame["score"].notna()]
    singles = frame.loc[(frame["kind"] == "single") & frame["name"].isin(models)]
    methods = frame.loc[(frame["kind"] == "method") & (frame["pool"] == pool)]
    case = ["seed", "uid"]
    best = singles.groupby(case, observed=True)["score"].max()
    voted, ours = (
        methods.loc[methods["name"] == name].groupby(case, observed=True)["score"].mean() for name in (vote, variant)
    )
    voted, best = voted.reindex(ours.index), best.reindex(ours.index)
    cases = ours.loc[(best >= 1) & (voted < 1)]
    if cases.empty:
        return None
    by_item = cases.groupby(level="uid").mean()
    return estimate(by_item, task, variant, seeds=len(comparison.spec["seeds"]))


def expected(comparison: Comparison, results: Path, pool: str, task: str) -> Iterator[Expectation]:
    """Yield what is expected of methods that learn to aggregate, and of others whose members learn."""
    variants = {method: variants_of(comparison, pool, task, method) for method in (AGGREGATOR, VOTE, *LEARNERS)}
    trained = {variant: _is_trained(results, pool, variant) for variant in variants[AGGREGATOR]}
    for variant in (name for name, learnt in trained.items() if learnt):
        for vote in variants[VOTE]:
            where = where_the_vote_is_wrong(comparison, results, pool, variant, task, vote)
            if where is not None:
                what = f"{variant} is right where some member is right and {vote} is wrong"
                yield Expectation(what, where.interval(), AGAINST_THE_VOTE)
            yield from _gain(comparison, pool, task, variant, vote, NO_WORSE, "is not below")
        for untrained in (name for name, learnt in trained.items() if not learnt):
            yield from _gain(comparison, pool, task, variant, untrained, 0.0, "is above")
    for variant in (name for method in LEARNERS for name in variants[method]):
        gain = comparison.gain(pool, variant, task)
        if gain is not None:
            what = f"{variant} is not below the best single model"
            yield Expectation(what, gain.interval(), NO_WORSE, is_gain=True)


def _gain(
    comparison: Comparison, pool: str, task: str, ours: str, other: str, limit: float, how: str
) -> Iterator[Expectation]:
    one, two = (comparison.method(pool, name, task) for name in (ours, other))
    if one.scores is not None and two.scores is not None and one.estimate is not None:
        gain = paired_difference(one.scores, two.scores, task, seeds=one.estimate.seeds)
        yield Expectation(f"{ours} {how} {other}", gain.interval(), limit, is_gain=True)


def _is_trained(results: Path, pool: str, variant: str) -> bool:
    """Return whether an aggregator learnt in any step: with `steps: 0` it is as it was."""
    notes = results.glob(f"{paths.fit_folder(pool, '*', variant, '*')}/*/models/aggregate/{paths.TRAINING}")
    return any(read_json(note)["steps"] != 0 for note in notes)
