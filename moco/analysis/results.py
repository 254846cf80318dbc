"""Score files of a study as one tidy frame, and what every table and figure derives from it.

`spec` is the planner's description of what was compared: tasks, pools, score files by seed, and the pairs that do not
apply. Nothing else is read.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from moco.errors import WorkError
from moco.records import SCORES, read_frame

Spec = Mapping[str, Any]

RESULT = ["kind", "pool", "name", "task"]
"""Columns that name a result: what one cell of a table is about."""

_FROM_FILE = ["uid", "status", "reason", "score"]


def _entries(spec: Spec) -> pd.DataFrame:
    """Return one row per score file."""
    rows = []
    for kind in ("single", "method"):
        for entry in spec[f"{kind}s"]:
            name = entry["model"] if kind == "single" else entry["variant"]
            for seed, path in entry["scores"].items():
                rows.append(
                    {
                        "kind": kind,
                        "pool": entry.get("pool", ""),
                        "name": name,
                        "level": entry.get("level", "single"),
                        "task": entry["task"],
                        "domain": spec["tasks"][entry["task"]]["domain"],
                        "seed": int(seed),
                        "path": path,
                    }
                )
    return pd.DataFrame(rows, columns=["kind", "pool", "name", "level", "task", "domain", "seed", "path"])


def load_scores(spec: Spec, results: Path) -> pd.DataFrame:
    """Return every score row of a study.

    Args:
        spec: What was compared.
        results: The results folder that the paths of `spec` are relative to.

    Returns:
        A long frame: kind (`single` or `method`), pool (empty for singles), name (model or variant), level, task,
        domain, seed, uid, status, reason, score.

    Raises:
        WorkError: Score files are missing or damaged.
    """
    entries = _entries(spec)
    paths = [results / path for path in entries["path"]]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise WorkError(
            f"{len(missing)} of {len(paths)} score files are missing, this is the first",
            where=str(missing[0]),
            remedy="run the rules that make them",
        )
    frames = [read_frame(path, SCORES, _FROM_FILE) for path in paths]
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_FROM_FILE)
    origin = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames])
    described = {}
    for column in entries.columns.drop("path"):
        codes, values = pd.factorize(entries[column])
        described[column] = pd.Categorical.from_codes(codes[origin], categories=values)
    return pd.DataFrame(described).join(rows)


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
    failed = frame.loc[frame["status"] == "failed", [*RESULT, "reason"]].fillna({"reason": "unknown reason"})
    reasons: dict[tuple[str, ...], Counter[str]] = {}
    for *key, reason in failed.to_numpy(dtype=object).tolist():
        reasons.setdefault(tuple(key), Counter())[reason] += 1
    summaries = []
    for key, numbers, n_seeds in zip(counts.index.to_list(), counts.to_numpy().tolist(), seeds.tolist(), strict=True):
        kind, pool, name, task = key
        rows, n_failed, invalid, unparsed, unscored = numbers
        frequent = sorted(reasons.get(key, Counter()).items(), key=lambda pair: (-pair[1], pair[0]))
        reason = frequent[0][0] if frequent else ""
        counted = (rows, n_failed, invalid, unparsed, unscored)
        summaries.append(Summary(kind, pool, name, task, *counted, n_seeds, reason))
    return summaries
