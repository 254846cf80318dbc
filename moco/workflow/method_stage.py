"""The stages of methods: fit and answer."""

from collections.abc import Callable
from typing import Any

from moco import paths
from moco.digest import canonical_json
from moco.scoring import scorer_module
from moco.scoring.catalogue import RUNS_CODE
from moco.scoring.judges import SETS, scoring_slice
from moco.workflow.logits_stage import LogitsStage
from moco.workflow.matrix import Batch, Cell
from moco.workflow.model_stage import MERGE_MODULE
from moco.workflow.rule import Group, Rule, Wildcards, results
from moco.workflow.sources import source_hash


class MethodStage(LogitsStage):
    """Fits and answers."""

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
            "tasks": {name: self._task_spec(name, batch, stage, reads_scores) for name in batch.tasks},
            "scorer": self.study.scorer,
            "scorer_source": source_hash(scorer_module(batch.type)) if scored else None,
            "decoding_name": batch.decoding,
            "decoding": self.study.decoding[batch.decoding].slice(),
        }
        if stage == "fit" and reads_scores:
            spec |= self.scoring_spec(batch, self.study.scorer)
        if stage == "answer" and needs.answer.live:
            spec["decoding_source"] = source_hash("moco.decoding.joint")
        if stage == "fit" and needs.further_models:
            spec["further_models"] = self.matrix.further_models(cell.pool, cell.variant)
        if stage == "fit" and needs.fit is not None and needs.fit.generates and needs.models:
            spec["merge_source"] = source_hash(MERGE_MODULE)
        if needs.descriptions:
            spec["descriptions"] = list(self.matrix.descriptions(cell.pool) or ())
        return spec

    def _task_spec(self, name: str, batch: Batch, stage: str, reads_scores: bool) -> dict[str, Any]:
        spec: dict[str, Any] = {"type": batch.type, "answers": self.matrix.tasks[name].entry.answers}
        source = self.group_source(name) if stage == "fit" and reads_scores else None
        return spec if source is None else {**spec, "groups": source}

    def group_source(self, task: str) -> str | None:
        """Hash of the code that scores groups, or None for a task whose items score one by one."""
        return source_hash("moco.scoring.groups") if self.matrix.tasks[task].entry.group_score else None

    def scoring_spec(self, batch: Batch, rules: str) -> dict[str, Any]:
        """What decides scores of a batch besides the scorer: how code runs, which models judge, replies together."""
        chosen = scoring_slice(batch.type, rules, self.study.scoring)
        return {
            **({} if chosen is None else {"scoring": chosen}),
            **({"answers": batch.answers} if batch.type in SETS else {}),
            **({"code": self.study.scoring.code.slice()} if batch.type in RUNS_CODE else {}),
        }

    def scoring_threads(self, batch: Batch) -> int:
        """Processes that score replies of a batch at once."""
        return self.study.scoring.code.workers if batch.type in RUNS_CODE else 1

    def _method_specs(self, group: Group, stage: str) -> Callable[[Wildcards], str]:
        specs = {
            variant: canonical_json(self.method_spec(Cell(group.pool, group.batch, variant), stage))
            for variant in group.variants
        }
        return lambda wildcards: specs[wildcards.method]

    def fit_rules(self) -> list[Rule]:
        """Rules that fit methods."""
        return [self._fit_rule(group) for group in self.groups("fit") if group.needs.fit is not None]

    def _fit_rule(self, group: Group) -> Rule:
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
            wildcards=self.method_wildcards(group),
            spec=self._method_specs(group, "fit"),
            gpus=group.gpus,
            threads=self.scoring_threads(batch) if group.needs.fit and group.needs.fit.references else 1,
            words={"pool": group.pool},
        )

    def _fit_inputs(self, cell: Cell, seed: object) -> dict[str, list[str]]:
        needs = self.matrix.needs(cell.pool, cell.variant)
        fit = needs.fit
        assert fit is not None
        batch = self.matrix.batches[cell.batch]
        ingredients = self.ingredients(cell.pool, cell.variant)
        judges = list(self.matrix.judges(batch, self.study.scorer).values()) if fit.dev_scores or fit.references else []
        inputs = {
            "questions": [results(paths.questions(task, split)) for task in batch.tasks for split in fit.splits],
            "models": [results(paths.model_json(name)) for name in dict.fromkeys([*ingredients, *judges])],
            "plain": [
                results(paths.generation(model, task, split, batch.decoding, seed, sample))
                for task in batch.tasks
                for split in fit.splits
                for model, sample in self.member_samples(cell.pool, fit.plain)
            ],
            "logits": self.logits_inputs(cell, fit.splits, fit.logits, fit.plain, seed),
            "weights": self.weights(
                dict.fromkeys(
                    [*(ingredients if needs.fit_runs_models else []), *(judges if fit.references else [])]
                )
            ),
        }
        if fit.references or fit.dev_scores:
            inputs["references"] = [
                results(paths.references(task, split)) for task in batch.tasks for split in fit.splits
            ]
        if fit.dev_scores:
            inputs["scores"] = [
                results(
                    paths.scores(self.study.scorer, paths.generation(model, task, "dev", batch.decoding, seed, sample))
                )
                for task in batch.tasks
                for model, sample in self.member_samples(cell.pool, 1)
            ]
        return inputs

    def _model_files(self, pool: str) -> list[str]:
        return [results(paths.model_json(name)) for name in dict.fromkeys(self.study.pools[pool].models)]

    def answer_rules(self) -> list[Rule]:
        """Rules that answer questions."""
        return [self._answer_rule(group) for group in self.groups("answer")]

    def _answer_rule(self, group: Group) -> Rule:
        batch = self.matrix.batches[group.batch]
        return Rule(
            name=group.rule_name("answer"),
            inputs=lambda wildcards: self._answer_inputs(
                Cell(group.pool, group.batch, wildcards.method), wildcards.seed, wildcards.split
            ),
            outputs=[
                results(make(group.pool, task, "{method}", "{seed}", "{split}"))
                for task in batch.tasks
                for make in (paths.answers, paths.calls, paths.costs)
            ],
            wildcards={**self.method_wildcards(group), "split": "test|distill"},
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
            for model, sample in self.plain_inputs(cell, split, needs.answer.plain * batch.answers)
        ]
        fitted = [
            results(
                paths.generation(
                    paths.fitted_model(cell.pool, task, cell.variant, seed, name),
                    task,
                    split,
                    batch.decoding,
                    seed,
                    sample,
                )
            )
            for task in batch.tasks
            for name in needs.models
            for sample in range(needs.answer.fitted_plain * batch.answers)
        ]
        return {
            "questions": [results(paths.questions(task, split)) for task in batch.tasks],
            "models": self._model_files(cell.pool),
            "plain": plain + fitted,
            "logits": self.logits_inputs(cell, [split], needs.answer.logits, needs.answer.plain * batch.answers, seed),
            "fit": [results(paths.fit_folder(cell.pool, task, cell.variant, seed)) for task in batch.tasks]
            if needs.fit
            else [],
            "weights": self.weights(
                self.study.pools[cell.pool].models if needs.answer_runs_models else sorted(self.asked_models(cell))
            ),
        }
