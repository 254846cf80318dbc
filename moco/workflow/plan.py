"""The plan: every rule of the workflow as data. The rule files only loop over it.

Nothing here imports torch, pandas or pyarrow: Snakemake reads the plan again in every job.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from moco import paths
from moco.config.engine import EngineSettings
from moco.config.expand import expand
from moco.config.models import AdapterModel, LocalModel, ZooModel
from moco.config.study import Study
from moco.digest import canonical_json
from moco.methods.base import Needs
from moco.scoring import scorer_module
from moco.tasks.paths import source_files
from moco.workflow.slugs import claim_slugs
from moco.workflow.matrix import Batch, Cell, Matrix
from moco.workflow.sources import source_hash

NEVER = "(?!)"
"""A wildcard pattern that matches nothing."""

Wildcards = Any
Inputs = Callable[[Wildcards], dict[str, list[str]]]


def alternatives(names: Iterable[object]) -> str:
    """Return a wildcard pattern that matches exactly these names."""
    return "|".join(re.escape(str(name)) for name in dict.fromkeys(names)) or NEVER


def results(path: str) -> str:
    """Return a path below the results folder, as rules write it."""
    return f"<results>/{path}"


@dataclass(frozen=True)
class Rule:
    """One rule: what the rule files cannot know.

    Attributes:
        name: Of the rule; GPU twins end in `_gpu<n>`.
        inputs: Inputs by name, as a function of the wildcards.
        outputs: Output paths.
        wildcards: Patterns that close the wildcards.
        spec: The job's slice of the configuration as canonical JSON, as a function of the wildcards.
        gpus: GPUs of every job of the rule.
        words: Values for the command line.
        folders: Output folders.
    """

    name: str
    inputs: Inputs
    outputs: list[str]
    wildcards: Mapping[str, str]
    spec: Callable[[Wildcards], str]
    gpus: int
    words: Mapping[str, str]
    folders: Sequence[str] = ()


@dataclass(frozen=True)
class Group:
    """Method variants of one pool and batch whose jobs have the same shape, and so share a rule.

    Attributes:
        pool: Pool.
        batch: Batch.
        needs: Needs of the first variant; the others differ in nothing that shapes a rule.
        gpus: GPUs of every job.
        variants: Method variants.
    """

    pool: str
    batch: str
    needs: Needs
    gpus: int
    variants: list[str]

    def rule_name(self, stage: str) -> str:
        """Return the name of the rule of a stage."""
        parts = [stage, self.pool, self.batch, *self.needs.models]
        if stage == "answer" and self.needs.fit is None:
            parts.append("unfitted")
        return _word("_".join(parts)) + _twin(self.gpus)


@dataclass(frozen=True)
class Derived:
    """A model that a fit makes."""

    pool: str
    task: str
    variant: str
    seed: int
    name: str


class Plan:
    """All rules of a study.

    Args:
        study: The study.

    Raises:
        RequestError: The study names something that does not exist.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.matrix = Matrix(study)
        self.tables = ("moco_main",)
        self.figures = ("moco_win_rate",)

    def build(self) -> None:
        """Work out all rules, so that a mistake appears as one error and not inside a rule."""
        for rules in (self.generate_rules, self.fitted_generate_rules, self.fit_rules, self.answer_rules):
            rules()
        for task in self.matrix.tasks:
            self.prepare_inputs(task)

    def claim(self) -> None:
        """Note in the results folder which names this study uses for what."""
        claim_slugs(self.study, Path("results"))

    # Tasks and models

    def prepare_outputs(self, task: str) -> list[str]:
        """Files of a prepared task."""
        splits = self.matrix.tasks[task].splits
        files = [make(task, split) for split in splits for make in (paths.questions, paths.references)]
        return [results(paths.task_json(task)), *map(results, files)]

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
        return canonical_json({"recipe": name, "steps": entry.steps, "made_of": recipe(name, entry.steps)})

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
            members = dict.fromkeys(self.study.pools[self.derived[name].pool].models)
            return {
                "checkpoint": [results(paths.checkpoint(name))],
                "recipe": [results(paths.recipe_json(name))],
                "parents": [results(paths.model_json(member)) for member in members],
            }
        entry = self.matrix.models[name]
        if isinstance(entry, ZooModel):
            return {"checkpoint": [results(paths.checkpoint(name))]}
        if isinstance(entry, AdapterModel):
            return {"base": [results(paths.model_json(entry.base))], "files": _local_files(entry.path)}
        return {"files": _local_files(entry.path) if isinstance(entry, LocalModel) else []}

    def resolve_spec(self, wildcards: Wildcards) -> str:
        """A model's declaration and the identity of its engine."""
        if wildcards.model in self.derived:
            return canonical_json({"kind": "merge"})
        entry = self.matrix.models[wildcards.model]
        declared = {name: value for name, value in entry.slice().items() if name not in ("description", "engine")}
        return canonical_json({"entry": declared, "engine": self.engine(wildcards.model).slice()})

    def resolve_words(self, wildcards: Wildcards) -> str:
        """Command-line words that name the models a merged model may be made of."""
        if wildcards.model not in self.derived:
            return ""
        members = dict.fromkeys(self.study.pools[self.derived[wildcards.model].pool].models)
        return " ".join(["--parents", *members])

    def engine(self, model: str) -> EngineSettings:
        """Engine settings of a declared model."""
        return self.study.models[model].engine or self.study.engine

    def merge_inputs(self, wildcards: Wildcards) -> dict[str, list[str]]:
        """Recipe and ingredients of a merged model."""
        members = self.study.pools[self.derived[wildcards.model].pool].models
        return {
            "recipe": [results(paths.recipe_json(wildcards.model))],
            "models": [results(paths.model_json(name)) for name in dict.fromkeys(members)],
            "weights": self.weights(members),
        }

    def merge_spec(self, _wildcards: Wildcards) -> str:
        """What decides a merge, besides its inputs."""
        return canonical_json({"source": source_hash("moco.merging.build")})

    def merge_words(self, wildcards: Wildcards) -> str:
        """Names of the models that a recipe's inputs are looked up in."""
        return " ".join(dict.fromkeys(self.study.pools[self.derived[wildcards.model].pool].models))

    def weights(self, models: Iterable[str]) -> list[str]:
        """Checkpoints below results that running these models needs."""
        needed: dict[str, None] = {}
        for name in models:
            if name in self.derived:
                needed[results(paths.checkpoint(name))] = None
                continue
            entry = self.study.models[name]
            if isinstance(entry, AdapterModel):
                needed.update(dict.fromkeys(self.weights([entry.base])))
            elif isinstance(entry, ZooModel):
                needed[results(paths.checkpoint(name))] = None
        return list(needed)

    # Hardware

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
        gib = max((self._gigabytes(name) for name in self.matrix.models), default=1.0)
        base = int(4 + 1.5 * gib)
        wanted: dict[str, Any] = {
            "gpu": rule.gpus,
            "gpus_needed": rule.gpus,
            "mem": lambda _wildcards, attempt: f"{base * attempt}GB",
            "runtime": "4h",
        }
        if rule.gpus and self.study.site.gpu_model:
            wanted["gpu_model"] = self.study.site.gpu_model
        return wanted

    def _gigabytes(self, model: str) -> float:
        width = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}[self.engine(model).dtype]
        return (self.study.models[model].parameters or 0) * width / 1e9

    # Plain responses

    def _samples(self, cell: Cell, split: str) -> int:
        """Plain samples per member that a cell reads on a split."""
        needs = self.matrix.needs(cell.pool, cell.variant)
        if split == "test":
            return needs.answer.plain
        fit = needs.fit
        if fit is None or split not in fit.splits:
            return 0
        return max(fit.plain, 1 if fit.dev_scores and split == "dev" else 0)

    def member_samples(self, pool: str, samples: int) -> list[tuple[str, int]]:
        """Model and stored sample index of the first `samples` plain responses of every member."""
        from moco.methods.base import pool_members

        members = pool_members(self.study.pools[pool].models)
        return [(member.model, member.sample(sample)) for member in members for sample in range(samples)]

    @cached_property
    def generated(self) -> dict[tuple[str, str, int], dict[str, None]]:
        """Models by batch, split and first sample of the block."""
        wanted: dict[tuple[str, str, int], dict[str, None]] = {}
        for model, batch in self.singles:
            for split in ("dev", "test"):
                if split in self.matrix.batches[batch].splits:
                    wanted.setdefault((batch, split, 0), {})[model] = None
        for cell in self.matrix.cells:
            for split in self.matrix.batches[cell.batch].splits:
                for model, sample in self.member_samples(cell.pool, self._samples(cell, split)):
                    wanted.setdefault((cell.batch, split, _block(sample)[0]), {})[model] = None
        return wanted

    @cached_property
    def singles(self) -> list[tuple[str, str]]:
        """Model and batch of every single-model row."""
        pairs: dict[tuple[str, str], None] = {}
        for block in self.study.compare:
            tasks = set(self.matrix.block_tasks(block))
            for batch in self.matrix.batches.values():
                if set(batch.tasks) <= tasks:
                    for pool in self.matrix.block_pools(block):
                        pairs.update(dict.fromkeys((model, batch.name) for model in self.study.pools[pool].models))
        return list(pairs)

    def generate_rules(self) -> list[Rule]:
        """Rules that make plain responses of declared models: dev and test of sample 0 in one job, else a split each."""
        groups: dict[tuple[str, tuple[str, ...], int], dict[str, None]] = {}
        for (name, split, first), models in self.generated.items():
            main = tuple(other for other in ("dev", "test") if other in self.matrix.batches[name].splits)
            together = main if first == 0 and split in main else (split,)
            groups.setdefault((name, together, first), {}).update(models)
        rules = []
        for (name, splits, first), models in groups.items():
            samples = range(_block(first)[0], _block(first)[1] + 1)
            for gpus in sorted({self.gpus([model]) for model in models}):
                chosen = [model for model in models if self.gpus([model]) == gpus]
                rules.append(self._generate_rule(self.matrix.batches[name], splits, samples, chosen, gpus))
        return rules

    def _generate_rule(
        self, batch: Batch, splits: Sequence[str], samples: range, models: Sequence[str], gpus: int
    ) -> Rule:
        span = str(samples[0]) if len(samples) == 1 else f"{samples[0]}-{samples[-1]}"
        spec = self._generate_spec(batch, splits, samples)
        return Rule(
            name=f"generate_{_word(batch.name)}_{'_'.join(splits)}_s{span.replace('-', '_')}{_twin(gpus)}",
            inputs=lambda wildcards: {
                "questions": [results(paths.questions(task, split)) for task in batch.tasks for split in splits],
                "model": [results(paths.model_json(wildcards.model))],
                "weights": self.weights([wildcards.model]),
            },
            outputs=[
                results(paths.generation("{model}", task, split, batch.decoding, "{seed}", sample))
                for task in batch.tasks
                for split in splits
                for sample in samples
            ],
            wildcards={"model": alternatives(models), "seed": alternatives(self.study.seeds)},
            spec=lambda _wildcards: spec,
            gpus=gpus,
            words={"tasks": " ".join(batch.tasks), "splits": " ".join(splits), "samples": span},
        )

    def _generate_spec(self, batch: Batch, splits: Sequence[str], samples: range) -> str:
        return canonical_json(
            {
                "tasks": list(batch.tasks),
                "splits": list(splits),
                "samples": [samples[0], samples[-1]],
                "decoding_name": batch.decoding,
                "decoding": self.study.decoding[batch.decoding].slice(),
            }
        )

    def fitted_generate_rules(self) -> list[Rule]:
        """Rules that make plain test responses of the models that fits made."""
        return [
            self._fitted_generate_rule(group)
            for group in self.groups("generate")
            if group.needs.models and group.needs.answer.fitted_plain
        ]

    def _fitted_generate_rule(self, group: "Group") -> Rule:
        batch, names = self.matrix.batches[group.batch], group.needs.models
        samples = range(group.needs.answer.fitted_plain)
        pairs = [(task, name) for task in batch.tasks for name in names]

        def slugs(method: str, seed: object) -> list[str]:
            return [paths.fitted_model(group.pool, task, method, seed, name) for task, name in pairs]

        spec = self._generate_spec(batch, ["test"], samples)
        return Rule(
            name=group.rule_name("generate_fitted"),
            inputs=lambda wildcards: {
                "questions": [results(paths.questions(task, "test")) for task in batch.tasks],
                "model": [results(paths.model_json(slug)) for slug in slugs(wildcards.method, wildcards.seed)],
                "weights": [results(paths.checkpoint(slug)) for slug in slugs(wildcards.method, wildcards.seed)],
            },
            outputs=[
                results(paths.generation(slug, task, "test", batch.decoding, "{seed}", sample))
                for slug, (task, _) in zip(slugs("{method}", "{seed}"), pairs, strict=True)
                for sample in samples
            ],
            wildcards=self._method_wildcards(group),
            spec=lambda _wildcards: spec,
            gpus=group.gpus,
            words={
                "pool": group.pool,
                "names": " ".join(names),
                "tasks": " ".join(batch.tasks),
                "samples": f"0-{len(samples) - 1}" if len(samples) > 1 else "0",
            },
        )

    # Methods

    def method_spec(self, cell: Cell, stage: str) -> dict[str, Any]:
        """A method job's slice of the configuration."""
        method = self.matrix.variants[cell.variant]
        needs = self.matrix.needs(cell.pool, cell.variant)
        batch = self.matrix.batches[cell.batch]
        reads_scores = needs.fit is not None and (needs.fit.dev_scores or needs.fit.references)
        scored = reads_scores if stage == "fit" else needs.answer.extracts
        spec: dict[str, Any] = {
            "method": method.id,
            "params": method.params.slice(),
            "source": source_hash(type(method).__module__),
            "pool": list(self.study.pools[cell.pool].models),
            "tasks": {
                name: {"type": batch.type, "answers": self.matrix.tasks[name].entry.answers} for name in batch.tasks
            },
            "scorer": self.study.scorer,
            "scorer_source": source_hash(scorer_module(batch.type)) if scored else None,
            "decoding_name": batch.decoding,
            "decoding": self.study.decoding[batch.decoding].slice(),
        }
        if needs.descriptions:
            spec["descriptions"] = list(self.matrix.descriptions(cell.pool) or ())
        return spec

    def groups(self, stage: str) -> list["Group"]:
        """Return the method variants of every pool and batch whose jobs of a stage have the same shape."""
        groups: dict[tuple[Any, ...], Group] = {}
        for cell in self.matrix.cells:
            needs = self.matrix.needs(cell.pool, cell.variant)
            gpus = self._stage_gpus(cell, needs, stage)
            shape = (cell.pool, cell.batch, gpus, needs.models, needs.answer.fitted_plain, needs.fit is not None)
            group = groups.setdefault(shape, Group(cell.pool, cell.batch, needs, gpus, []))
            group.variants.append(cell.variant)
        return list(groups.values())

    def _stage_gpus(self, cell: Cell, needs: Needs, stage: str) -> int:
        models = self.study.pools[cell.pool].models
        if stage == "fit":
            return self.gpus(models, needs) if needs.fit_runs_models else 0
        if stage == "answer":
            return self.gpus(models, needs, live=needs.answer.live) if needs.answer_runs_models else 0
        return self.gpus(models)

    def _method_wildcards(self, group: "Group") -> dict[str, str]:
        return {"method": alternatives(group.variants), "seed": alternatives(self.study.seeds)}

    def _method_specs(self, group: "Group", stage: str) -> Callable[[Wildcards], str]:
        specs = {
            variant: canonical_json(self.method_spec(Cell(group.pool, group.batch, variant), stage))
            for variant in group.variants
        }
        return lambda wildcards: specs[wildcards.method]

    def fit_rules(self) -> list[Rule]:
        """Rules that fit methods."""
        return [self._fit_rule(group) for group in self.groups("fit") if group.needs.fit is not None]

    def _fit_rule(self, group: "Group") -> Rule:
        batch = self.matrix.batches[group.batch]
        return Rule(
            name=group.rule_name("fit"),
            inputs=lambda wildcards: self._fit_inputs(Cell(group.pool, group.batch, wildcards.method), wildcards.seed),
            outputs=[
                results(paths.recipe_json(paths.fitted_model(group.pool, task, "{method}", "{seed}", name)))
                for task in batch.tasks
                for name in group.needs.models
            ],
            folders=[results(paths.fit_folder(group.pool, task, "{method}", "{seed}")) for task in batch.tasks],
            wildcards=self._method_wildcards(group),
            spec=self._method_specs(group, "fit"),
            gpus=group.gpus,
            words={"pool": group.pool},
        )

    def _fit_inputs(self, cell: Cell, seed: object) -> dict[str, list[str]]:
        needs = self.matrix.needs(cell.pool, cell.variant)
        fit = needs.fit
        assert fit is not None
        batch = self.matrix.batches[cell.batch]
        inputs = {
            "questions": [results(paths.questions(task, split)) for task in batch.tasks for split in fit.splits],
            "models": self._model_files(cell.pool),
            "plain": [
                results(paths.generation(model, task, split, batch.decoding, seed, sample))
                for task in batch.tasks
                for split in fit.splits
                for model, sample in self.member_samples(cell.pool, fit.plain)
            ],
            "weights": self.weights(self.study.pools[cell.pool].models) if needs.fit_runs_models else [],
        }
        if fit.references or fit.dev_scores:
            inputs["references"] = [
                results(paths.references(task, split)) for task in batch.tasks for split in fit.splits
            ]
        if fit.dev_scores:
            inputs["scores"] = [
                results(paths.scores(self.study.scorer, paths.generation(model, task, "dev", batch.decoding, seed, sample)))
                for task in batch.tasks
                for model, sample in self.member_samples(cell.pool, 1)
            ]
        return inputs

    def _model_files(self, pool: str) -> list[str]:
        return [results(paths.model_json(name)) for name in dict.fromkeys(self.study.pools[pool].models)]

    def answer_rules(self) -> list[Rule]:
        """Rules that answer questions."""
        return [self._answer_rule(group) for group in self.groups("answer")]

    def _answer_rule(self, group: "Group") -> Rule:
        batch = self.matrix.batches[group.batch]
        return Rule(
            name=group.rule_name("answer"),
            inputs=lambda wildcards: self._answer_inputs(
                Cell(group.pool, group.batch, wildcards.method), wildcards.seed, wildcards.split
            ),
            outputs=[
                results(make(group.pool, task, "{method}", "{seed}", "{split}"))
                for task in batch.tasks
                for make in (paths.answers, paths.calls)
            ],
            wildcards={**self._method_wildcards(group), "split": "test|distill"},
            spec=self._method_specs(group, "answer"),
            gpus=group.gpus,
            words={"pool": group.pool},
        )

    def _answer_inputs(self, cell: Cell, seed: object, split: str) -> dict[str, list[str]]:
        needs = self.matrix.needs(cell.pool, cell.variant)
        batch = self.matrix.batches[cell.batch]
        plain = [
            results(paths.generation(model, task, split, batch.decoding, seed, sample))
            for task in batch.tasks
            for model, sample in self.member_samples(cell.pool, needs.answer.plain)
        ]
        fitted = [
            results(paths.generation(paths.fitted_model(cell.pool, task, cell.variant, seed, name), task, split, batch.decoding, seed, sample))
            for task in batch.tasks
            for name in needs.models
            for sample in range(needs.answer.fitted_plain)
        ]
        return {
            "questions": [results(paths.questions(task, split)) for task in batch.tasks],
            "models": self._model_files(cell.pool),
            "plain": plain + fitted,
            "fit": [results(paths.fit_folder(cell.pool, task, cell.variant, seed)) for task in batch.tasks] if needs.fit else [],
            "weights": self.weights(self.study.pools[cell.pool].models) if needs.answer_runs_models else [],
        }

    # Scores

    @property
    def scorers(self) -> list[str]:
        """Rule sets that score."""
        return list(dict.fromkeys([self.study.scorer, *self.study.also_score]))

    def score_spec(self, batch: Batch, scorer: str) -> str:
        """What decides scores, besides their inputs."""
        return canonical_json({"scorer": scorer, "type": batch.type, "source": source_hash(scorer_module(batch.type))})

    def score_plain_rules(self) -> list[Rule]:
        """Rules that score plain responses."""
        rules = []
        for batch in self.matrix.batches.values():
            for split in (s for s in ("dev", "test") if s in batch.splits):
                rules.append(self._score_plain_rule(batch, split))
        return rules

    def _score_plain_rule(self, batch: Batch, split: str) -> Rule:
        def generation(task: str, wildcards: Any) -> str:
            return paths.generation(wildcards.model, task, split, batch.decoding, wildcards.seed, wildcards.sample)

        pattern = [paths.generation("{model}", task, split, batch.decoding, "{seed}", "{sample}") for task in batch.tasks]
        return Rule(
            name=f"score_plain_{_word(batch.name)}_{split}",
            inputs=lambda wildcards: {
                **self._task_files(batch, split),
                "replies": [results(generation(task, wildcards)) for task in batch.tasks],
            },
            outputs=[results(paths.scores("{scorer}", path)) for path in pattern],
            wildcards={
                "scorer": alternatives(self.scorers),
                "model": alternatives(self.matrix.models),
                "seed": alternatives(self.study.seeds),
                "sample": "[0-9]+",
            },
            spec=lambda wildcards: self.score_spec(batch, wildcards.scorer),
            gpus=0,
            words={"tasks": " ".join(batch.tasks), "split": split, "decoding": batch.decoding},
        )

    def score_answers_rules(self) -> list[Rule]:
        """Rules that score answers of methods."""
        groups: dict[tuple[str, str], list[str]] = {}
        for cell in self.matrix.cells:
            groups.setdefault((cell.pool, cell.batch), []).append(cell.variant)
        return [
            self._score_answers_rule(pool, self.matrix.batches[batch], variants)
            for (pool, batch), variants in groups.items()
        ]

    def _score_answers_rule(self, pool: str, batch: Batch, variants: Sequence[str]) -> Rule:
        pattern = [paths.answers(pool, task, "{method}", "{seed}", "{split}") for task in batch.tasks]
        return Rule(
            name=f"score_answers_{_word(pool)}_{_word(batch.name)}",
            inputs=lambda wildcards: {
                **self._task_files(batch, wildcards.split),
                "replies": [
                    results(paths.answers(pool, task, wildcards.method, wildcards.seed, wildcards.split))
                    for task in batch.tasks
                ],
            },
            outputs=[results(paths.scores("{scorer}", path)) for path in pattern],
            wildcards={
                "scorer": alternatives(self.scorers),
                "method": alternatives(variants),
                "seed": alternatives(self.study.seeds),
                "split": "test|distill",
            },
            spec=lambda wildcards: self.score_spec(batch, wildcards.scorer),
            gpus=0,
            words={"pool": pool, "tasks": " ".join(batch.tasks)},
        )

    @staticmethod
    def _task_files(batch: Batch, split: str) -> dict[str, list[str]]:
        return {
            "questions": [results(paths.questions(task, split)) for task in batch.tasks],
            "references": [results(paths.references(task, split)) for task in batch.tasks],
        }

    # Outputs

    @cached_property
    def score_inputs(self) -> list[str]:
        """All test score files under the study's own rule set."""
        return [results(path) for path in self.score_files(self.study.scorer)]

    @cached_property
    def further_scores(self) -> list[str]:
        """All test score files under the further rule sets."""
        return [results(path) for scorer in self.scorers[1:] for path in self.score_files(scorer)]

    def analysis_json(self, _wildcards: Wildcards) -> str:
        """The study as tables and figures see it."""
        return canonical_json(self.analysis_spec())

    def score_files(self, scorer: str) -> list[str]:
        """All test score files under a rule set."""
        files = []
        for model, name in self.singles:
            batch = self.matrix.batches[name]
            for task in batch.tasks:
                for seed in self.study.seeds:
                    files.append(paths.scores(scorer, paths.generation(model, task, "test", batch.decoding, seed, 0)))
        for cell in self.matrix.cells:
            for task in self.matrix.batches[cell.batch].tasks:
                for seed in self.study.seeds:
                    files.append(paths.scores(scorer, paths.answers(cell.pool, task, cell.variant, seed, "test")))
        return files

    def analysis_spec(self) -> dict[str, Any]:
        """The study as tables and figures see it, small enough for a command line."""
        batches = self.matrix.batches
        exact = all(self.engine(name).dtype == "float64" for name in self.matrix.models) and not self.study.site.use_gpu
        return {
            "study": self.study.study,
            "scorer": self.study.scorer,
            "class": "exact" if exact else "scheduled",
            "seeds": list(self.study.seeds),
            "min_coverage": self.study.min_coverage,
            "batches": {
                batch.name: {
                    "tasks": {task: self.matrix.tasks[task].entry.domain for task in batch.tasks},
                    "type": batch.type,
                    "decoding": batch.decoding,
                }
                for batch in batches.values()
            },
            "pools": {pool: list(self.study.pools[pool].models) for pool in self.matrix.pools},
            "singles": [list(pair) for pair in self.singles],
            "methods": {
                name: {"method": method.id, "level": method.level} for name, method in self.matrix.variants.items()
            },
            "cells": [[cell.pool, cell.batch, cell.variant] for cell in self.matrix.cells],
            "not_applicable": [
                [entry.pool, entry.batch, entry.variant, entry.reason] for entry in self.matrix.not_applicable
            ],
        }


def _block(sample: int) -> tuple[int, int]:
    for first, last in paths.BLOCKS:
        if first <= sample <= last:
            return first, last
    raise ValueError(f"sample {sample} is beyond the last block")


def _word(slug: str) -> str:
    """Return a slug as part of a rule name, which has no dashes."""
    return slug.replace("-", "_")


def _twin(gpus: int) -> str:
    return f"_gpu{gpus}" if gpus else ""


def _local_files(path: str | None) -> list[str]:
    if path is None:
        return []
    folder = Path(expand(path))
    files = sorted(file for file in folder.glob("*") if file.suffix in (".safetensors", ".json", ".jinja"))
    return [str(file) for file in files] or [str(folder / "config.json")]
