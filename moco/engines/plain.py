"""Plain responses as files: one per task, split and sample index."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from moco import paths
from moco.config.decoding import Decoding
from moco.config.runtime import engine_settings, records_items
from moco.engines.inference import Inference, Job, Reply
from moco.engines.performance import load_rows, reply_row
from moco.models.info import ModelInfo
from moco.records import GENERATIONS, PERF, Provenance, write_rows
from moco.store.generations import GenerationStore, store_root
from moco.tasks.item import Question
from moco.tasks.prepare import read_questions

_FIELDS = ("key", "text", "thought", "finish", "prompt_flag", "prompt_tokens", "completion_tokens", "mean_logprob")


def generate_plain(
    results: Path,
    pairs: Sequence[tuple[str, str]],
    splits: Sequence[str],
    samples: Sequence[int],
    seed: int,
    spec: Mapping[str, Any],
) -> None:
    """Write the plain responses of (model, task) pairs, every model loaded at most once.

    Args:
        results: The results folder.
        pairs: Model and task.
        splits: Splits of every task.
        samples: Stored sample indices.
        seed: Run seed.
        spec: With `decoding` and `decoding_name`.

    Raises:
        FailedInput: A model is a recorded failure.
    """
    infos = {name: ModelInfo.read(results / paths.model_json(name)) for name in dict.fromkeys(m for m, _ in pairs)}
    settings = {name: engine_settings(name, info.engine) for name, info in infos.items()}
    inference = Inference(infos, settings, GenerationStore(store_root(results)), results.resolve().parent)
    decoding = Decoding.model_validate(spec["decoding"])
    places = list(product(pairs, splits, samples))
    questions = {
        (task, split): read_questions(results / paths.task_folder(task), split) for (_, task), split, _ in places
    }
    jobs = [
        Job(model, question.prompt, decoding, seed, sample)
        for (model, task), split, sample in places
        for question in questions[task, split]
    ]
    replies = iter(inference.run(jobs, "plain responses", record=records_items()))
    loads = load_rows(inference.room)
    files = [
        results / paths.generation(model, task, split, spec["decoding_name"], seed, sample)
        for (model, task), split, sample in places
    ]
    tasks = list(dict.fromkeys(task for _, task in pairs))
    about = {"system": ", ".join(infos), "tasks": tasks, "splits": list(splits), "seed": seed}
    inference.accounts.close(files, about, Provenance("generate", spec))
    for (model, task), split, sample in places:
        path = results / paths.generation(model, task, split, spec["decoding_name"], seed, sample)
        rows = [(question, next(replies)) for question in questions[task, split]]
        _write(path, rows, sample, Provenance("generate", spec, {"model": infos[model].fingerprint}), model, loads)
        loads = []


def _write(
    path: Path,
    rows: Sequence[tuple[Question, Reply]],
    sample: int,
    provenance: Provenance,
    model: str,
    loads: Sequence[Mapping[str, Any]],
) -> None:
    write_rows(
        path,
        GENERATIONS,
        ({"uid": question.uid, "sample": sample, **_row(reply)} for question, reply in rows),
        provenance,
    )
    perf = {
        reply.response.key: reply_row(model, reply.response.key, cached=reply.cached, seconds=reply.seconds)
        for _, reply in rows
        if reply.failed is None
    }
    write_rows(Path(paths.perf(str(path))), PERF, [*perf.values(), *loads], provenance)


def _row(reply: Reply) -> dict[str, Any]:
    if reply.failed is not None:
        return {"status": "failed", "reason": reply.failed, **dict.fromkeys(_FIELDS)}
    return {"status": "ok", "reason": None, **{name: getattr(reply.response, name) for name in _FIELDS}}


def write_failed(
    results: Path,
    pairs: Sequence[tuple[str, str]],
    splits: Sequence[str],
    samples: Sequence[int],
    seed: int,
    spec: Mapping[str, Any],
    reason: str,
) -> None:
    """Write files in which every reply failed; arguments as for `generate_plain`."""
    for (model, task), split, sample in product(pairs, splits, samples):
        path = results / paths.generation(model, task, split, spec["decoding_name"], seed, sample)
        failed = {"sample": sample, "status": "failed", "reason": reason, **dict.fromkeys(_FIELDS)}
        questions = read_questions(results / paths.task_folder(task), split)
        rows = ({"uid": question.uid, **failed} for question in questions)
        write_rows(path, GENERATIONS, rows, Provenance("generate", spec))
        write_rows(Path(paths.perf(str(path))), PERF, (), Provenance("generate", spec))
