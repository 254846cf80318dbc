"""What methods are expected to reach on the zoo, and whether they do, from the files of a study."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from moco import paths
from moco.analysis import aggregation
from moco.analysis.comparison import Comparison
from moco.analysis.expectation import Expectation, variants_of
from moco.analysis.results import load_scores
from moco.analysis.statistics import Estimate, Interval, estimate, paired_difference
from moco.records import ANSWERS, read_rows

ROUTERS = {"api_graph_routing": 0.9, "api_trained_router": 0.9}
"""Share of the oracle router's score that routers reach which learn on dev."""
ENOUGH, FEWER_CALLS = 0.95, 0.6
"""Share of the larger model's score that a cascade reaches with at most this share of its calls."""
RANKED_RIGHT = 0.75
"""Share of pairs of which a ranker names the better answer; the untuned one is there to compare with."""


@dataclass(frozen=True, eq=False)
class Point:
    """A cascade of two models at one setting.

    Attributes:
        variant: Name of the variant.
        calls: Share of the items that reach the second model.
        score: Its mean score.
        share: That as a share of the second model's.
        gain: What it scores above deferring as many items at random.
        gains: The same by item.
    """

    variant: str
    calls: float
    score: Interval
    share: Interval
    gain: Interval
    gains: "pd.Series[float]"


def cascade_curve(comparison: Comparison, pool: str, task: str) -> list[Point]:
    """Return the cascades of a pool of two models, from those that call the second one least."""
    models = comparison.models(pool)
    if len(models) != 2 or len(comparison.spec["pools"][pool]) != 2:
        return []
    first, second = (comparison.single(model, task) for model in models)
    if first.scores is None or second.scores is None or second.estimate is None:
        return []
    points = []
    for variant in variants_of(comparison, pool, task, "api_cascade"):
        found = comparison.method(pool, variant, task)
        if found.estimate is None or found.scores is None:
            continue
        calls = _share_of_items(comparison, pool, variant, task, models[1])
        gains = (found.scores - ((1 - calls) * first.scores + calls * second.scores)).dropna()
        points.append(
            Point(
                variant,
                calls,
                found.estimate.interval(),
                share_of(found.estimate, second.estimate),
                estimate(gains, task, seeds=found.estimate.seeds, accuracy=False).interval(),
                gains,
            )
        )
    return sorted(points, key=lambda point: (point.calls, point.variant))


def share_of(ours: Estimate, whole: Estimate) -> Interval:
    """Return one mean as a share of another of the same items, which are resampled together."""
    return Estimate(ours.mean / whole.mean, ours.replicates / whole.replicates, ours.n, ours.seeds).interval()


def expectations(comparison: Comparison, results: Path, pool: str, task: str) -> Iterator[Expectation]:
    """Yield what is expected of the methods that a pool was compared with on a task."""
    oracle = comparison.oracle_router(pool, task).estimate
    for method, limit in ROUTERS.items():
        for variant in variants_of(comparison, pool, task, method):
            ours = comparison.method(pool, variant, task).estimate
            if ours is not None and oracle is not None:
                what = f"{variant} reaches {limit:.0%} of the oracle router's score"
                yield Expectation(what, share_of(ours, oracle), limit)
    points = cascade_curve(comparison, pool, task)
    if len(points) > 1:
        yield from _of_curve(points, task)
    for variant in variants_of(comparison, pool, task, "text_llm_blender"):
        ranked = ranked_right(comparison, results, pool, variant, task)
        if ranked is not None:
            kind = "tuned" if _learns(results, pool, variant) else "untuned"
            what = f"the {kind} ranker of {variant} names the better of two answers in {RANKED_RIGHT:.0%} of the pairs"
            yield Expectation(what, ranked.interval(), RANKED_RIGHT)
    yield from aggregation.expected(comparison, results, pool, task)


def above_random(comparison: Comparison) -> list[Expectation]:
    """Return for every text method where it gains most over answering with a random member's response.

    What that scores on average is the mean of the members' scores, item by item. Of several variants, pools and tasks the
    one counts whose interval begins highest.
    """
    found = []
    for method, entry, ours in _text_methods(comparison):
        drawn = random_member(comparison, entry["pool"], entry["task"])
        if drawn is not None:
            gain = paired_difference(ours, drawn, entry["task"], seeds=len(comparison.spec["seeds"])).interval()
            where = f"{entry['variant']} with {entry['pool']} on {entry['task']}"
            what = f"{method} beats random choice somewhere: {where}"
            found.append((method, Expectation(what, gain, 0.0, is_gain=True)))
    return _highest(found)


def random_member(comparison: Comparison, pool: str, task: str) -> "pd.Series[float] | None":
    """Return what the response of a member drawn at random scores on average, by item; None where a member has no scores."""
    members = [comparison.single(model, task).scores for model in comparison.spec["pools"][pool]]
    scored = [scores for scores in members if scores is not None]
    return sum(scored[1:], scored[0]) / len(scored) if len(scored) == len(members) else None


def above_best_single(comparison: Comparison) -> list[Expectation]:
    """Return for every text method where it gains most over the best single model of the pool."""
    found = []
    for method, entry, _ in _text_methods(comparison):
        gain = comparison.gain(entry["pool"], entry["variant"], entry["task"])
        if gain is not None:
            where = f"{entry['variant']} with {entry['pool']} on {entry['task']}"
            what = f"{method} beats the best single model somewhere: {where}"
            found.append((method, Expectation(what, gain.interval(), 0.0, is_gain=True)))
    return _highest(found)


def _text_methods(comparison: Comparison) -> Iterator[tuple[str, dict[str, Any], "pd.Series[float]"]]:
    """Yield the text methods' variants with scores by item, where these are accuracies."""
    for entry in comparison.spec["methods"]:
        ours = comparison.method(entry["pool"], entry["variant"], entry["task"])
        if entry["level"] == "text" and ours.scores is not None and comparison.averaged(entry["task"]):
            yield entry["method"], entry, ours.scores


def _highest(found: Iterable[tuple[str, Expectation]]) -> list[Expectation]:
    """Return for every method the expectation whose interval begins highest."""
    best: dict[str, Expectation] = {}
    for method, each in found:
        if method not in best or each.found.low > best[method].found.low:
            best[method] = each
    return [best[method] for method in sorted(best)]


def _of_curve(points: Sequence[Point], task: str) -> Iterator[Expectation]:
    fewer = [point for point in points if point.calls <= FEWER_CALLS]
    if fewer:
        best = max(fewer, key=lambda point: point.share.mean)
        what = f"{best.variant} reaches {ENOUGH:.0%} of the second model's score with at most {FEWER_CALLS:.0%} of its calls"
        yield Expectation(what, best.share, ENOUGH)
    gains = pd.concat([point.gains for point in points], axis=1).mean(axis=1)
    seeds = points[0].score.seeds
    what = f"the curve of {len(points)} cascades lies above random deferral"
    yield Expectation(what, estimate(gains, task, seeds=seeds, accuracy=False).interval(), 0.0, is_gain=True)


def ranked_right(comparison: Comparison, results: Path, pool: str, variant: str, task: str) -> Estimate | None:
    """Return how often a ranker names the better of two answers, over the pairs of which one scores better.

    The mean over items, each the mean over its pairs and seeds; a pair without a winner counts half. None where there
    is no such pair, or where the pool has copies, whose answers have no scores of their own.
    """
    models = list(comparison.spec["pools"][pool])
    if len(set(models)) < len(models):
        return None
    frame = load_scores(comparison.spec, results)
    frame = frame.loc[(frame["kind"] == "single") & (frame["task"] == task) & frame["score"].notna()]
    columns = (frame[name].tolist() for name in ("name", "seed", "uid", "score"))
    scores = {(name, int(seed), uid): float(score) for name, seed, uid, score in zip(*columns, strict=True)}
    marks: dict[str, list[float]] = {}
    for seed, row in _answers(results, pool, variant, task):
        for verdict in json.loads(row["record_json"] or "{}").get("verdicts", []):
            first, second = (scores.get((models[place], seed, row["uid"])) for place in verdict["pair"])
            if first is None or second is None or first == second:
                continue
            better = verdict["pair"][int(second > first)]
            marks.setdefault(row["uid"], []).append(
                0.5 if verdict["winner"] is None else float(verdict["winner"] == better)
            )
    if not marks:
        return None
    by_item = pd.Series({uid: fmean(of_item) for uid, of_item in marks.items()})
    return estimate(by_item, task, variant, seeds=len(comparison.spec["seeds"]))


def _answers(results: Path, pool: str, variant: str, task: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the answers to test items with their seeds."""
    for path in sorted(results.glob(paths.answers(pool, "*", variant, "*", "test"))):
        seed = int(path.parent.name.removeprefix("seed"))
        yield from ((seed, row) for row in read_rows(path, ANSWERS) if row["task"] == task and row["status"] == "ok")


def _learns(results: Path, pool: str, variant: str) -> bool:
    """Return whether a blender's ranker was tuned."""
    return any(results.glob(f"{paths.fit_folder(pool, '*', variant, '*')}/*/models/ranker"))


def _share_of_items(comparison: Comparison, pool: str, variant: str, task: str, model: str) -> float:
    """Return the share of items that a method asked a model about."""
    costs = comparison.costs
    of_variant = costs.loc[
        (costs["kind"] == "method")
        & (costs["pool"] == pool)
        & (costs["name"] == variant)
        & (costs["task"] == task)
        & (costs["stage"] == "answer")
        & (costs["model"] == model)
    ]
    found = comparison.method(pool, variant, task).estimate
    assert found is not None
    return float(of_variant["items"].sum()) / (found.n * found.seeds)
