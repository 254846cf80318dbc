"""Paid cost: what the jobs behind a results folder really did, from the performance files beside their outputs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from moco import paths
from moco.analysis.results import Spec
from moco.methods.state import CALLS as FIT_CALLS
from moco.records import CALLS, GENERATIONS, PERF, Schema, read_frame

_COLUMNS = ["pool", "name", "level", "part", "replies", "new", "tokens", "written", "seconds", "loads"]


def load_paid(spec: Spec, results: Path) -> pd.DataFrame:
    """Return what each performance file of a study says.

    Files are looked for where jobs write them; what is missing (a published folder may come without) is left out.

    Returns:
        One row per file: pool (empty for plain responses), name, level, part (`plain responses`, `fit`,
        `made models' responses` or `answer`), replies, new (not cached), tokens (of new replies), written (completion
        tokens of new replies), seconds (of new replies), loads.
    """
    rows = [{**about, **_spent(path, schema)} for about, path, schema in _files(spec, results) if _perf(path).is_file()]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _perf(path: Path) -> Path:
    return Path(paths.perf(str(path)))


def _files(spec: Spec, results: Path) -> Iterator[tuple[dict[str, str], Path, Schema]]:
    alone = [(entry["model"], entry["task"]) for entry in spec["singles"]]
    pooled = [(model, entry["task"]) for entry in spec["methods"] for model in spec["pools"][entry["pool"]]]
    for model, task in dict.fromkeys([*alone, *pooled]):
        about = {"pool": "", "name": model, "level": "single", "part": "plain responses"}
        for path in _plain(spec, results, model, task):
            yield about, path, GENERATIONS
    shared_fits = {}
    for entry in spec["methods"]:
        pool, task, variant = entry["pool"], entry["task"], entry["variant"]
        about = {"pool": pool, "name": variant, "level": entry["level"]}
        for seed in spec["seeds"]:
            answered = results / paths.calls(pool, task, variant, seed, "test")
            yield {**about, "part": "answer"}, answered, CALLS
            fit = results / paths.fit_folder(pool, task, variant, seed) / FIT_CALLS
            yield {**about, "part": "fit"}, fit, CALLS
            shared_fits[results / paths.fit_folder(pool, "_all", variant, seed) / FIT_CALLS] = about
            made = paths.fitted_model(pool, task, variant, seed, "*")
            for folder in sorted((results / "generations").glob(made)):
                for path in _plain(spec, results, folder.name, task):
                    yield {**about, "part": "made models' responses"}, path, GENERATIONS
    for path, about in shared_fits.items():
        yield {**about, "part": "fit"}, path, CALLS


def _plain(spec: Spec, results: Path, model: str, task: str) -> Iterator[Path]:
    """Yield the files of a model's plain responses of every split, seed of the study, and sample."""
    for seed in spec["seeds"]:
        pattern = paths.generation(model, task, "*", spec["tasks"][task]["decoding"], seed, "*")
        for path in sorted(results.glob(pattern)):
            if not path.stem.endswith("_perf"):
                yield path


def _spent(path: Path, schema: Schema) -> dict[str, Any]:
    perf = read_frame(_perf(path), PERF)
    replies = perf.loc[perf["kind"] == "reply"]
    new = replies.loc[~replies["cached"].astype(bool)]
    made = read_frame(path, schema, ["key", "prompt_tokens", "completion_tokens"]).drop_duplicates("key")
    made = made.loc[made["key"].isin(new["key"])]
    written = int(made["completion_tokens"].sum())
    return {
        "replies": len(replies),
        "new": len(new),
        "tokens": written + int(made["prompt_tokens"].sum()),
        "written": written,
        "seconds": float(new["seconds"].sum()),
        "loads": int((perf["kind"] == "load").sum()),
    }
