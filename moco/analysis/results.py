"""Scores of a study as one tidy frame, and what every table and figure derives from it.

`spec` is the planner's description of what was compared: tasks, pools, pairs, and those that do not apply. Besides it
only the collected files are read.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from moco import paths
from moco.records import ALL_SCORES, read_frame

Spec = Mapping[str, Any]

RESULT = ["kind", "pool", "name", "task"]
"""Columns that name a result: what one cell of a table is about."""

_DESCRIBED = ["kind", "pool", "name", "level", "task", "seed"]
_FROM_FILE = ["uid", "status", "reason", "score"]


def load_scores(spec: Spec, results: Path, part: str = paths.BENCHMARK, further: Sequence[str] = ()) -> pd.DataFrame:
    """Return every score row of a part of a study under its rule set.

    Args:
        spec: What was compared.
        results: The results folder.
        part: Of the study.
        further: Further columns of the collected scores.

    Returns:
        One row per answer: kind, pool, name, level, task, domain, seed, uid, status, reason, score, and what is further
        asked for.

    Raises:
        WorkError: The collected scores are missing or damaged.
    """
    frame = read_frame(
        results / paths.collected(part, "scores"), ALL_SCORES, [*_DESCRIBED, "scorer", *_FROM_FILE, *further]
    )
    frame = frame.loc[frame["scorer"] == spec["scorer"]].reset_index(drop=True)
    named = {name: pd.Categorical(frame[name], categories=pd.unique(frame[name])) for name in _DESCRIBED}
    domains = frame["task"].map({task: about["domain"] for task, about in spec["tasks"].items()})
    order = ["kind", "pool", "name", "level", "task", "domain", "seed", *_FROM_FILE, *further]
    described: pd.DataFrame = frame.assign(**named, domain=pd.Categorical(domains))[order]
    return described


def item_scores(frame: pd.DataFrame) -> "pd.Series[float]":
    """Return one score per result and item: the mean of its answers within a seed, then the mean over seeds.

    Items without any score (invalid, unscored or failed) are absent. The index is `RESULT` and uid, sorted by uid.
    """
    scored = frame.loc[frame["score"].notna(), [*RESULT, "seed", "uid", "score"]]
    per_seed = scored.groupby([*RESULT, "uid", "seed"], observed=True, sort=False)["score"].mean()
    per_item = per_seed.groupby(level=[*RESULT, "uid"], observed=True, sort=False).mean()
    return per_item.sort_index(level="uid")


def answered_items(frame: pd.DataFrame) -> dict[tuple[str, str, str, str, int], int]:
    """Return the number of items with an answer, by the values of `RESULT` and the seed."""
    answered = frame.loc[frame["status"] != "failed", [*RESULT, "seed", "uid"]]
    counts = answered.groupby([*RESULT, "seed"], observed=True, sort=False)["uid"].nunique()
    return dict(zip(counts.index.to_list(), counts.to_list(), strict=True))


@dataclass(frozen=True)
class Summary:
    """How many rows of a result are usable, and why the others are not.

    Attributes:
        kind: `single` or `method`.
        pool: Pool; empty for a single model.
        name: Model or variant.
        task: Task.
        rows: Number of rows over all seeds.
        failed: Rows without an answer.
        invalid: Rows of items that are broken at the source.
        unparsed: Rows whose answer could not be read.
        unscored: Rows that the rule set gives no score.
        seeds: Number of seeds.
        reason: The most frequent reason of failed rows, the first by name of equally frequent ones; or empty.
        fallbacks: Rows for which the method left its regular path.
        fallback: The most frequent reason of these, likewise.
    """

    kind: str
    pool: str
    name: str
    task: str
    rows: int
    failed: int
    invalid: int
    unparsed: int
    unscored: int
    seeds: int
    reason: str
    fallbacks: int
    fallback: str

    @property
    def coverage(self) -> float:
        """Share of valid rows that were answered; 0 without valid rows."""
        valid = self.rows - self.invalid
        return (valid - self.failed) / valid if valid else 0.0

    def key(self) -> tuple[str, str, str, str]:
        """Return what names the result: the values of `RESULT`."""
        return self.kind, self.pool, self.name, self.task


def summarise(frame: pd.DataFrame) -> list[Summary]:
    """Return one summary per result, in the order of the frame."""
    statuses = ["failed", "invalid", "unparsed", "unscored"]
    flags = frame[RESULT].assign(rows=1, **{name: (frame["status"] == name).astype(int) for name in statuses})
    counts = flags.groupby(RESULT, observed=True, sort=False).sum()
    seeds = frame.groupby(RESULT, observed=True, sort=False)["seed"].nunique().reindex(counts.index)
    is_failed = frame["status"] == "failed"
    failed = _reasons(frame.loc[is_failed].fillna({"reason": "unknown reason"}))
    left = _reasons(frame.loc[~is_failed & frame["reason"].notna()])
    summaries = []
    for key, numbers, n_seeds in zip(counts.index.to_list(), counts.to_numpy().tolist(), seeds.tolist(), strict=True):
        kind, pool, name, task = key
        rows, n_failed, invalid, unparsed, unscored = numbers
        reason, fallbacks = _most_frequent(failed.get(key, Counter())), left.get(key, Counter())
        counted = (rows, n_failed, invalid, unparsed, unscored)
        summaries.append(
            Summary(kind, pool, name, task, *counted, n_seeds, reason, fallbacks.total(), _most_frequent(fallbacks))
        )
    return summaries


def _reasons(frame: pd.DataFrame) -> dict[tuple[str, ...], Counter[str]]:
    """Return how often every reason stands in rows, by the values of `RESULT`."""
    found: dict[tuple[str, ...], Counter[str]] = {}
    for *key, reason in frame[[*RESULT, "reason"]].to_numpy(dtype=object).tolist():
        found.setdefault(tuple(key), Counter())[reason] += 1
    return found


def _most_frequent(reasons: Counter[str]) -> str:
    """Return the most frequent reason, the first by name of equally frequent ones; empty where there is none."""
    return min(reasons, key=lambda reason: (-reasons[reason], reason), default="")
