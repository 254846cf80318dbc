"""Settings that no program can follow: of engines, and of requests that do not fit into a model's context."""

from collections.abc import Iterator
from itertools import chain

from moco.config.engine import EngineSettings
from moco.config.models import AdapterModel, ModelEntry, ServerModel, TunedModel, ZooModel
from moco.config.problems import Problem
from moco.config.study import Study
from moco.zoo.roster import ROSTER
from moco.zoo.roster import ZooModel as RosterModel

_COLDEST, _HOTTEST = (
    0.01,
    2.0,
)  # temperatures of vLLM: it changes what is below without a word, and refuses what is above


def roster_entry(name: str, entry: ModelEntry) -> RosterModel | None:
    """Return what the zoo knows of a model; None for other models and for names that it does not have."""
    return ROSTER.get(entry.recipe or name) if isinstance(entry, ZooModel) else None


def silent_role(name: str, entry: ModelEntry) -> str | None:
    """Return what a model is that cannot answer."""
    offered = (roster_entry(name, entry) or entry).capabilities
    if "generate" in offered:
        return None
    return "a sentence encoder" if "embed" in offered else "a reward model"


def context(study: Study, name: str) -> int | None:
    """Return the context of a model where the study or the zoo knows it; an adapter's is its base's."""
    entry, seen = study.models.get(name), {name}
    while isinstance(entry, TunedModel) and entry.context is None and entry.base not in seen:
        name = entry.base
        seen.add(name)
        entry = study.models.get(name)
    if entry is None:
        return None
    known = roster_entry(name, entry)
    if entry.context is None and isinstance(entry, AdapterModel) and entry.base != name:
        base = study.models.get(entry.base)
        return None if isinstance(base, AdapterModel) else context(study, entry.base)
    return entry.context or (known.context if known else None)


def contexts(study: Study) -> Iterator[Problem]:
    """Find replies that are as long as all that a model can read and write, so that no prompt would fit."""
    writers = {name for name, entry in study.models.items() if silent_role(name, entry) is None}
    members = [
        name for name in dict.fromkeys(chain(*(pool.models for pool in study.pools.values()))) if name in writers
    ]
    wanted = [
        (f"decoding.{preset}.max_new_tokens", study.decoding[preset].max_new_tokens, members)
        for preset in dict.fromkeys(task.decoding for task in study.tasks.values())
        if preset in study.decoding
    ]
    if study.scoring.verifier in writers:
        wanted.append(("scoring.verdict_tokens", study.scoring.verdict_tokens, [study.scoring.verifier]))
    for key, tokens, models in wanted:
        known = {name: size for name in models if (size := context(study, name)) is not None}
        tight = [name for name, size in known.items() if size <= tokens]
        if tight:
            name = min(tight, key=lambda model: known[model])
            what = f"{tokens:,} new tokens leave no room for a prompt in the context of {name} ({known[name]:,} tokens)"
            yield Problem(key, what, f"use less than {known[name]:,}")


def engines(study: Study) -> Iterator[Problem]:
    """Find engine settings that no program can follow; those of the study once, however many models have them."""
    found: dict[Problem, None] = {}
    for name, entry in study.models.items():
        if isinstance(entry, ServerModel):
            continue
        settings = study.engine_of(name)
        key = "engine" if entry.engine is None else f"models.{name}.engine"
        own = list(_vllm(settings, key)) if settings.kind == "vllm" else []
        if settings.kind != "vllm" and settings.tensor_parallel > 1:
            what = f"{settings.kind} does not split a model over GPUs"
            own.append(Problem(f"{key}.tensor_parallel", what, "set kind: vllm, or leave it out"))
        if settings.kind == "vllm" and silent_role(name, entry) is not None:
            what = f"{name} is {silent_role(name, entry)}, and vllm runs only models that write"
            own.append(Problem(f"models.{name}.engine", what, "give it an engine of its own: {kind: transformers}"))
        if study.site.use_gpu and settings.tensor_parallel > entry.gpus:
            what = f"{entry.gpus} for an engine that splits {name} over {settings.tensor_parallel}"
            own.append(Problem(f"models.{name}.gpus", what, f"set gpus: {settings.tensor_parallel}"))
        found.update(dict.fromkeys(own))
    if any(
        not isinstance(entry, ServerModel) and study.engine_of(name).kind == "vllm"
        for name, entry in study.models.items()
    ):
        for preset, decoding in study.decoding.items():
            if decoding.temperature > _HOTTEST or 0 < decoding.temperature < _COLDEST:
                what = f"{decoding.temperature} is not served by vllm"
                remedy = f"use 0, or {_COLDEST} to {_HOTTEST}"
                yield Problem(f"decoding.{preset}.temperature", what, remedy)
    yield from found


def _vllm(settings: EngineSettings, key: str) -> Iterator[Problem]:
    if settings.dtype == "float64":
        yield Problem(f"{key}.dtype", "vllm has no exact mode (float64)", "set dtype: float32, bfloat16 or float16")
    if settings.attention != "auto":
        yield Problem(f"{key}.attention", "vllm chooses its attention by itself", "leave it out")
    if settings.reproducible == "batch" and settings.device == "cpu":
        what = "vllm has no kernels for the CPU that do not depend on the batch"
        yield Problem(f"{key}.reproducible", what, "set reproducible: schedule")
