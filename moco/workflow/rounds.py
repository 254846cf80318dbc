"""The evolution loop as pools and students: a pool of round t is just another pool."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from moco import paths
from moco.config.evolution import EvolutionEntry
from moco.config.study import Study
from moco.config.training import Training
from moco.errors import RequestError

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
