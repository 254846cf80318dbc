"""The rules of methods: fit and answer."""

from functools import cached_property
from typing import Any

from moco import paths
from moco.config.decoding import Decoding
from moco.digest import digest
from moco.methods.base import Needs
from moco.methods.logits import LogitsKind
from moco.scoring import scorer_module
from moco.scoring.catalogue import RUNS_CODE
from moco.scoring.judges import SETS, scoring_slice
from moco.workflow.batches import Batch
from moco.workflow.models import MERGE_MODULE
from moco.workflow.stage import Stage, Wildcards, in_blocks, results


class MethodStage(Stage):
    """What fit and answer have in common."""

    def needs(self, wildcards: Wildcards) -> Needs:
        """Return what the method needs with the pool."""
        return self.matrix.needs(wildcards.pool, wildcards.method)

    def members(self, wildcards: Wildcards) -> list[str]:
        """Return the models of the pool, in order."""
        return list(self.matrix.pool(wildcards.pool).models)

    def askable(self, wildcards: Wildcards) -> list[str]:
        """Return the models that the method may ask: the pool's, and helpers that offer more than their weights."""
        needs, helpers = self.needs(wildcards), self.matrix.helpers(wildcards.pool, wildcards.method)
        helping = [model for role, model in helpers.items() if needs.helpers[role].offers != {"weights"}]
        return list(dict.fromkeys([*self.members(wildcards), *helping]))

    def common_slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what decides fits and answers alike."""
        method = self.matrix.variants[wildcards.method]
        batch = self.batch(wildcards)
        decoding: Decoding = self.study.decoding[batch.decoding]
        spec: dict[str, Any] = {
            "method": method.id,
            "params": method.params.slice(),
            "source": self.matrix.source(type(method).__module__),
            "pool": self.members(wildcards),
            "tasks": {
                name: {"type": batch.type, "answers": self.matrix.tasks[name].entry.answers} for name in batch.tasks
            },
            "scorer": self.study.scorer,
            "decoding": decoding.slice(),
            "needs": digest(self.needs(wildcards).as_json()),
        }
        helpers = self.matrix.helpers(wildcards.pool, wildcards.method)
        if helpers:
            spec["helpers"] = helpers
        if self.needs(wildcards).descriptions:
            spec["descriptions"] = list(self.matrix.descriptions(wildcards.pool) or ())
        return spec

    def logits_files(
        self,
        wildcards: Wildcards,
        splits: tuple[str, ...],
        kinds: tuple[LogitsKind, ...],
        samples: list[tuple[str, int]],
    ) -> list[str]:
        """Return the files of cached logits of some kinds that a job reads, those of responses for these samples."""
        files = []
        for kind in kinds:
            for split in splits:
                if kind == "response":
                    files += [
                        results(paths.response_logits(model, wildcards.batch, split, wildcards.seed, block))
                        for model, block in in_blocks(samples)
                    ]
                else:
                    files += [
                        results(paths.logits(kind, model, wildcards.batch, split))
                        for model in dict.fromkeys(self.members(wildcards))
                    ]
        return files

    def plain_files(self, wildcards: Wildcards, splits: tuple[str, ...], samples: list[tuple[str, int]]) -> list[str]:
        """Return the files of plain responses with these samples."""
        return [
            results(paths.generation(model, wildcards.batch, split, wildcards.seed, block))
            for split in splits
            for model, block in in_blocks(samples)
        ]


def scoring_of(stage: Stage, batch: Batch, rules: str) -> dict[str, Any]:
    """Return what decides scores of a batch besides the scorer: how code runs, which models judge, replies together."""
    chosen = scoring_slice(batch.type, rules, stage.study.scoring)
    groups = {
        task: stage.matrix.source("moco.scoring.groups")
        for task in batch.tasks
        if stage.matrix.tasks[task].entry.group_score
    }
    return {
        **({} if chosen is None else {"scoring": chosen}),
        **({"answers": batch.answers} if batch.type in SETS else {}),
        **({"code": stage.study.scoring.code.slice()} if batch.type in RUNS_CODE else {}),
        **({"groups": groups} if groups else {}),
    }


class Fit(MethodStage):
    """What a method learns."""

    depth = 5

    def questions(self, wildcards: Wildcards) -> list[str]:
        """Return the questions of the splits that the fit reads."""
        return self.questions_of(self.batch(wildcards), *self._fit(wildcards).splits)

    def references(self, wildcards: Wildcards) -> list[str]:
        """Return their references, where the fit reads them or the scores of plain responses."""
        fit = self._fit(wildcards)
        if not (fit.references or fit.dev_scores):
            return []
        return self.references_of(self.batch(wildcards), *fit.splits)

    def models(self, wildcards: Wildcards) -> list[str]:
        """Return the descriptions of the models that the fit may merge or run, and of those that judge."""
        return self.model_files([*self.matrix.parts(wildcards.pool, wildcards.method), *self._judges(wildcards)])

    def plain(self, wildcards: Wildcards) -> list[str]:
        """Return the plain responses that the fit reads, those behind scores included."""
        fit = self._fit(wildcards)
        files = self.plain_files(wildcards, fit.splits, self.member_samples(wildcards.pool, fit.plain))
        return list(dict.fromkeys([*files, *self._scored_plain(wildcards)]))

    def _scored_plain(self, wildcards: Wildcards) -> list[str]:
        if not self._fit(wildcards).dev_scores:
            return []
        together = self.batch(wildcards).together
        copies = self.member_samples(wildcards.pool, 1)
        scored = [(model, copy * together + place) for model, copy in copies for place in range(together)]
        return self.plain_files(wildcards, ("dev",), scored)

    def scores(self, wildcards: Wildcards) -> list[str]:
        """Return the scores of the members' plain dev responses."""
        if not self._fit(wildcards).dev_scores:
            return []
        w = wildcards
        return [
            results(paths.scores(self.study.scorer, paths.generation(model, w.batch, "dev", w.seed, block)))
            for model, block in in_blocks(self.member_samples(w.pool, 1))
        ]

    def logits(self, wildcards: Wildcards) -> list[str]:
        """Return the cached logits that the fit reads."""
        fit = self._fit(wildcards)
        samples = self.member_samples(wildcards.pool, fit.plain)
        return self.logits_files(wildcards, fit.splits, fit.logits, samples)

    def checkpoints(self, wildcards: Wildcards) -> list[str]:
        """Return the checkpoints of the models that the job runs."""
        return self.weights(self.running(wildcards))

    def running(self, wildcards: Wildcards) -> list[str]:
        """Return the models that the fit may run: the pool's, and those that judge."""
        runs = self._fit(wildcards).runs_models
        parts = self.matrix.parts(wildcards.pool, wildcards.method) if runs else []
        judges = self._judges(wildcards) if self._fit(wildcards).references else []
        return list(dict.fromkeys([*parts, *judges]))

    def living(self, wildcards: Wildcards) -> list[str]:
        """Return the models that the job keeps in memory together, to step them token by token."""
        return self.askable(wildcards) if self._fit(wildcards).live else []

    def threads(self, wildcards: Wildcards) -> int:
        """Return the processes that score replies at once."""
        return scoring_threads(self, self.batch(wildcards)) if self._fit(wildcards).references else 1

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what decides a fit."""
        fit, batch = self._fit(wildcards), self.batch(wildcards)
        spec = self.common_slice(wildcards)
        if fit.dev_scores or fit.references:
            spec["scorer_source"] = self.matrix.source(scorer_module(batch.type))
            spec |= scoring_of(self, batch, self.study.scorer)
        if fit.live:
            spec["decoding_source"] = self.matrix.source("moco.jobs.joint")
        if fit.merges:
            spec["merge_source"] = self.matrix.source(MERGE_MODULE)
        return spec

    def _fit(self, wildcards: Wildcards) -> Any:
        fit = self.needs(wildcards).fit
        assert fit is not None
        return fit

    def _judges(self, wildcards: Wildcards) -> list[str]:
        fit = self._fit(wildcards)
        if not (fit.dev_scores or fit.references):
            return []
        return list(self.matrix.judges(self.batch(wildcards), self.study.scorer).values())


class Answer(MethodStage):
    """Answers of a method to the questions of a split."""

    depth = 6

    def questions(self, wildcards: Wildcards) -> list[str]:
        """Return the questions."""
        return self.questions_of(self.batch(wildcards), wildcards.split)

    def fit(self, wildcards: Wildcards) -> list[str]:
        """Return what the method learned."""
        w = wildcards
        return [results(paths.fit_folder(w.pool, w.batch, w.method, w.seed))] if self.needs(w).fit else []

    def models(self, wildcards: Wildcards) -> list[str]:
        """Return the descriptions of the models that the method may ask, and of those made by the fit that it reads."""
        return self.model_files([*self.askable(wildcards), *self._made(wildcards).values()])

    def plain(self, wildcards: Wildcards) -> list[str]:
        """Return the plain responses that the method reads; a priced model's only where others have them made ahead."""
        asked = self._asked(wildcards)
        w = wildcards
        samples = self._samples(wildcards)
        files = self.plain_files(w, (w.split,), [(model, sample) for model, sample in samples if model not in asked])
        for model, block in in_blocks([(model, sample) for model, sample in samples if model in asked]):
            if (model, w.batch, w.split, block) in self.made_ahead:
                files.append(results(paths.generation(model, w.batch, w.split, w.seed, block)))
        return files

    def made_plain(self, wildcards: Wildcards) -> list[str]:
        """Return the plain responses of the models that the fit made, each to the batch of its one task."""
        needs, batch, w = self.needs(wildcards), self.batch(wildcards), wildcards
        samples = range(needs.answer.fitted_plain * batch.answers)
        pairs = [(slug, sample) for slug in self._made(wildcards).values() for sample in samples]
        return [
            results(paths.generation(slug, self._batch_of(slug), w.split, w.seed, block))
            for slug, block in in_blocks(pairs)
        ]

    def logits(self, wildcards: Wildcards) -> list[str]:
        """Return the cached logits that the method reads."""
        asked = self._asked(wildcards)
        samples = [(model, sample) for model, sample in self._samples(wildcards) if model not in asked]
        return self.logits_files(wildcards, (wildcards.split,), self.needs(wildcards).answer.logits, samples)

    def checkpoints(self, wildcards: Wildcards) -> list[str]:
        """Return the checkpoints of the models that the job runs."""
        return self.weights([*self.running(wildcards), *self.living(wildcards)])

    def running(self, wildcards: Wildcards) -> list[str]:
        """Return the models that the job asks, one after another."""
        if not self.needs(wildcards).answer.generates:
            return sorted(self._asked(wildcards))
        return [*self.askable(wildcards), *self._made(wildcards).values()]

    def living(self, wildcards: Wildcards) -> list[str]:
        """Return the models that the job keeps in memory together, to step them token by token."""
        return [*self.askable(wildcards), *self._made(wildcards).values()] if self.needs(wildcards).answer.live else []

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what decides answers."""
        needs, batch = self.needs(wildcards), self.batch(wildcards)
        spec = self.common_slice(wildcards)
        if needs.answer.extracts:
            spec["scorer_source"] = self.matrix.source(scorer_module(batch.type))
        if needs.answer.live:
            spec["decoding_source"] = self.matrix.source("moco.jobs.joint")
        if needs.models:
            spec["made"] = {task: self._made_of(wildcards, task) for task in batch.tasks}
            spec["made_batches"] = {
                slug: self.matrix.batch_of_one(task).name
                for task in batch.tasks
                for slug in spec["made"][task].values()
            }
        return spec

    def _samples(self, wildcards: Wildcards) -> list[tuple[str, int]]:
        samples = self.needs(wildcards).answer.plain * self.batch(wildcards).answers
        return self.member_samples(wildcards.pool, samples)

    def _asked(self, wildcards: Wildcards) -> frozenset[str]:
        return self.matrix.asked_models(wildcards.pool, wildcards.method)

    def _made_of(self, wildcards: Wildcards, task: str) -> dict[str, str]:
        """Return the slugs of the models that the fit made for a task, by their names."""
        w = wildcards
        return {name: paths.fitted_model(w.pool, task, w.method, w.seed, name) for name in self.needs(w).models}

    def _made(self, wildcards: Wildcards) -> dict[tuple[str, str], str]:
        needs = self.needs(wildcards).answer
        if not (needs.fitted_plain or needs.runs_models):
            return {}
        tasks = self.batch(wildcards).tasks
        return {(task, name): slug for task in tasks for name, slug in self._made_of(wildcards, task).items()}

    def _batch_of(self, slug: str) -> str:
        return self.matrix.batch_of_one(self.matrix.made[slug].task).name

    @cached_property
    def made_ahead(self) -> frozenset[tuple[str, str, str, str]]:
        """Model, batch, split and block of the plain test responses that are made whatever this method asks for."""
        ahead: set[tuple[str, str, str, str]] = set()
        for model, name in self.matrix.singles:
            ahead.update((model, name, "test", paths.block_of(at)) for at in range(self.matrix.batch(name).together))
        for run in self.matrix.runs.values():
            for number in range(run.entry.rounds + 1):
                ahead.update(
                    (model, batch.name, "test", "s0") for model, batch in self.matrix.round_singles(run, number)
                )
        for cell in (*self.matrix.cells, *self.matrix.round_cells):
            answer = self.matrix.needs(cell.pool, cell.variant).answer
            asked = self.matrix.asked_models(cell.pool, cell.variant)
            samples = self.member_samples(cell.pool, answer.plain * self.matrix.batch(cell.batch).answers)
            eager = [(model, sample) for model, sample in samples if model not in asked]
            ahead.update((model, cell.batch, "test", block) for model, block in in_blocks(eager))
        return frozenset(ahead)


def scoring_threads(stage: Stage, batch: Batch) -> int:
    """Return the processes that score replies of a batch at once."""
    return stage.study.scoring.code.workers if batch.type in RUNS_CODE else 1
