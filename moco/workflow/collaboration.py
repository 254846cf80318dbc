"""The rules of methods: fit and answer."""

from collections.abc import Callable, Iterable
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from moco import paths
from moco.config.decoding import Decoding
from moco.config.expand import expand
from moco.digest import digest
from moco.methods.base import FitNeeds, Needs
from moco.methods.logits import LogitsKind
from moco.scoring import scorer_module
from moco.scoring.catalogue import RUNS_CODE
from moco.scoring.judges import SETS, scoring_slice
from moco.workflow.batches import Batch
from moco.workflow.models import MERGE_MODULE
from moco.workflow.remembered import remembered
from moco.workflow.stage import Stage, Wildcards, in_blocks, results

TRAINING_MODULE = "moco.training.run"
"""The module whose code decides what training makes."""

ASKED = ("generate", "logits", "embed", "reward")
"""What helpers are run for; those that offer weights alone are parts of merges."""


class MethodStage(Stage):
    """What fit and answer have in common."""

    def needs(self, wildcards: Wildcards) -> Needs:
        """Return what the method needs with the pool."""
        return self.matrix.needs(wildcards.pool, wildcards.method)

    def members(self, wildcards: Wildcards) -> list[str]:
        """Return the models of the pool, in order."""
        return list(self.matrix.pool(wildcards.pool).models)

    def askable(self, wildcards: Wildcards) -> list[str]:
        """Return the models that a job with requests of its own may run: members, and helpers that it asks."""
        helpers = self.matrix.helpers_with(wildcards.pool, wildcards.method, *ASKED)
        return list(dict.fromkeys([*self.members(wildcards), *helpers]))

    def stepped(self, wildcards: Wildcards) -> list[str]:
        """Return the models that a job may keep in memory together, to step them: members, and helpers with logits."""
        helpers = self.matrix.helpers_with(wildcards.pool, wildcards.method, "logits")
        return list(dict.fromkeys([*self.members(wildcards), *helpers]))

    def method_slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what decides fits and answers alike, whatever the tasks."""
        method = self.matrix.variants[wildcards.method]
        spec: dict[str, Any] = {
            "method": method.id,
            "params": method.params.slice(),
            "source": self.matrix.source(type(method).__module__),
            "pool": self.members(wildcards),
            "scorer": self.study.scorer,
            "needs": self._digest_of_needs(wildcards.pool, wildcards.method),
        }
        helpers = self.matrix.helpers(wildcards.pool, wildcards.method)
        if helpers:
            spec["helpers"] = helpers
        if self.needs(wildcards).descriptions:
            spec["descriptions"] = list(self.matrix.descriptions(wildcards.pool) or ())
        return spec

    @remembered
    def _digest_of_needs(self, pool: str, variant: str) -> str:
        return digest(self.matrix.needs(pool, variant).as_json())

    def batch_slice(self, batch: Batch) -> dict[str, Any]:
        """Return what decides fits and answers alike of a batch."""
        decoding: Decoding = self.study.decoding[batch.decoding]
        answers = {name: self.matrix.tasks[name].entry.answers for name in batch.tasks}
        return {
            "tasks": {name: {"type": batch.type, "answers": number} for name, number in answers.items()},
            "decoding": decoding.slice(),
        }

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
    """What a method learns, of a batch or, where the batch is `paths.ALL`, of all batches that it is asked on."""

    depth = 5

    def parts(self, wildcards: Wildcards) -> list[Wildcards]:
        """Return the wildcards by which the files of each batch are named that the fit learns from."""
        w = wildcards
        batches = self.matrix.fitted_batches(w.pool, w.batch, w.method, w.seed)
        return [SimpleNamespace(pool=w.pool, batch=batch, method=w.method, seed=w.seed) for batch in batches]

    def _of_parts(
        self, wildcards: Wildcards, files: Callable[[Wildcards, Batch, FitNeeds], Iterable[str]]
    ) -> list[str]:
        fit = self._fit(wildcards)
        found = (path for part in self.parts(wildcards) for path in files(part, self.batch(part), fit))
        return list(dict.fromkeys(found))

    def questions(self, wildcards: Wildcards) -> list[str]:
        """Return the questions of the splits that the fit reads."""
        return self._of_parts(wildcards, lambda _, batch, fit: self.questions_of(batch, *fit.splits))

    def references(self, wildcards: Wildcards) -> list[str]:
        """Return their references, where the fit reads them or the scores of plain responses."""
        if not _scores(self._fit(wildcards)):
            return []
        return self._of_parts(wildcards, lambda _, batch, fit: self.references_of(batch, *fit.splits))

    def models(self, wildcards: Wildcards) -> list[str]:
        """Return the descriptions of the models that the fit may merge or run, and of those that judge."""
        helpers = self.matrix.helpers(wildcards.pool, wildcards.method).values()
        return self.model_files([*self.members(wildcards), *helpers, *self._judges(wildcards)])

    def plain(self, wildcards: Wildcards) -> list[str]:
        """Return the plain responses that the fit reads, those behind scores included."""
        return self._of_parts(wildcards, self._plain)

    def _plain(self, part: Wildcards, batch: Batch, fit: FitNeeds) -> list[str]:
        files = self.plain_files(part, fit.splits, self.member_samples(part.pool, fit.plain))
        copies = self.member_samples(part.pool, 1) if fit.dev_scores else []
        scored = [(model, copy * batch.together + place) for model, copy in copies for place in range(batch.together)]
        return [*files, *self.plain_files(part, ("dev",), scored)]

    def scores(self, wildcards: Wildcards) -> list[str]:
        """Return the scores of the members' plain dev responses."""
        return self._of_parts(wildcards, self._dev_scores) if self._fit(wildcards).dev_scores else []

    def _dev_scores(self, part: Wildcards, _batch: Batch, _fit: FitNeeds) -> list[str]:
        return [
            results(paths.scores(self.study.scorer, paths.generation(model, part.batch, "dev", part.seed, block)))
            for model, block in in_blocks(self.member_samples(part.pool, 1))
        ]

    def logits(self, wildcards: Wildcards) -> list[str]:
        """Return the cached logits that the fit reads."""
        samples = self.member_samples(wildcards.pool, self._fit(wildcards).plain)
        return self._of_parts(wildcards, lambda part, _, fit: self.logits_files(part, fit.splits, fit.logits, samples))

    def corpora(self, wildcards: Wildcards) -> list[str]:
        """Return the files of the corpora that the fit reads."""
        return [str(expand(self.study.corpora[name].path)) for name in self._fit(wildcards).corpora]

    def checkpoints(self, wildcards: Wildcards) -> list[str]:
        """Return the checkpoints of the models that the job runs."""
        return self.weights([*self.running(wildcards), *self.living(wildcards)])

    def running(self, wildcards: Wildcards) -> list[str]:
        """Return the models that the fit may run, merge or train, one after another, and those that judge."""
        fit = self._fit(wildcards)
        asked = self.askable(wildcards) if fit.runs_models else []
        parts = self.matrix.parts(wildcards.pool, wildcards.method) if fit.merges or fit.trains else []
        judges = self._judges(wildcards) if fit.references else []
        return list(dict.fromkeys([*asked, *parts, *judges]))

    def living(self, wildcards: Wildcards) -> list[str]:
        """Return the models that the fit may keep in memory together, to step them token by token."""
        return self.stepped(wildcards) if self._fit(wildcards).live else []

    def learning(self, wildcards: Wildcards) -> list[str]:
        """Return the models that the fit may train."""
        trains = self._fit(wildcards).trains
        return self.matrix.parts(wildcards.pool, wildcards.method) if trains else []

    def threads(self, wildcards: Wildcards) -> int:
        """Return the processes that score replies at once."""
        if not self._fit(wildcards).references:
            return 1
        return max(scoring_threads(self, self.batch(part)) for part in self.parts(wildcards))

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what decides a fit; that of all batches by their names, with all their tasks."""
        spec = self.method_slice(wildcards)
        if self._fit(wildcards).live:
            spec["decoding_source"] = self.matrix.source("moco.jobs.joint")
        if self._fit(wildcards).merges:
            spec["merge_source"] = self.matrix.source(MERGE_MODULE)
        if self._fit(wildcards).trains:
            spec["training_source"] = self.matrix.source(TRAINING_MODULE)
        if self._fit(wildcards).corpora:
            spec["corpora"] = {name: self.study.corpora[name].slice() for name in self._fit(wildcards).corpora}
        parts = {part.batch: self._part_slice(part) for part in self.parts(wildcards)}
        if wildcards.batch != paths.ALL:
            return spec | parts[wildcards.batch]
        tasks = {name: about for part in parts.values() for name, about in part["tasks"].items()}
        return {**spec, "tasks": tasks, "batches": parts}

    def _part_slice(self, part: Wildcards) -> dict[str, Any]:
        batch = self.batch(part)
        spec = self.batch_slice(batch)
        if _scores(self._fit(part)):
            spec["scorer_source"] = self.matrix.source(scorer_module(batch.type))
            spec |= scoring_of(self, batch, self.study.scorer)
        return spec

    def _fit(self, wildcards: Wildcards) -> FitNeeds:
        fit = self.needs(wildcards).fit
        assert fit is not None
        return fit

    def _judges(self, wildcards: Wildcards) -> list[str]:
        if not _scores(self._fit(wildcards)):
            return []
        batches = map(self.batch, self.parts(wildcards))
        return [model for batch in batches for model in self.matrix.judges(batch, self.study.scorer).values()]


def _scores(fit: FitNeeds) -> bool:
    return fit.dev_scores or fit.references


class Answer(MethodStage):
    """Answers of a method to the questions of a split."""

    depth = 6

    def questions(self, wildcards: Wildcards) -> list[str]:
        """Return the questions."""
        return self.questions_of(self.batch(wildcards), wildcards.split)

    def fit(self, wildcards: Wildcards) -> list[str]:
        """Return what the method learned."""
        w = wildcards
        batch = self.matrix.fit_batch(w.pool, w.method, w.batch)
        return [results(paths.fit_folder(w.pool, batch, w.method, w.seed))] if self.needs(w).fit else []

    def models(self, wildcards: Wildcards) -> list[str]:
        """Return the descriptions of the pool's models, of helpers, and of those that the fit made where they are asked."""
        helpers = self.matrix.helpers(wildcards.pool, wildcards.method).values()
        return self.model_files([*self.members(wildcards), *helpers, *self._made(wildcards)])

    def plain(self, wildcards: Wildcards) -> list[str]:
        """Return the plain responses that the method reads; a priced model's only where others have them made ahead."""
        asked = self._priced(wildcards)
        w = wildcards
        samples = self._samples(wildcards)
        files = self.plain_files(w, (w.split,), [(model, sample) for model, sample in samples if model not in asked])
        for model, block in in_blocks([(model, sample) for model, sample in samples if model in asked]):
            if (model, w.batch, w.split, block) in self.made_ahead:
                files.append(results(paths.generation(model, w.batch, w.split, w.seed, block)))
        return files

    def made_plain(self, wildcards: Wildcards) -> list[str]:
        """Return the plain responses of the models that the fit made.

        Such a model replies to the batch of its one task, or to that of the job where it was made for all tasks.
        """
        needs, batch, w = self.needs(wildcards), self.batch(wildcards), wildcards
        batches = self._made_batches(w)
        samples = range(needs.answer.fitted_plain * batch.answers)
        pairs = [(slug, sample) for slug in batches for sample in samples]
        return [
            results(paths.generation(slug, batches[slug], w.split, w.seed, block)) for slug, block in in_blocks(pairs)
        ]

    def logits(self, wildcards: Wildcards) -> list[str]:
        """Return the cached logits that the method reads."""
        asked = self._priced(wildcards)
        samples = [(model, sample) for model, sample in self._samples(wildcards) if model not in asked]
        return self.logits_files(wildcards, (wildcards.split,), self.needs(wildcards).answer.logits, samples)

    def checkpoints(self, wildcards: Wildcards) -> list[str]:
        """Return the checkpoints of the models that the job runs."""
        return self.weights([*self.running(wildcards), *self.living(wildcards)])

    def running(self, wildcards: Wildcards) -> list[str]:
        """Return the models that the job asks, one after another, those that the fit made included."""
        if not self.needs(wildcards).answer.generates:
            return sorted(self._priced(wildcards))
        return [*self.askable(wildcards), *self._made(wildcards)]

    def living(self, wildcards: Wildcards) -> list[str]:
        """Return the models that the job keeps in memory together, to step them token by token."""
        return [*self.stepped(wildcards), *self._made(wildcards)] if self.needs(wildcards).answer.live else []

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what decides answers."""
        needs, batch = self.needs(wildcards), self.batch(wildcards)
        spec = self.method_slice(wildcards) | self.batch_slice(batch)
        if needs.answer.extracts:
            spec["scorer_source"] = self.matrix.source(scorer_module(batch.type))
        if needs.answer.live:
            spec["decoding_source"] = self.matrix.source("moco.jobs.joint")
        if needs.models:
            spec["made"] = {task: self._made_of(wildcards, task) for task in batch.tasks}
            spec["made_batches"] = self._made_batches(wildcards)
        return spec

    def _samples(self, wildcards: Wildcards) -> list[tuple[str, int]]:
        samples = self.needs(wildcards).answer.plain * self.batch(wildcards).answers
        return self.member_samples(wildcards.pool, samples)

    def _priced(self, wildcards: Wildcards) -> frozenset[str]:
        return self.matrix.asked_models(wildcards.pool, wildcards.method)

    def _made_of(self, wildcards: Wildcards, task: str) -> dict[str, str]:
        """Return the slugs of the models that the fit made for a task, by their names."""
        w = wildcards
        task = paths.ALL if self.matrix.serves_all(w.pool, w.method) else task
        return {name: paths.fitted_model(w.pool, task, w.method, w.seed, name) for name in self.needs(w).models}

    def _made_batches(self, wildcards: Wildcards) -> dict[str, str]:
        """Return the slugs of the models that the fit made, each with the batch in which it replies."""
        w, matrix = wildcards, self.matrix
        return {
            slug: w.batch if matrix.serves_all(w.pool, w.method) else matrix.batch_of_one(task).name
            for task in self.batch(w).tasks
            for slug in self._made_of(w, task).values()
        }

    def _made(self, wildcards: Wildcards) -> list[str]:
        """Return the models that the fit made where they are asked: for plain responses, or by the job itself."""
        needs = self.needs(wildcards).answer
        return list(self._made_batches(wildcards)) if needs.fitted_plain or needs.runs_models else []

    @cached_property
    def made_ahead(self) -> frozenset[tuple[str, str, str, str]]:
        """Model, batch, split and block of the plain test responses that are made whatever this method asks for."""
        ahead: set[tuple[str, str, str, str]] = set()
        for model, name in self.matrix.singles:
            ahead.update((model, name, "test", paths.block_of(at)) for at in range(self.matrix.batch(name).together))
        for run in self.matrix.rounds.runs.values():
            for number in range(run.entry.rounds + 1):
                ahead.update(
                    (model, batch.name, "test", "s0") for model, batch in self.matrix.rounds.singles(run, number)
                )
        for cell in (*self.matrix.cells, *self.matrix.rounds.cells):
            answer = self.matrix.needs(cell.pool, cell.variant).answer
            asked = self.matrix.asked_models(cell.pool, cell.variant)
            samples = self.member_samples(cell.pool, answer.plain * self.matrix.batch(cell.batch).answers)
            eager = [(model, sample) for model, sample in samples if model not in asked]
            ahead.update((model, cell.batch, "test", block) for model, block in in_blocks(eager))
        return frozenset(ahead)


def scoring_threads(stage: Stage, batch: Batch) -> int:
    """Return the processes that score replies of a batch at once."""
    return stage.study.scoring.code.workers if batch.type in RUNS_CODE else 1
