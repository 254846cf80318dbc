"""The last stages: scores, and what tables and figures are made of."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from moco import paths
from moco.config.models import ServerModel
from moco.digest import canonical_json
from moco.scoring import scorer_module
from moco.scoring.catalogue import RUNS_CODE
from moco.workflow.matrix import Batch
from moco.workflow.method_stage import MethodStage
from moco.workflow.rule import (
    Rule,
    Wildcards,
    alternatives,
    results,
    twin,
    word,
)
from moco.workflow.sources import source_hash


class _Judged(NamedTuple):
    """Rule sets that ask the same models about replies.

    Attributes:
        scorers: The rule sets.
        models: The models; none where rules alone score.
        suffix: What tells the names of their rules from those of other rule sets.
    """

    scorers: tuple[str, ...]
    models: tuple[str, ...]
    suffix: str


class ScoreStage(MethodStage):
    """Scores, tables, figures, report."""

    @property
    def scorers(self) -> list[str]:
        """Rule sets that score."""
        return self.matrix.scorers

    def score_spec(self, batch: Batch, scorer: str) -> str:
        """What decides scores, besides their inputs."""
        source = source_hash(scorer_module(batch.type))
        spec = {"scorer": scorer, "type": batch.type, "source": source, **self.scoring_spec(batch, scorer)}
        groups = {task: code for task in batch.tasks if (code := self.group_source(task)) is not None}
        return canonical_json({**spec, "groups": groups} if groups else spec)

    def _judged(self, batch: Batch) -> list["_Judged"]:
        """Return the rule sets that score a batch, in groups that ask the same models."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for scorer in self.scorers:
            groups.setdefault(tuple(dict.fromkeys(self.matrix.judges(batch, scorer).values())), []).append(scorer)
        return [
            _Judged(tuple(scorers), models, "_".join(["", *scorers]) if len(groups) > 1 else "")
            for models, scorers in groups.items()
        ]

    def _judge_files(self, judged: "_Judged") -> dict[str, list[str]]:
        return {
            "models": [results(paths.model_json(name)) for name in judged.models],
            "weights": self.weights(judged.models),
        }

    def _hardware(self, batch: Batch, judged: "_Judged") -> dict[str, Any]:
        """Return what scoring needs of a machine; where only text is compared, the one that Snakemake runs on will do."""
        local = not judged.models and batch.type not in RUNS_CODE
        return {"gpus": self.gpus(judged.models), "threads": self.scoring_threads(batch), "local": local}

    def score_plain_rules(self) -> list[Rule]:
        """Rules that score plain responses."""
        return [
            self._score_plain_rule(batch, split, judged)
            for batch in self.matrix.batches.values()
            for split in ("dev", "test")
            if split in batch.splits
            for judged in self._judged(batch)
        ]

    def _score_plain_rule(self, batch: Batch, split: str, judged: "_Judged") -> Rule:
        def replies(wildcards: Any) -> list[str]:
            return [
                results(paths.generation(wildcards.model, task, split, batch.decoding, wildcards.seed, sample))
                for task in batch.tasks
                for sample in self.scored_samples(batch, int(wildcards.sample))
            ]

        pattern = [
            paths.generation("{model}", task, split, batch.decoding, "{seed}", "{sample}") for task in batch.tasks
        ]
        return Rule(
            name=f"score_plain_{word(batch.name)}_{split}{judged.suffix}{twin(self.gpus(judged.models))}",
            inputs=lambda wildcards: {
                **self._task_files(batch, split),
                "replies": replies(wildcards),
                **self._judge_files(judged),
            },
            outputs=[results(paths.scores("{scorer}", path)) for path in pattern],
            wildcards={
                "scorer": alternatives(judged.scorers),
                "model": alternatives(self.matrix.models),
                "seed": alternatives(self.study.seeds),
                "sample": "[0-9]+",
            },
            spec=lambda wildcards: self.score_spec(batch, wildcards.scorer),
            words={"tasks": " ".join(batch.tasks), "split": split, "decoding": batch.decoding},
            **self._hardware(batch, judged),
        )

    def score_answers_rules(self) -> list[Rule]:
        """Rules that score answers of methods."""
        groups: dict[tuple[str, str], list[str]] = {}
        for cell in self.matrix.cells:
            groups.setdefault((cell.pool, cell.batch), []).append(cell.variant)
        return [
            self._score_answers_rule(pool, self.matrix.batches[batch], variants, judged)
            for (pool, batch), variants in groups.items()
            for judged in self._judged(self.matrix.batches[batch])
        ]

    def _score_answers_rule(self, pool: str, batch: Batch, variants: Sequence[str], judged: "_Judged") -> Rule:
        pattern = [paths.answers(pool, task, "{method}", "{seed}", "{split}") for task in batch.tasks]
        return Rule(
            name=f"score_answers_{word(pool)}_{word(batch.name)}{judged.suffix}{twin(self.gpus(judged.models))}",
            inputs=lambda wildcards: {
                **self._task_files(batch, wildcards.split),
                "replies": [
                    results(paths.answers(pool, task, wildcards.method, wildcards.seed, wildcards.split))
                    for task in batch.tasks
                ],
                **self._judge_files(judged),
            },
            outputs=[results(paths.scores("{scorer}", path)) for path in pattern],
            wildcards={
                "scorer": alternatives(judged.scorers),
                "method": alternatives(variants),
                "seed": alternatives(self.study.seeds),
                "split": "test|distill",
            },
            spec=lambda wildcards: self.score_spec(batch, wildcards.scorer),
            words={"pool": pool, "tasks": " ".join(batch.tasks)},
            **self._hardware(batch, judged),
        )

    @staticmethod
    def _task_files(batch: Batch, split: str) -> dict[str, list[str]]:
        return {
            "questions": [results(paths.questions(task, split)) for task in batch.tasks],
            "references": [results(paths.references(task, split)) for task in batch.tasks],
        }

    @cached_property
    def score_inputs(self) -> list[str]:
        """All test score files under the study's own rule set."""
        return [results(path) for path in self.score_files(self.study.scorer)]

    @cached_property
    def analysis_inputs(self) -> list[str]:
        """What tables and figures read: test scores, calls and costs of methods, and what single models cost."""
        files = dict.fromkeys(paths.model_json(model) for model, _ in self.singles)
        for model, name in self.singles:
            batch = self.matrix.batches[name]
            for task in batch.tasks:
                for seed in self.study.seeds:
                    files[paths.generation(model, task, "test", batch.decoding, seed, 0)] = None
        for cell in self.matrix.cells:
            for task in self.matrix.batches[cell.batch].tasks:
                for seed in self.study.seeds:
                    for make in (paths.costs, paths.calls):
                        files[make(cell.pool, task, cell.variant, seed, "test")] = None
        return self.score_inputs + [results(path) for path in files]

    @cached_property
    def task_files(self) -> list[str]:
        """All files of all prepared tasks."""
        return [path for task in self.matrix.tasks for path in self.prepare_outputs(task)]

    def table_inputs(self, wildcards: Wildcards) -> list[str]:
        """What a table reads; that of the data needs no model, and only that of rule sets reads all scores."""
        match wildcards.table:
            case "data_quality":
                return self.task_files
            case "scorer_difference":
                return self.analysis_inputs + self.further_scores
        return self.analysis_inputs

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

    def _result_class(self) -> str:
        """How far the study's results repeat: as far as those of the model that repeats least."""
        if any(isinstance(entry, ServerModel) for entry in self.matrix.models.values()):
            return "sampled"
        exact = all(self.engine(name).dtype == "float64" for name in self.matrix.models)
        return "exact" if exact else "scheduled"

    def analysis_spec(self) -> dict[str, Any]:
        """The study as tables and figures see it, small enough for a command line."""
        batches = self.matrix.batches
        return {
            "study": self.study.study,
            "configuration": self.study.digest(),
            "scorer": self.study.scorer,
            **({"also_score": self.scorers[1:]} if self.scorers[1:] else {}),
            "class": self._result_class(),
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
