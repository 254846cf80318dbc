"""The stage of cached logits: of options, of reference answers, and of plain responses."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from moco import paths
from moco.methods.logits import LogitsKind
from moco.workflow.matrix import Batch, Cell
from moco.workflow.response_stage import ResponseStage
from moco.workflow.rule import Rule, alternatives, block_of, results, twin, word


class _Place(NamedTuple):
    """What one rule of the stage makes, for any of its models and for the splits that are read."""

    batch: str
    kind: LogitsKind
    first: int


class LogitsStage(ResponseStage):
    """Cached logits of declared models."""

    def logits_kinds(self, cell: Cell, split: str) -> tuple[LogitsKind, ...]:
        """Kinds of cached logits that a cell reads on a split."""
        needs = self.matrix.needs(cell.pool, cell.variant)
        if split == "test":
            return needs.answer.logits
        return needs.fit.logits if needs.fit is not None and split in needs.fit.splits else ()

    def logits_inputs(
        self, cell: Cell, splits: Sequence[str], kinds: Sequence[LogitsKind], samples: int, seed: object
    ) -> list[str]:
        """Files of cached logits that a job of a cell reads.

        Args:
            cell: The cell.
            splits: Splits that the job reads.
            kinds: Kinds that it reads.
            samples: Plain samples per member that it reads.
            seed: Run seed.
        """
        batch = self.matrix.batches[cell.batch]
        models = dict.fromkeys(self.study.pools[cell.pool].models)
        files = []
        for kind in kinds:
            for task in batch.tasks:
                for split in splits:
                    pairs = (
                        self.plain_samples(cell, split, samples)
                        if kind == "response"
                        else [(name, 0) for name in models]
                    )
                    files += [results(paths.logits(kind, model, task, split, batch.decoding, seed, index)) for model, index in pairs]
        return files

    @cached_property
    def _wanted(self) -> dict[_Place, dict[str, set[str]]]:
        """Splits by model and by what is wanted of it."""
        wanted: dict[_Place, dict[str, set[str]]] = {}
        for cell in self.matrix.cells:
            for split in self.matrix.batches[cell.batch].splits:
                for kind in self.logits_kinds(cell, split):
                    places = (
                        self.plain_samples(cell, split, self._samples(cell, split))
                        if kind == "response"
                        else [(model, 0) for model in self.study.pools[cell.pool].models]
                    )
                    for model, sample in places:
                        place = _Place(cell.batch, kind, block_of(sample)[0] if kind == "response" else 0)
                        wanted.setdefault(place, {}).setdefault(model, set()).add(split)
        return wanted

    def logits_rules(self) -> list[Rule]:
        """Rules that cache logits."""
        rules = []
        for place, wanted in self._wanted.items():
            groups: dict[tuple[tuple[str, ...], int], list[str]] = {}
            for model, read in wanted.items():
                splits = tuple(split for split in self.matrix.batches[place.batch].splits if split in read)
                groups.setdefault((splits, self.gpus([model])), []).append(model)
            rules += [self._logits_rule(place, splits, models, gpus) for (splits, gpus), models in groups.items()]
        return rules

    def _logits_rule(self, place: _Place, splits: Sequence[str], models: Sequence[str], gpus: int) -> Rule:
        batch = self.matrix.batches[place.batch]
        responses = place.kind == "response"
        first, last = block_of(place.first) if responses else (0, 0)
        samples = range(first, last + 1)
        span = str(first) if first == last else f"{first}-{last}"
        spec = self._generate_spec(batch, splits, samples) if responses else "{}"
        block = [f"s{span.replace('-', '_')}"] if responses else []

        def inputs(wildcards: Any) -> dict[str, list[str]]:
            found = {
                "questions": [results(paths.questions(task, split)) for task in batch.tasks for split in splits],
                "model": [results(paths.model_json(wildcards.model))],
                "weights": self.weights([wildcards.model]),
            }
            if responses:
                found["plain"] = [
                    results(
                        paths.generation(wildcards.model, task, split, batch.decoding, wildcards.seed, sample)
                    )
                    for task in batch.tasks
                    for split in splits
                    for sample in samples
                ]
            if place.kind == "reference":
                found["references"] = [
                    results(paths.references(task, split)) for task in batch.tasks for split in splits
                ]
            return found

        return Rule(
            name="_".join(["logits", place.kind, word(batch.name), *splits, *block]) + twin(gpus),
            inputs=inputs,
            outputs=[
                results(paths.logits(place.kind, "{model}", task, split, batch.decoding, "{seed}", sample))
                for task in batch.tasks
                for split in splits
                for sample in samples
            ],
            wildcards={
                "model": alternatives(models),
                **({"seed": alternatives(self.study.seeds)} if responses else {}),
            },
            spec=lambda _wildcards: spec,
            gpus=gpus,
            words={
                "kind": place.kind,
                "tasks": " ".join(batch.tasks),
                "splits": " ".join(splits),
                "which": (lambda wildcards: f"--samples {span} --seed {wildcards.seed}") if responses else "",
            },
        )

