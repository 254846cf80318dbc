"""The stages that make tasks and models: prepare, zoo, merge, resolve; and what jobs need of the hardware."""

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from moco import paths
from moco.config.engine import EngineSettings
from moco.config.expand import expand
from moco.config.models import AdapterModel, LocalModel, ServerModel, ZooModel
from moco.config.study import Study
from moco.digest import canonical_json
from moco.methods.base import Needs
from moco.tasks.paths import source_files
from moco.workflow.matrix import Matrix
from moco.workflow.rule import (
    Derived,
    Rule,
    Wildcards,
    alternatives,
    results,
)
from moco.workflow.sources import source_hash

MERGE_MODULE = "moco.merging.build"
"""The module whose code, with all that it imports, decides what a merge is."""


class ModelStage:
    """Tasks, models and hardware of a study.

    Args:
        study: The study.

    Raises:
        RequestError: The study names something that does not exist.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.matrix = Matrix(study)

    def prepare_outputs(self, task: str) -> list[str]:
        """Files of a prepared task."""
        splits = self.matrix.tasks[task].splits
        files = [make(task, split) for split in splits for make in (paths.questions, paths.references)]
        return [results(paths.task_json(task)), results(paths.dropped(task)), *map(results, files)]

    def prepare_inputs(self, task: str) -> list[str]:
        """Source files of a task."""
        return [str(path) for path in source_files(self.matrix.tasks[task].entry).values()]

    def prepare_spec(self, task: str) -> Callable[[Wildcards], str]:
        """Slice of the configuration that decides a task's files."""
        spec = canonical_json(self.matrix.tasks[task].entry.slice())
        return lambda _wildcards: spec

    @cached_property
    def zoo_pattern(self) -> str:
        """Models that the workflow trains itself, as a wildcard pattern."""
        return alternatives(name for name, entry in self.matrix.models.items() if isinstance(entry, ZooModel))

    @cached_property
    def derived_pattern(self) -> str:
        """Models that fits make, as a wildcard pattern."""
        return alternatives(self.derived)

    @cached_property
    def model_pattern(self) -> str:
        """All models, as a wildcard pattern."""
        return alternatives([*self.matrix.models, *self.derived])

    def zoo_inputs(self, wildcards: Wildcards) -> list[str]:
        """Checkpoint of the model that a zoo model is trained from."""
        parent = self.matrix.zoo_parent(wildcards.model)
        return [results(paths.checkpoint(parent))] if parent in self.matrix.models else []

    def zoo_spec(self, wildcards: Wildcards) -> str:
        """What decides a zoo model's weights."""
        from moco.zoo.roster import recipe

        entry = self.study.models[wildcards.model]
        assert isinstance(entry, ZooModel)
        name = entry.recipe or wildcards.model
        made_of = recipe(name, entry.steps, entry.seed)
        return canonical_json({"recipe": name, "steps": entry.steps, "seed": entry.seed, "made_of": made_of})

    @cached_property
    def derived(self) -> dict[str, Derived]:
        """Models that fits make, by slug."""
        models = {}
        for cell in self.matrix.cells:
            for name in self.matrix.needs(cell.pool, cell.variant).models:
                for task in self.matrix.batches[cell.batch].tasks:
                    for seed in self.study.seeds:
                        slug = paths.fitted_model(cell.pool, task, cell.variant, seed, name)
                        models[slug] = Derived(cell.pool, task, cell.variant, seed, name)
        return models

    def resolve_inputs(self, wildcards: Wildcards) -> dict[str, list[str]]:
        """What a model's description is read from."""
        name = wildcards.model
        if name in self.derived:
            return {
                "checkpoint": [results(paths.checkpoint(name))],
                "recipe": [results(paths.recipe_json(name))],
                "parents": [results(paths.model_json(source)) for source in self.sources(name)],
            }
        entry, base = self.matrix.models[name], self.matrix.base(name)
        needed = {"base": [results(paths.model_json(base))]} if base else {}
        if isinstance(entry, ZooModel):
            return {**needed, "checkpoint": [results(paths.checkpoint(name))]}
        if isinstance(entry, AdapterModel):
            return {**needed, "files": _local_files(entry.path)}
        return {"files": _local_files(entry.path) if isinstance(entry, LocalModel) else []}

    def resolve_spec(self, wildcards: Wildcards) -> str:
        """A model's declaration and the identity of its engine."""
        if wildcards.model in self.derived:
            return canonical_json({"kind": "merge"})
        entry = self.matrix.models[wildcards.model]
        declared = {name: value for name, value in entry.slice().items() if name not in ("description", "engine")}
        if isinstance(entry, ServerModel):
            return canonical_json({"entry": declared, "engine": {}})
        spec = {
            "entry": declared,
            "engine": self.engine(wildcards.model).slice(),
            "template_date": self.study.template_date,
        }
        base = self.matrix.base(wildcards.model)
        return canonical_json({**spec, "base": base} if base else spec)

    def resolve_words(self, wildcards: Wildcards) -> str:
        """Command-line words that name the models a merged model may be made of."""
        if wildcards.model not in self.derived:
            return ""
        return " ".join(["--parents", *self.sources(wildcards.model)])

    def sources(self, derived: str) -> list[str]:
        """Models that a model made by a fit may be made of."""
        made = self.derived[derived]
        return self.ingredients(made.pool, made.variant)

    def ingredients(self, pool: str, variant: str) -> list[str]:
        """Models that merges of a variant may be made of: the pool's, then the further ones that it declares."""
        further = self.matrix.further_models(pool, variant)
        return list(dict.fromkeys([*self.study.pools[pool].models, *further.values()]))

    def engine(self, model: str) -> EngineSettings:
        """Engine settings of a declared model."""
        return self.study.engine_of(model)

    def merge_inputs(self, wildcards: Wildcards) -> dict[str, list[str]]:
        """Recipe and ingredients of a merged model."""
        sources = self.sources(wildcards.model)
        return {
            "recipe": [results(paths.recipe_json(wildcards.model))],
            "models": [results(paths.model_json(name)) for name in sources],
            "weights": self.weights(sources),
        }

    def merge_spec(self, _wildcards: Wildcards) -> str:
        """What decides a merge, besides its inputs."""
        return canonical_json({"source": source_hash(MERGE_MODULE)})

    def merge_words(self, wildcards: Wildcards) -> str:
        """Names of the models that a recipe's inputs are looked up in."""
        return " ".join(self.sources(wildcards.model))

    def weights(self, models: Iterable[str]) -> list[str]:
        """Checkpoints below results that running these models needs."""
        needed: dict[str, None] = {}
        for name in models:
            if name in self.derived:
                needed[results(paths.checkpoint(name))] = None
                # A merge of one adapter is that adapter, and runs on its base.
                bases = {base for source in self.sources(name) if (base := self.matrix.base(source))}
                needed.update(dict.fromkeys(self.weights(sorted(bases))))
                continue
            base = self.matrix.base(name)
            if base is not None:
                needed.update(dict.fromkeys(self.weights([base])))
            if isinstance(self.study.models[name], ZooModel):
                needed[results(paths.checkpoint(name))] = None
        return list(needed)

    def gpus(self, models: Iterable[str], needs: Needs | None = None, *, live: bool = False) -> int:
        """GPUs of a job that runs these models; 0 where GPUs are not used."""
        if not self.study.site.use_gpu:
            return 0
        each = [self.study.models[name].gpus for name in models]
        if needs is not None and needs.gpus is not None:
            return needs.gpus
        return sum(each) if live else max(each, default=0)

    def resources(self, rule: Rule) -> dict[str, Any]:
        """Resources of a rule's jobs; memory grows with every attempt."""
        if rule.local:
            return {"gpu": 0, "gpus_needed": 0}
        gib = max((self._gigabytes(name) for name in self.matrix.models), default=1.0)
        base = int(4 + 1.5 * gib)
        wanted: dict[str, Any] = {
            "gpu": rule.gpus,
            "gpus_needed": rule.gpus,
            "mem": lambda _wildcards, attempt: f"{base * attempt}GB",
        }
        if rule.gpus and self.study.site.gpu_model:
            wanted["gpu_model"] = self.study.site.gpu_model
        return wanted

    def _gigabytes(self, model: str) -> float:
        if isinstance(self.study.models[model], ServerModel):
            return 0.0
        engine = self.engine(model)
        cache = engine.cache_gb if engine.kind == "vllm" else 0.0
        return (self.study.models[model].parameters or 0) * engine.bytes_per_number / 1e9 + cache


def _local_files(path: str | None) -> list[str]:
    if path is None:
        return []
    folder = Path(expand(path))
    files = sorted(file for file in folder.glob("*") if file.suffix in (".safetensors", ".json", ".jinja"))
    return [str(file) for file in files] or [str(folder / "config.json")]
