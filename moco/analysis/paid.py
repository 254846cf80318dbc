"""Paid cost: what the jobs behind a results folder really did, from the performance files beside their outputs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from moco import paths
from moco.analysis.results import Spec
from moco.methods.state import CALLS as FIT_CALLS
from moco.records import CALLS, GENERATIONS, JOB_PERF, PERF, Schema, read_frame, read_rows

_ABOUT = ["pool", "name", "level", "part"]
_ONLY_OF_JOBS = {"logits": "logits", "score": "scoring"}
"""Jobs whose work stands in their accounts and in no other file that tells tokens, and what it is a part of."""

_COLUMNS = ["pool", "name", "level", "part", "replies", "new", "tokens", "written", "seconds", "loads"]


def load_paid(spec: Spec, results: Path) -> pd.DataFrame:
    """Return what each performance file of a study says.

    Files are looked for where jobs write them; what is missing (a published folder may come without) is left out.

    Returns:
        One row per file, and per model of jobs that make logits or score: pool (empty for single models), name, level,
        part (`plain responses`, `fit`, `made models' responses`, `logits`, `answer` or `scoring`), replies, new (not cached), tokens (of new replies), written (completion
        tokens of new replies), seconds (of new replies), loads.
    """
    rows = [{**about, **_spent(path, schema)} for about, path, schema in _files(spec, results) if _perf(path).is_file()]
    rows += [
        {
            **{name: row[name] for name in ("pool", "name", "level", "part", "seconds", "loads")},
            "replies": row["items"],
            "new": row["items"] - row["cached"],
            "tokens": row["read_tokens"] + row["made_tokens"],
            "written": row["made_tokens"],
        }
        for row in _jobs(spec, results)
        if row["job"] in _ONLY_OF_JOBS
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def load_jobs(spec: Spec, results: Path) -> pd.DataFrame:
    """Return what every model did in every job of a study.

    Returns:
        One row per job and model: pool (empty for single models), name, level, part (as for `load_paid`), and the
        columns of `JOB_PERF`.
    """
    return pd.DataFrame(
        list(_jobs(spec, results)), columns=list(dict.fromkeys([*_ABOUT, *JOB_PERF.columns.names])), dtype=object
    )


def _jobs(spec: Spec, results: Path) -> Iterator[dict[str, Any]]:
    for about, path in _job_files(spec, results):
        for row in read_rows(path, JOB_PERF):
            part = _ONLY_OF_JOBS.get(row["job"], about["part"])
            yield {**row, **about, "part": part}


def _job_files(spec: Spec, results: Path) -> Iterator[tuple[dict[str, str], Path]]:
    """Yield the accounts of jobs, which lie beside one of the files that each job writes."""
    seen: set[Path] = set()
    for about, pattern in _job_patterns(spec, results):
        for path in sorted(results.glob(paths.job_perf(pattern))):
            if path not in seen:
                seen.add(path)
                yield about, path


def _job_patterns(spec: Spec, results: Path) -> Iterator[tuple[dict[str, str], str]]:
    def of_model(model: str, task: str, seed: object) -> list[str]:
        decoding = spec["tasks"][task]["decoding"]
        plain = paths.generation(model, task, "*", decoding, seed, "*")
        cached = [
            paths.logits(kind, model, task, "*", decoding, seed, "*") for kind in ("options", "reference", "response")
        ]
        return [plain, *cached, paths.scores("*", plain)]

    for entry in spec["singles"]:
        about = {"pool": "", "name": entry["model"], "level": "single", "part": "plain responses"}
        for seed in spec["seeds"]:
            yield from ((about, pattern) for pattern in of_model(entry["model"], entry["task"], seed))
    for entry in spec["methods"]:
        pool, task, variant = entry["pool"], entry["task"], entry["variant"]
        about = {"pool": pool, "name": variant, "level": entry["level"]}
        for seed in spec["seeds"]:
            for scope in (task, "_all"):
                yield {**about, "part": "fit"}, f"{paths.fit_folder(pool, scope, variant, seed)}/{FIT_CALLS}"
            yield {**about, "part": "answer"}, paths.calls(pool, task, variant, seed, "test")
            yield {**about, "part": "answer"}, paths.scores("*", paths.answers(pool, task, variant, seed, "test"))
            for folder in sorted((results / "generations").glob(paths.fitted_model(pool, task, variant, seed, "*"))):
                made = {**about, "part": "made models' responses"}
                yield from ((made, pattern) for pattern in of_model(folder.name, task, seed))


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
