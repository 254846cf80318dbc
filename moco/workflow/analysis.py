"""The last rules: what tables, figures and the report are made of."""

from functools import cached_property
from types import SimpleNamespace
from typing import Any

from moco import paths
from moco.workflow.collaboration import Answer, Fit
from moco.workflow.matrix import is_made
from moco.workflow.scores import Score
from moco.workflow.stage import Stage, Wildcards, results

PLAIN = "plain responses"
_TABLES = ("moco_main", "moco_cost", "moco_paid_perf", "moco_jobs_perf", "data_quality")
_FIGURES = ("moco_win_rate", "moco_cost_frontier")
COLLECTED = ("scores", "costs", "jobs_perf")
"""Files of a collected part."""


class Collect(Stage):
    """All scores and costs of a part of the study, each in one long file."""

    depth = 3

    def scores(self, wildcards: Wildcards) -> list[str]:
        """Return all test scores, under every rule set."""
        return [results(path) for entry in self.entries for path in entry["scores"].values()]

    def costs(self, wildcards: Wildcards) -> list[str]:
        """Return what methods cost, and the replies of single models, which say what these cost."""
        return [results(entry["spent"]) for entry in self.entries]

    def models(self, wildcards: Wildcards) -> list[str]:
        """Return the descriptions of single models, whose sizes are costs."""
        return self.model_files(model for model, _ in self.matrix.singles)

    def measured(self, wildcards: Wildcards) -> list[str]:
        """Return what every job really did."""
        return [results(job["path"]) for job in self.work]

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what is collected."""
        return {"entries": self.entries, "work": self.work}

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        """Every result: who (kind, pool, name, level, method), batch, seed, its score files by rule set, and what it cost."""
        entries = []
        for model, batch in self.matrix.singles:
            about = {"kind": "single", "pool": "", "name": model, "level": "single", "method": "", "batch": batch}
            for seed in self.study.seeds:
                plain = paths.generation(model, batch, "test", seed, "s0")
                entries.append({**about, "seed": seed, "scores": self._scored(plain), "spent": plain})
        for cell in self.matrix.cells:
            method = self.matrix.variants[cell.variant]
            about = {"kind": "method", "pool": cell.pool, "name": cell.variant, "level": method.level}
            about |= {"method": method.id, "batch": cell.batch}
            for seed in self.study.seeds:
                where = (cell.pool, cell.batch, cell.variant, seed, "test")
                scores = self._scored(paths.answers(*where))
                entries.append({**about, "seed": seed, "scores": scores, "spent": paths.costs(*where)})
        return entries

    @cached_property
    def work(self) -> list[dict[str, str]]:
        """The accounts of every job that may run a model: its file, whose work it was (pool, name, level), and which part."""
        fits, answers, scores = Fit(self.matrix), Answer(self.matrix), Score(self.matrix)
        found: dict[str, dict[str, str]] = {}

        def note(path: str, pool: str, name: str, level: str, part: str) -> None:
            path = paths.job_perf(path)
            found.setdefault(path, {"path": path, "pool": pool, "name": name, "level": level, "part": part})

        def note_alone(files: list[str], part: str) -> None:
            for file in files:
                path = file.removeprefix("<results>/")
                model = path.split("/")[1]
                if is_made(model):
                    made = self.matrix.made[model]
                    level = self.matrix.variants[made.variant].level
                    note(path, made.pool, made.variant, level, "made models' responses" if part == PLAIN else part)
                else:
                    note(path, "", model, "single", part)

        for entry in self.entries:
            if entry["kind"] == "single":
                note_alone([entry["spent"]], PLAIN)
            for path in entry["scores"].values() if scores.is_judged(self.matrix.batch(entry["batch"])) else ():
                note(path, entry["pool"], entry["name"], entry["level"], "scoring")
        for cell in self.matrix.cells:
            level = self.matrix.variants[cell.variant].level
            judged = scores.is_judged(self.matrix.batch(cell.batch))
            for seed in self.study.seeds:
                job = SimpleNamespace(pool=cell.pool, batch=cell.batch, method=cell.variant, seed=seed, split="test")
                if fits.needs(job).fit is not None:
                    note_alone(fits.plain(job), PLAIN)
                    note_alone(fits.logits(job), "logits")
                    for file in fits.scores(job) if judged else ():
                        path = file.removeprefix("<results>/")
                        note(path, "", path.split("/")[3], "single", "scoring")
                    fit = paths.fit_folder(cell.pool, cell.batch, cell.variant, seed)
                    note(fit, cell.pool, cell.variant, level, "fit")
                note_alone([*answers.plain(job), *answers.made_plain(job)], PLAIN)
                note_alone(answers.logits(job), "logits")
                answered = paths.answers(cell.pool, cell.batch, cell.variant, seed, "test")
                note(answered, cell.pool, cell.variant, level, "answer")
        return list(found.values())

    def _scored(self, replies: str) -> dict[str, str]:
        return {rules: paths.scores(rules, replies) for rules in self.matrix.scorers}


class Tabulate(Stage):
    """Tables."""

    depth = 2

    def inputs(self, wildcards: Wildcards) -> list[str]:
        """Return what a table reads: the data's own table needs no model."""
        if wildcards.table == "data_quality":
            return self.task_files
        return self.collected

    @cached_property
    def collected(self) -> list[str]:
        """All that is collected."""
        return [results(paths.collected(paths.BENCHMARK, name)) for name in COLLECTED]

    @cached_property
    def task_files(self) -> list[str]:
        """All files of all prepared tasks."""
        from moco.tasks.layout import SPLITS

        return [
            results(path)
            for task in self.matrix.tasks
            for path in (
                paths.task_json(task),
                paths.dropped(task),
                *(make(task, split) for split in SPLITS for make in (paths.questions, paths.references)),
            )
        ]

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables of this study; only one with several rule sets compares them."""
        return _TABLES + (("scorer_difference",) if len(self.matrix.scorers) > 1 else ())

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures."""
        return _FIGURES

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the study as tables and figures see it."""
        matrix = self.matrix
        return {
            "study": self.study.study,
            "scorer": self.study.scorer,
            "also_score": matrix.scorers[1:],
            "class": matrix.result_class,
            "seeds": list(self.study.seeds),
            "min_coverage": self.study.min_coverage,
            "tasks": {
                name: {"type": task.type, "domain": task.entry.domain, "decoding": task.entry.decoding}
                for name, task in matrix.tasks.items()
            },
            "pools": {pool: list(self.study.pools[pool].models) for pool in matrix.pools},
            "singles": [
                {"model": model, "task": task} for model, batch in matrix.singles for task in matrix.batch(batch).tasks
            ],
            "methods": [
                {
                    "pool": cell.pool,
                    "variant": cell.variant,
                    "method": matrix.variants[cell.variant].id,
                    "level": matrix.variants[cell.variant].level,
                    "task": task,
                }
                for cell in matrix.cells
                for task in matrix.batch(cell.batch).tasks
            ],
            "not_applicable": [
                {"pool": entry.pool, "variant": entry.variant, "task": task, "reason": entry.reason}
                for entry in matrix.not_applicable
                for task in matrix.batch(entry.batch).tasks
            ],
        }


class Report(Tabulate):
    """The report."""

    depth = 1
