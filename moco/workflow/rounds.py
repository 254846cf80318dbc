"""The evolution loop as pools and students: a pool of round t is just another pool."""

from dataclasses import dataclass

from moco import paths
from moco.config.evolution import EvolutionEntry
from moco.config.study import Study
from moco.errors import RequestError


@dataclass(frozen=True)
class Run:
    """One run of the loop: a declared entry with one of its methods, tasks, variants and seeds.

    Attributes:
        name: Slug.
        entry: As it is declared.
        method: Method variant that teaches.
        task: Task whose distill split is learnt from.
        variant: How students learn.
        seed: Run seed.
        members: Models of round 0, in order.
    """

    name: str
    entry: EvolutionEntry
    method: str
    task: str
    variant: str
    seed: int
    members: tuple[str, ...]

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
        return self.run.models(self.round - 1)[self.place - 1]


def runs_of(study: Study) -> dict[str, Run]:
    """Return all runs of a study by name: every method on every task, variant and seed.

    Raises:
        RequestError: Two of them have one name.
    """
    runs = {}
    for name, entry in study.evolution.items():
        members = study.pools[entry.pool].models
        for method in entry.methods:
            for task in entry.tasks:
                for variant in entry.variants:
                    for seed in study.seeds:
                        slug = paths.short_slug(f"{name}-{method}-{task}-{variant}-s{seed}", longest=80)
                        if slug in runs:
                            what = f"two runs of the loop would be called {slug}"
                            raise RequestError(what, where=f"evolution.{name}", remedy="rename one of them")
                        runs[slug] = Run(slug, entry, method, task, variant, seed, members)
    return runs
