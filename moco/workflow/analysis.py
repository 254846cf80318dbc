"""The last rules: what is collected from the files of all jobs, and the tables, figures and report made of it."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from moco import paths
from moco.workflow.cells import Cell
from moco.workflow.collaboration import Answer, Fit
from moco.workflow.evolution import Mix
from moco.workflow.matrix import Matrix
from moco.workflow.scores import Score
from moco.workflow.stage import Stage, Wildcards, results

PLAIN = "plain responses"
_TABLES = ("moco_main", "moco_cost", "moco_paid_perf", "moco_jobs_perf", "moco_truncated", "data_quality")
_MEASURED = frozenset({"ifeval", "smdd"})
"""Task types with further measures than the score."""

_FIGURES = ("moco_win_rate", "moco_cost_frontier")
_CURVES = ("training_curves",)
_OF_ROUNDS = "evo_"
"""How names of tables and figures of the loop begin."""

_EVO_TABLES = ("evo_main", "evo_variants", "evo_baselines", "evo_domains")
_EVO_FIGURES = ("evo_rounds", "evo_single_multi", "evo_new_solved", "evo_diversity", "evo_training_curves")
COLLECTED = ("scores", "costs", "replies", "students", "curves", "jobs_perf")
"""Files of a collected part."""


class Collect(Stage):
    """All scores and costs of a part of the study, each in one long file."""

    depth = 3

    def scores(self, wildcards: Wildcards) -> list[str]:
        """Return all test scores, under every rule set."""
        return [results(path) for entry in self.entries(wildcards.part) for path in entry["scores"].values()]

    def costs(self, wildcards: Wildcards) -> list[str]:
        """Return what methods cost, and the replies of single models, which say what these cost."""
        return [results(entry["spent"]) for entry in self.entries(wildcards.part)]

    def replies(self, wildcards: Wildcards) -> list[str]:
        """Return the replies behind every result: a model's own, and the calls of methods."""
        return [results(entry["replies"]) for entry in self.entries(wildcards.part)]

    def models(self, wildcards: Wildcards) -> list[str]:
        """Return the descriptions of single models, whose sizes are costs."""
        entries = self.entries(wildcards.part)
        students = self.matrix.rounds.students if wildcards.part == paths.EVOLUTION else ()
        return self.model_files([*(entry["name"] for entry in entries if entry["kind"] == "single"), *students])

    def measured(self, wildcards: Wildcards) -> list[str]:
        """Return what every job really did."""
        return [results(job["path"]) for job in self.work(wildcards.part)]

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what is collected."""
        part = wildcards.part
        found = {"scorer": self.study.scorer, "entries": self.entries(part), "work": self.work(part)}
        if trained := self.trained(part):
            found["trained"] = trained
        return {**found, "rounds": self.rounds} if part == paths.EVOLUTION else found

    def learnt(self, wildcards: Wildcards) -> list[str]:
        """Return the folders of models that were trained, and what else says what rounds cost."""
        folders = [each["folder"] for each in self.trained(wildcards.part)]
        rounds = self.rounds if wildcards.part == paths.EVOLUTION else []
        files = (path for each in rounds for path in (*each["read"].values(), *_files(each)))
        return [results(path) for path in dict.fromkeys((*folders, *files))]

    def trained(self, part: str) -> list[dict[str, Any]]:
        """Return the folders below which trained models lie: whose (`pool`, `name`, `seed`), and `folder`.

        Of the benchmark the models that the study tunes itself and those of fits, of the loop students and those of
        baselines' fits.
        """
        matrix = self.matrix
        found: dict[str, dict[str, Any]] = {}
        for model in matrix.models if part == paths.BENCHMARK else ():
            if matrix.nodes.tuned_from(model) is not None:
                about = {"pool": "", "name": model, "seed": None}
                found[paths.tuned(model)] = {**about, "folder": paths.tuned(model)}
        for each in self.rounds if part == paths.EVOLUTION else ():
            about = {name: each[name] for name in ("pool", "name", "seed")}
            found[each["students"]] = {**about, "folder": each["students"]}
        for cell in matrix.rounds.baselines if part == paths.EVOLUTION else matrix.cells:
            fit = matrix.needs(cell.pool, cell.variant).fit
            for seed in cell.seeds if fit is not None and fit.trains else ():
                batch = matrix.fit_batch(cell.pool, cell.variant, cell.batch)
                folder = paths.fit_folder(cell.pool, batch, cell.variant, seed)
                found[folder] = {"pool": cell.pool, "name": cell.variant, "seed": seed, "folder": folder}
        return list(found.values())

    @cached_property
    def rounds(self) -> list[dict[str, Any]]:
        """Return what each round of each run cost: what taught it, and its students.

        `read` has the costs of the collaboration's answers, `own` model, file and sample of the replies that were learnt
        or by which the best student was chosen, `before` the pool of round 0 where the round trains its models.
        """
        mix = Mix(self.matrix)
        found = []
        for run in self.matrix.rounds.runs.values():
            for number in range(1, run.entry.rounds + 1):
                job = SimpleNamespace(run=run.name, round=number)
                about = {"pool": run.pool(number), "name": run.name, "seed": run.seed, "task": run.task}
                students = {"students": paths.students(run.name, number), "models": list(run.models(number))}
                # What the first round trains is the pool of round 0, but where lineage `reset` trains its bases.
                first = number == 1 and run.parents(1) == run.members
                before = {"before": {"pool": run.entry.pool, "models": list(run.members)}} if first else {}
                found.append({**about, **students, **before, **mix.spent(job)})
        return found

    def entries(self, part: str) -> list[dict[str, Any]]:
        """Return every result: who (kind, pool, name, level), task, seed, its score files by rule set, and what it cost."""
        if part not in self._entries:
            entries = self._rounds() if part == paths.EVOLUTION else self._benchmark()
            self._entries[part] = list(entries)
        return self._entries[part]

    @cached_property
    def _entries(self) -> dict[str, list[dict[str, Any]]]:
        return {}

    def _benchmark(self) -> Iterator[dict[str, Any]]:
        for model, batch in self.matrix.singles:
            for seed in self.study.seeds:
                yield self._single("", model, batch, seed)
        for cell in self.matrix.cells:
            for seed in cell.seeds:
                yield self._method(cell, seed)

    def _rounds(self) -> Iterator[dict[str, Any]]:
        """Yield what runs are about, each once: runs of several methods or variants share round 0."""
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for run in self.matrix.rounds.runs.values():
            for number in range(run.entry.rounds + 1):
                pool = run.pool(number)
                of_round = [
                    self._single(pool, model, batch.name, run.seed)
                    for model, batch in self.matrix.rounds.singles(run, number)
                ]
                cell = Cell(pool, self.matrix.rounds.batch(run, number).name, run.method, (run.seed,))
                for entry in (*of_round, self._method(cell, run.seed)):
                    key = tuple(str(entry[name]) for name in ("kind", "pool", "name", "batch", "seed"))
                    tasks = found.setdefault(key, {**entry, "tasks": []})["tasks"]
                    tasks += [] if run.task in tasks else [run.task]
        yield from found.values()
        for cell, task in self.matrix.rounds.baselines.items():
            yield {**self._method(cell, cell.seeds[0]), "tasks": [task]}

    def _single(self, pool: str, model: str, batch: str, seed: int) -> dict[str, Any]:
        plain = paths.generation(model, batch, "test", seed, "s0")
        about = {"kind": "single", "pool": pool, "name": model, "level": "single", "batch": batch, "seed": seed}
        return {**about, "scores": self._scored(plain), "spent": plain, "replies": plain}

    def _method(self, cell: Cell, seed: int) -> dict[str, Any]:
        where = (cell.pool, cell.batch, cell.variant, seed, "test")
        level = self.matrix.variants[cell.variant].level
        about = {"kind": "method", "pool": cell.pool, "name": cell.variant, "level": level, "batch": cell.batch}
        scores = self._scored(paths.answers(*where))
        return {
            **about,
            "seed": seed,
            "scores": scores,
            "spent": paths.costs(*where),
            "replies": paths.calls(*where),
        }

    def work(self, part: str) -> list[dict[str, str]]:
        """Return the accounts of every job that may run a model: its file, whose work it was (pool, name, level), and which part."""
        if part not in self._work:
            cells = self.matrix.rounds.cells if part == paths.EVOLUTION else self.matrix.cells
            self._work[part] = Work(self.matrix).of(self.entries(part), cells)
        return self._work[part]

    @cached_property
    def _work(self) -> dict[str, list[dict[str, str]]]:
        return {}

    def _scored(self, replies: str) -> dict[str, str]:
        return {rules: paths.scores(rules, replies) for rules in self.matrix.scorers}


class Work:
    """The jobs behind results, for what they really cost; each counts for the first result that needs it.

    Args:
        matrix: The study, expanded.
    """

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        self._fit, self._answer, self._score = Fit(matrix), Answer(matrix), Score(matrix)
        self._found: dict[str, dict[str, str]] = {}

    def of(self, entries: Iterable[Mapping[str, Any]], cells: Iterable[Cell]) -> list[dict[str, str]]:
        """Return the accounts of the jobs behind results: `path` of the file, `pool`, `name`, `level` and `part`."""
        for entry in entries:
            if entry["kind"] == "single":
                self._note_alone([entry["spent"]], PLAIN)
            if self._score.is_judged(self._matrix.batch(entry["batch"])):
                for path in entry["scores"].values():
                    self._note(path, entry["pool"], entry["name"], entry["level"], "scoring")
        for cell in cells:
            for seed in cell.seeds:
                self._note_method(cell, seed)
        return list(self._found.values())

    def _note_method(self, cell: Cell, seed: int) -> None:
        job = SimpleNamespace(pool=cell.pool, batch=cell.batch, method=cell.variant, seed=seed, split="test")
        level = self._matrix.variants[cell.variant].level
        if self._fit.needs(job).fit is not None:
            self._note_fit(cell, seed, level)
        self._note_alone([*self._answer.plain(job), *self._answer.made_plain(job)], PLAIN)
        self._note_alone(self._answer.logits(job), "logits")
        answered = paths.answers(cell.pool, cell.batch, cell.variant, seed, "test")
        self._note(answered, cell.pool, cell.variant, level, "answer")

    def _note_fit(self, cell: Cell, seed: int, level: str) -> None:
        batch = self._matrix.fit_batch(cell.pool, cell.variant, cell.batch)
        job = SimpleNamespace(pool=cell.pool, batch=batch, method=cell.variant, seed=seed)
        self._note_alone(self._fit.plain(job), PLAIN)
        self._note_alone(self._fit.logits(job), "logits")
        for path in map(_below, self._fit.scores(job)):
            _, _, _, model, scored, *_ = path.split("/")
            if self._score.is_judged(self._matrix.batch(scored)):
                self._note(path, "", model, "single", "scoring")
        fit = paths.fit_folder(cell.pool, batch, cell.variant, seed)
        self._note(fit, cell.pool, cell.variant, level, "fit")

    def _note_alone(self, files: Iterable[str], part: str) -> None:
        for path in map(_below, files):
            model = path.split("/")[1]
            made = self._matrix.made.get(model)
            if made is None:
                self._note(path, "", model, "single", part)
                continue
            level = self._matrix.variants[made.variant].level
            self._note(path, made.pool, made.variant, level, "made models' responses" if part == PLAIN else part)

    def _note(self, path: str, pool: str, name: str, level: str, part: str) -> None:
        path = paths.job_perf(path)
        self._found.setdefault(path, {"path": path, "pool": pool, "name": name, "level": level, "part": part})


def _files(of_round: Mapping[str, Any]) -> list[str]:
    return [path for _, path, _ in of_round["own"]]


def _below(path: str) -> str:
    return path.removeprefix("<results>/")


class Tabulate(Stage):
    """Tables, and figures, which have the same slice and read the same files."""

    depth = 2

    def inputs(self, wildcards: Wildcards) -> list[str]:
        """Return what a table reads: the data's own table needs no model."""
        if wildcards.table == "data_quality":
            return self.task_files
        return self._part(wildcards.table)

    def drawn(self, wildcards: Wildcards) -> list[str]:
        """Return what a figure reads."""
        return self._part(wildcards.figure)

    def _part(self, name: str) -> list[str]:
        part = paths.EVOLUTION if name.startswith(_OF_ROUNDS) else paths.BENCHMARK
        return [results(paths.collected(part, file)) for file in COLLECTED]

    @cached_property
    def collected(self) -> list[str]:
        """All that is collected."""
        parts = (paths.BENCHMARK, paths.EVOLUTION) if self.study.evolution else (paths.BENCHMARK,)
        return [results(paths.collected(part, name)) for part in parts for name in COLLECTED]

    @cached_property
    def task_files(self) -> list[str]:
        """All files of all prepared tasks."""
        from moco.config.tasks import SPLITS

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
        measured = any(task.type in _MEASURED for task in self.matrix.tasks.values())
        return (
            *_TABLES,
            *(("moco_measures",) if measured else ()),
            *(("scorer_difference",) if len(self.matrix.scorers) > 1 else ()),
            *(_EVO_TABLES if self.study.evolution else ()),
        )

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures; only what is trained has curves."""
        return (*_FIGURES, *(_CURVES if self._trains else ()), *(_EVO_FIGURES if self.study.evolution else ()))

    @cached_property
    def _trains(self) -> bool:
        return bool(Collect(self.matrix).trained(paths.BENCHMARK))

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the study as tables and figures see it; rounds of the loop as those of the loop see them."""
        names = (getattr(wildcards, kind, None) for kind in ("table", "figure", "name"))
        name = next(filter(None, names), _OF_ROUNDS)  # the report has all
        return {**self._compared(), **(self._evolution if name.startswith(_OF_ROUNDS) else {})}

    @cached_property
    def _evolution(self) -> dict[str, Any]:
        """The runs of the loop and what they are compared with; nothing where the study has none."""
        matrix = self.matrix
        if not matrix.rounds.runs:
            return {}
        runs = [
            {
                "entry": run.declared,
                "run": run.name,
                "pool": run.entry.pool,
                "method": run.method,
                "level": matrix.variants[run.method].level,
                "variant": run.variant,
                "task": run.task,
                "seed": run.seed,
                "protocol": run.entry.protocol,
                "rounds": [
                    {"pool": run.pool(number), "models": list(run.models(number))}
                    for number in range(run.entry.rounds + 1)
                ],
            }
            for run in matrix.rounds.runs.values()
        ]
        baselines = [
            {"pool": cell.pool, "method": cell.variant, "level": matrix.variants[cell.variant].level, "task": task}
            for cell, task in matrix.rounds.baselines.items()
        ]
        return {"evolution": {"runs": runs, "baselines": [dict(each) for each in _distinct(baselines)]}}

    def _compared(self) -> dict[str, Any]:
        matrix = self.matrix
        return {
            "study": self.study.study,
            "configuration": self.study.digest(),
            "scorer": self.study.scorer,
            "also_score": matrix.scorers[1:],
            "class": matrix.result_class,
            "seeds": list(self.study.seeds),
            **({"trains": True} if self._trains else {}),
            "min_coverage": self.study.min_coverage,
            "tasks": {
                name: {"type": task.type, "domain": task.entry.domain, "decoding": task.entry.decoding}
                for name, task in matrix.tasks.items()
            },
            "pools": {pool: list(matrix.pool(pool).models) for pool in matrix.pools},
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


def _distinct(rows: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    return list({tuple(row.items()): row for row in rows}.values())


class Report(Tabulate):
    """The report."""

    depth = 1

    def examples(self, wildcards: Wildcards) -> list[str]:
        """Return the files in which examples are looked up; only the report's own job works them out."""
        return self.example_files

    @cached_property
    def example_files(self) -> list[str]:
        """The files of the first seed: replies, calls, answers and scores."""
        found: dict[str, None] = {}
        for entry in Collect(self.matrix).entries(paths.BENCHMARK):
            if entry["seed"] == self.study.seeds[0]:
                scored = entry["scores"].values()
                replies = [path.split("/", 2)[2] for path in scored]  # scores/{scorer}/ and the path of what is scored
                found |= dict.fromkeys(map(results, [entry["replies"], *replies, *scored]))
        return list(found)
