"""The evolution loop as pools and students: a pool of round t is just another pool."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from moco import paths
from moco.config.evolution import EvolutionEntry
from moco.config.study import Study
from moco.config.training import Training
from moco.decoding.fusion import WeightedSum
from moco.errors import RequestError
from moco.methods.base import TokenTeacher
from moco.workflow.batches import Batch
from moco.workflow.cells import Cell, known_entry
from moco.workflow.obstacles import difference

if TYPE_CHECKING:
    from moco.workflow.matrix import Matrix

STUDENT = re.compile(r"--r[0-9]+--[0-9]+$")
"""How names of students end, and no others: those of fitted models end in a name after a seed, or in a digest."""


@dataclass(frozen=True)
class Run:
    """One run of the loop: a declared entry with one of its methods, tasks, variants and seeds.

    Attributes:
        name: Slug.
        declared: Name of its entry.
        entry: As it is declared.
        method: Method variant that teaches.
        task: Task whose distill split is learnt from.
        variant: How students learn.
        seed: Run seed.
        members: Models of round 0, in order.
        roots: What lineage `reset` trains in every round: the members' bases, or members that have none.
    """

    name: str
    declared: str
    entry: EvolutionEntry
    method: str
    task: str
    variant: str
    seed: int
    members: tuple[str, ...]
    roots: tuple[str, ...]

    @property
    def teaches_on(self) -> str:
        """The split that the collaboration answers for students."""
        return "dev" if self.entry.protocol == "upstream" else "distill"

    @property
    def own_split(self) -> str:
        """The split to which students' own replies may be learnt."""
        return "test" if self.entry.protocol == "upstream" else "distill"

    @property
    def shares(self) -> dict[str, float]:
        """What students learn, by source, in shares of the items."""
        if self.variant == "multi_student":
            return dict(self.entry.mix.slice())
        return {"prompt" if self.is_on_policy else "teach": 1.0}

    @property
    def is_on_policy(self) -> bool:
        """Whether students learn on replies that they write while they learn."""
        return self.variant == "on_policy"

    @property
    def training(self) -> Training:
        """How students are trained."""
        return self.entry.on_policy if self.is_on_policy else self.entry.training

    def parents(self, number: int) -> tuple[str, ...]:
        """Return the models that a round trains, in the order of the pool."""
        return self.roots if self.entry.lineage == "reset" else self.models(number - 1)

    def pool(self, number: int) -> str:
        """Return the pool after a round; that of round 0 is the declared one."""
        return f"{self.name}--r{number}" if number else self.entry.pool

    def models(self, number: int) -> tuple[str, ...]:
        """Return the models of the pool after a round, in the order of round 0."""
        if number == 0:
            return self.members
        return tuple(f"{self.pool(number)}--{place}" for place in range(1, len(self.members) + 1))


@dataclass(frozen=True)
class Student:
    """A model that a round makes: of which run and round, and its place in the pool, from 1."""

    run: Run
    round: int
    place: int

    @property
    def parent(self) -> str:
        """The model that it is trained from."""
        return self.run.parents(self.round)[self.place - 1]


def runs_of(study: Study, base: Callable[[str], str | None]) -> dict[str, Run]:
    """Return all runs of a study by name: every method on every task, variant and seed.

    Args:
        study: The study.
        base: Gives the model that an adapter rests on; None for others.

    Raises:
        RequestError: Two of them have one name.
    """
    runs = {}
    for name, entry in study.evolution.items():
        members = study.pools[entry.pool].models
        roots = tuple(base(name) or name for name in members)
        for method in entry.methods:
            for task in entry.tasks:
                for variant in entry.variants:
                    for seed in study.seeds:
                        slug = paths.short_slug(f"{name}-{method}-{task}-{variant}-s{seed}", longest=80)
                        if slug in runs:
                            what = f"two runs of the loop would be called {slug}"
                            raise RequestError(what, where=f"evolution.{name}", remedy="rename one of them")
                        runs[slug] = Run(slug, name, entry, method, task, variant, seed, members, roots)
    return runs


class Rounds:
    """All runs of the loop of a study: their pools and students, and what is asked of them.

    Everything is worked out when it is first asked for.

    Args:
        matrix: The study, expanded.
    """

    def __init__(self, matrix: "Matrix") -> None:
        self._matrix, self._study, self._nodes = matrix, matrix.study, matrix.nodes

    @cached_property
    def runs(self) -> dict[str, Run]:
        """Runs of the loop by name."""
        return runs_of(self._study, self._nodes.base)

    def run(self, name: str) -> Run:
        """Return a run of the loop.

        Raises:
            RequestError: There is none of this name.
        """
        return known_entry(name, self.runs, "run")

    @cached_property
    def pools(self) -> dict[str, tuple[Run, int]]:
        """Pools that rounds make, by name: the run of each and the number of the round, from 1."""
        rounds = ((run, number) for run in self.runs.values() for number in range(1, run.entry.rounds + 1))
        return {run.pool(number): (run, number) for run, number in rounds}

    @cached_property
    def students(self) -> dict[str, Student]:
        """Models that rounds make, by name."""
        return {
            name: Student(run, number, place)
            for run, number in self.pools.values()
            for place, name in enumerate(run.models(number), start=1)
        }

    def base(self, name: str) -> str | None:
        """Return the model that a student's adapter rests on; None for other models, and where all weights are trained."""
        if not STUDENT.search(name):  # runs are made of members, and members of fits have no base
            return None
        student = self.students[name]
        return None if student.run.training.rank is None else student.run.roots[student.place - 1]

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The teaching method of every run with the pool of every round, round 0 included, and the baselines of runs.

        Raises:
            RequestError: A method cannot work with that pool and task.
        """
        teaching = (
            Cell(run.pool(number), self.batch(run, number).name, run.method, (run.seed,))
            for run in self.runs.values()
            if self._can_teach(run)
            for number in range(run.entry.rounds + 1)
        )
        return (*teaching, *self.baselines)

    @cached_property
    def baselines(self) -> dict[Cell, str]:
        """What runs are compared with, and the task of each: methods that learn by themselves, with the pool of round 0.

        Raises:
            RequestError: A method cannot work with that pool and task.
        """
        found: dict[Cell, str] = {}
        for name, entry in self._study.evolution.items():
            for variant in entry.baselines:
                for task in entry.tasks:
                    batch = self._matrix.asked_batch(entry.pool, variant, task)
                    reason = self._matrix.obstacle(entry.pool, variant, batch)
                    if reason is not None:
                        what = f"{variant} cannot be compared on task {task} with pool {entry.pool}: {reason}"
                        raise RequestError(what, where=f"evolution.{name}.baselines", remedy="leave it out")
                    found.update({Cell(entry.pool, batch.name, variant, (seed,)): task for seed in self._study.seeds})
        return found

    def batch(self, run: Run, number: int) -> Batch:
        """Return the batch in which a round is asked; that of round 0 is the benchmark's, where it has the row."""
        if number:
            return self._matrix.batch_of_one(run.task)
        return self._matrix.asked_batch(run.entry.pool, run.method, run.task)

    def singles(self, run: Run, number: int) -> Iterator[tuple[str, Batch]]:
        """Yield the models of a round, each with the batch in which it is asked."""
        for model in dict.fromkeys(run.models(number)):
            yield model, self._matrix.single_batch(model, run.task)

    def token_teacher(self, run: Run, number: int) -> tuple[list[str], WeightedSum]:
        """Return the models whose logits teach a round of variant `on_policy`, and what combines them.

        Raises:
            RequestError: The method has no next-token distribution.
        """
        pool = run.pool(number - 1)
        teacher = self._token_teacher(pool, run.method)
        if teacher is None:
            raise RequestError(f"{run.method} has no next-token distribution", where="evolution")
        members = self._matrix.pool(pool).models
        task = paths.ALL if self._matrix.serves_all(pool, run.method) else run.task
        names = [
            members[each] if isinstance(each, int) else paths.fitted_model(pool, task, run.method, run.seed, each)
            for each in teacher.models
        ]
        return names, teacher.program

    def _can_teach(self, run: Run) -> bool:
        batch = self._matrix.batch_of_one(run.task)
        reason = None if run.teaches_on in batch.splits else f"task {run.task} has no {run.teaches_on} split"
        served = next(filter(self._nodes.is_served, run.members), None)
        reason = reason or (f"{served} runs elsewhere and cannot learn" if served else None)
        reason = reason or self._matrix.obstacle(run.entry.pool, run.method, batch)
        if reason is None and run.entry.rounds:  # a base that adapters share is gone where all weights are trained
            reason = self._matrix.pool_obstacle(run.pool(1), run.method)
        if reason is None and run.is_on_policy and self._token_teacher(run.entry.pool, run.method) is None:
            reason = "it has no next-token distribution on given prefixes, which variant on_policy learns from"
        if reason is None and run.is_on_policy:
            reason = difference(self._nodes, run.members, "tokenizer")
        if reason is not None:
            raise RequestError(
                f"{run.method} cannot teach pool {run.entry.pool}: {reason}",
                where="evolution",
                remedy="name another method, pool or task",
            )
        return True

    def _token_teacher(self, pool: str, variant: str) -> TokenTeacher | None:
        return self._matrix.variants[variant].token_teacher(self._matrix.pool_info(pool))
