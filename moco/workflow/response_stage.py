"""The stage of plain responses: which models answer what, in jobs of batches and sample blocks."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from moco import paths
from moco.digest import canonical_json
from moco.methods.base import Needs, pool_members
from moco.workflow.matrix import Batch, Cell
from moco.workflow.model_stage import ModelStage
from moco.workflow.rule import Group, Rule, alternatives, block_of, results, twin, word


FIT_SPLITS = ("dev", "train")
"""Splits that only fits read."""


class ResponseStage(ModelStage):
    """Plain responses, of declared models and of those that fits make."""

    def _samples(self, cell: Cell, split: str) -> int:
        """Plain samples per member that a cell reads on a split, those behind scores of single models aside."""
        needs = self.matrix.needs(cell.pool, cell.variant)
        if split == "test":
            return needs.answer.plain * self.matrix.batches[cell.batch].answers
        fit = needs.fit
        if fit is None or split not in fit.splits:
            return 0
        return fit.plain

    def asked_models(self, cell: Cell) -> frozenset[str]:
        """Models of a cell's pool that its answer job itself asks for the plain test responses that it reads."""
        if self.matrix.needs(cell.pool, cell.variant).answer.plain_mode != "lazy":
            return frozenset()
        return frozenset(name for name in self.study.pools[cell.pool].models if self.study.models[name].priced)

    def plain_samples(self, cell: Cell, split: str, samples: int) -> list[tuple[str, int]]:
        """Model and stored sample index of the first plain responses of every member that a cell wants made ahead."""
        asked = frozenset() if split in FIT_SPLITS else self.asked_models(cell)
        return [(model, sample) for model, sample in self.member_samples(cell.pool, samples) if model not in asked]

    def plain_inputs(self, cell: Cell, split: str, samples: int) -> list[tuple[str, int]]:
        """Model and stored sample index of the plain responses that an answer job waits for.

        Those of a priced model are among them where something else has them made ahead, so that nothing is asked twice.
        """
        ahead = {*self.plain_samples(cell, split, samples)}
        return [
            (model, sample)
            for model, sample in self.member_samples(cell.pool, samples)
            if (model, sample) in ahead or model in self.generated.get((cell.batch, split, block_of(sample)[0]), ())
        ]

    def scored_samples(self, batch: Batch, copy: int) -> range:
        """Plain samples behind the score of a copy of a model: as many as are scored together, none of another copy."""
        return range(copy * batch.together, (copy + 1) * batch.together)

    def member_samples(self, pool: str, samples: int) -> list[tuple[str, int]]:
        """Model and stored sample index of the first `samples` plain responses of every member."""
        members = pool_members(self.study.pools[pool].models)
        return [(member.model, member.sample(sample)) for member in members for sample in range(samples)]

    @cached_property
    def generated(self) -> dict[tuple[str, str, int], dict[str, None]]:
        """Models by batch, split and first sample of the block."""
        wanted: dict[tuple[str, str, int], dict[str, None]] = {}
        for model, batch in self.singles:
            for split in ("dev", "test"):
                if split in self.matrix.batches[batch].splits:
                    for sample in self.scored_samples(self.matrix.batches[batch], 0):
                        wanted.setdefault((batch, split, block_of(sample)[0]), {})[model] = None
        for cell in self.matrix.cells:
            for split in self.matrix.batches[cell.batch].splits:
                for model, sample in self.plain_samples(cell, split, self._samples(cell, split)):
                    wanted.setdefault((cell.batch, split, block_of(sample)[0]), {})[model] = None
            fit = self.matrix.needs(cell.pool, cell.variant).fit
            if fit is not None and fit.dev_scores:
                for model, copy in self.member_samples(cell.pool, 1):
                    for sample in self.scored_samples(self.matrix.batches[cell.batch], copy):
                        wanted.setdefault((cell.batch, "dev", block_of(sample)[0]), {})[model] = None
        return wanted

    @cached_property
    def singles(self) -> list[tuple[str, str]]:
        """Model and batch of every single-model row."""
        pairs: dict[tuple[str, str], None] = {}
        for block in self.study.compare:
            tasks, chosen = set(self.matrix.block_tasks(block)), self.matrix.block_singles(block)
            for batch in self.matrix.batches.values():
                if set(batch.tasks) <= tasks:
                    for pool in self.matrix.block_pools(block):
                        models = [model for model in self.study.pools[pool].models if model in chosen]
                        pairs.update(dict.fromkeys((model, batch.name) for model in models))
        return list(pairs)

    def generate_rules(self) -> list[Rule]:
        """Rules that make plain responses of declared models: dev and test of sample 0 in one job, else a split each."""
        groups: dict[tuple[str, tuple[str, ...], int], dict[str, None]] = {}
        for (name, split, first), models in self.generated.items():
            for model in models:
                wanted = tuple(other for other in ("dev", "test") if model in self.generated.get((name, other, 0), ()))
                together = wanted if first == 0 and split in wanted else (split,)
                groups.setdefault((name, together, first), {})[model] = None
        rules = []
        for (name, splits, first), models in groups.items():
            samples = range(block_of(first)[0], block_of(first)[1] + 1)
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
            name=f"generate_{word(batch.name)}_{'_'.join(splits)}_s{span.replace('-', '_')}{twin(gpus)}",
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

    def _fitted_generate_rule(self, group: Group) -> Rule:
        batch, names = self.matrix.batches[group.batch], group.needs.models
        samples = range(group.needs.answer.fitted_plain * batch.answers)
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
            wildcards=self.method_wildcards(group),
            spec=lambda _wildcards: spec,
            gpus=group.gpus,
            words={
                "pool": group.pool,
                "names": " ".join(names),
                "tasks": " ".join(batch.tasks),
                "samples": f"0-{len(samples) - 1}" if len(samples) > 1 else "0",
            },
        )

    def groups(self, stage: str) -> list[Group]:
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
            return max(self.gpus(models, needs) if needs.fit_runs_models else 0, self.gpus(self._fit_judges(cell, needs)))
        if stage == "answer":
            if needs.answer_runs_models:
                return self.gpus(models, needs, live=needs.answer.live)
            return self.gpus(self.asked_models(cell))
        return self.gpus(models)

    def _fit_judges(self, cell: Cell, needs: Needs) -> list[str]:
        """Return the models that judge answers of a fit's own."""
        if needs.fit is None or not needs.fit.references:
            return []
        return list(self.matrix.judges(self.matrix.batches[cell.batch], self.study.scorer).values())

    def method_wildcards(self, group: Group) -> dict[str, str]:
        """Return the patterns that close the wildcards of a group's rules."""
        return {"method": alternatives(group.variants), "seed": alternatives(self.study.seeds)}
