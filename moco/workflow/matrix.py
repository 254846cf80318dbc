"""A study expanded: every batch, model, pool and pair of pool and method that it asks for, as entries of their own.

Nothing here imports torch, pandas or pyarrow: Snakemake reads the plan again in every job.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from moco import paths
from moco.config.models import TunedModel
from moco.config.study import Comparison, PoolEntry, Study
from moco.errors import RequestError
from moco.methods.base import COMMON_BASE, Method, Needs, PoolInfo, pool_members
from moco.methods.catalogue import make_method
from moco.registry import did_you_mean
from moco.scoring.judges import Role, judges
from moco.tasks.layout import split_layout, task_type
from moco.workflow.batches import Batch, Batches, Task, concrete_entry, not_asked_before
from moco.workflow.cells import Cell, Made, NotApplicable, known_entry
from moco.workflow.nodes import Nodes, is_made
from moco.workflow.obstacles import pool_obstacle, type_obstacle
from moco.workflow.remembered import remembered
from moco.workflow.rounds import Rounds
from moco.workflow.sources import source_hash


class Matrix:
    """A study, expanded. Everything is worked out when it is first asked for.

    *Cells* are what comparisons ask of methods, *singles* what they ask of models alone; *made* models come from fits.
    `rounds` has the same for the rounds of the loop, and its students.

    Args:
        study: The study.

    Raises:
        RequestError: A name is unknown, or a declaration does not fit.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.nodes = Nodes(study, self.ingredients, lambda name: self.rounds.base(name))
        self.rounds = Rounds(self)
        self._sources: dict[str, str] = {}
        self._needs: dict[tuple[str, str], Needs] = {}

    # What comparisons name

    def block_tasks(self, block: Comparison) -> tuple[str, ...]:
        """Return the tasks of a comparison."""
        return _chosen(block.tasks, self.study.tasks, "task")

    def block_pools(self, block: Comparison) -> tuple[str, ...]:
        """Return the pools of a comparison."""
        return _chosen(block.pools, self.study.pools, "pool")

    def block_methods(self, block: Comparison) -> tuple[str, ...]:
        """Return the method variants of a comparison."""
        return _chosen(block.methods, self.study.methods, "method")

    def block_singles(self, block: Comparison) -> frozenset[str] | None:
        """Return the models that a comparison gives rows of their own, in whatever of its pools they are; None for all."""
        return (
            None if block.singles == "all" else frozenset(_chosen(block.singles, self.study.models, "model", "singles"))
        )

    # Tasks and batches

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Tasks that some comparison or run of the loop uses."""
        used = dict.fromkeys(task for block in self.study.compare for task in self.block_tasks(block))
        used.update(dict.fromkeys(run.task for run in self.rounds.runs.values()))
        return {name: self._planned_task(name) for name in used}

    def task(self, name: str) -> Task:
        """Return a task that is used.

        Raises:
            RequestError: Nothing uses it.
        """
        return known_entry(name, {**self._learnt, **self.tasks}, "task")

    @cached_property
    def _learnt(self) -> dict[str, Task]:
        """Tasks that a model of the study is tuned on."""
        used = dict.fromkeys(
            task for entry in self.study.models.values() if isinstance(entry, TunedModel) for task in entry.tasks
        )
        return {name: self._planned_task(name) for name in used}

    def _planned_task(self, name: str) -> Task:
        entry = concrete_entry(self.study, name)
        return Task(name, entry, task_type(entry, f"tasks.{name}"), split_layout(entry))

    @cached_property
    def _batches(self) -> Batches:
        return Batches(self.tasks)

    @cached_property
    def batches(self) -> dict[str, Batch]:
        """Batches that models or methods are asked for, by name."""
        used = [batch for _, batch in self.singles]
        used += [each.batch for each in (*self.cells, *self.rounds.cells)]
        used += [each.batch for each in self.not_applicable]
        used += [self.batch_of_one(made.task).name for made in self.made.values() if made.task != paths.ALL]
        return {name: self._batches.by_name[name] for name in dict.fromkeys(used)}

    def batch(self, name: str) -> Batch:
        """Return a batch by its name.

        Raises:
            RequestError: Nothing is asked for it.
        """
        return known_entry(name, self.batches, "batch")

    @remembered
    def batch_of_one(self, task: str) -> Batch:
        """Return the batch of a single task: what models made for that task answer, and rounds of the loop."""
        return self._batches.of_one(task)

    # Methods

    @cached_property
    def variants(self) -> dict[str, Method]:
        """Method variants that are used, with checked settings."""
        used = dict.fromkeys(name for block in self.study.compare for name in self.block_methods(block))
        used.update(dict.fromkeys(run.method for run in self.rounds.runs.values()))
        used.update(dict.fromkeys(name for entry in self.study.evolution.values() for name in entry.baselines))
        return {name: self.make_variant(name) for name in used}

    def make_variant(self, name: str) -> Method:
        """Return a method variant of the study."""
        variant = known_entry(name, self.study.methods, "method")
        return make_method(variant.method or name, dict(variant.params), where=f"methods.{name}")

    def needs(self, pool: str, variant: str) -> Needs:
        """Return what a variant needs with a pool."""
        if (pool, variant) not in self._needs:
            method = known_entry(variant, self.variants, "method")
            self._needs[pool, variant] = method.needs(self.pool_info(pool))
        return self._needs[pool, variant]

    @remembered
    def helpers(self, pool: str, variant: str) -> dict[str, str]:
        """Return the study's models that help a variant, by role; the common base is missing where the pool has none."""
        common = self.common_base(pool)
        helpers = self.needs(pool, variant).helpers.items()
        named = ((role, common if helper.model == COMMON_BASE else helper.model) for role, helper in helpers)
        return {role: model for role, model in named if model is not None}

    def asked_models(self, pool: str, variant: str) -> frozenset[str]:
        """Return the models whose plain responses an answer job asks for itself: priced ones, where it reads lazily."""
        if self.needs(pool, variant).answer.plain_mode != "lazy":
            return frozenset()
        return frozenset(name for name in self.pool(pool).models if self.nodes.is_priced(name))

    def serves_all(self, pool: str, variant: str) -> bool:
        """Return whether one fit of a variant serves all tasks of a pool."""
        return self.needs(pool, variant).fit_scope == "pool"

    def fit_batch(self, pool: str, variant: str, batch: str) -> str:
        """Return the batch by which paths name the fit behind the answers to a batch."""
        return paths.ALL if self.serves_all(pool, variant) else batch

    def fitted_batches(self, pool: str, batch: str, variant: str, seed: int | str) -> list[str]:
        """Return the batches that a fit learns from: its own, or all that its variant is asked on with its pool."""
        if batch != paths.ALL:
            return [batch]
        return [cell.batch for cell in self._cells_of.get((pool, variant), ()) if int(seed) in cell.seeds]

    @cached_property
    def _cells_of(self) -> dict[tuple[str, str], list[Cell]]:
        found: dict[tuple[str, str], list[Cell]] = {}
        known: set[tuple[str, str, str, int]] = set()
        for cell in (*self.cells, *self.rounds.cells):
            where = (cell.pool, cell.variant, cell.batch)
            fresh = tuple(seed for seed in cell.seeds if (*where, seed) not in known)
            known.update((*where, seed) for seed in fresh)
            if fresh:
                found.setdefault(where[:2], []).append(Cell(cell.pool, cell.batch, cell.variant, fresh))
        return found

    def source(self, module: str) -> str:
        """Return the source hash of a module; it is worked out once, since a plan does not outlive its code."""
        if module not in self._sources:
            self._sources[module] = source_hash(module)
        return self._sources[module]

    # Pools and rounds

    @cached_property
    def pools(self) -> tuple[str, ...]:
        """Pools that some comparison uses."""
        return tuple(dict.fromkeys(pool for block in self.study.compare for pool in self.block_pools(block)))

    @remembered
    def pool(self, name: str) -> PoolEntry:
        """Return a pool: a declared one, or that of a round.

        Raises:
            RequestError: There is none of this name.
        """
        if name in self.rounds.pools:
            run, number = self.rounds.pools[name]
            return PoolEntry(models=run.models(number), descriptions=self.study.pools[run.entry.pool].descriptions)
        return known_entry(name, self.study.pools, "pool")

    @remembered
    def pool_info(self, pool: str) -> PoolInfo:
        """Return what is known of a pool before any of its models exists."""
        texts, nodes = self.descriptions(pool), self.nodes

        def about(place: int, model: str) -> dict[str, Any]:
            return {
                "description": texts[place] if texts else "",
                "parameters": nodes.parameters(model),
                "family": nodes.declared(model, "architecture"),
                "tokenizer": nodes.declared(model, "tokenizer"),
            }

        return PoolInfo(pool_members(self.pool(pool).models, about))

    def descriptions(self, pool: str) -> tuple[str, ...] | None:
        """Return one description per member, or None when some are missing."""
        entry = self.pool(pool)
        texts = entry.descriptions or tuple(self.nodes.description(name) for name in entry.models)
        return texts if all(texts) else None

    @remembered
    def common_base(self, pool: str) -> str | None:
        """Return the base of all adapters of a pool, or None when they have several or a member is no adapter."""
        bases = {self.nodes.base(name) for name in self.pool(pool).models}
        return bases.pop() if len(bases) == 1 else None

    # What is compared

    @cached_property
    def _resolved(self) -> tuple[tuple[Cell, ...], tuple[NotApplicable, ...]]:
        cells: dict[Cell, None] = {}
        others: dict[NotApplicable, None] = {}
        asked: dict[tuple[str, str], set[str]] = {}
        for block in self.study.compare:
            tasks = self.block_tasks(block)
            for pool in self.block_pools(block):
                for variant in self.block_methods(block):
                    fresh = not_asked_before(tasks, asked.setdefault((pool, variant), set()))
                    for batch in self._batches.of(fresh):
                        reason = self.obstacle(pool, variant, batch)
                        if reason is None:
                            cells[Cell(pool, batch.name, variant, self.study.seeds)] = None
                        else:
                            others[NotApplicable(pool, batch.name, variant, reason)] = None
        return tuple(cells), tuple(others)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All method x pool x batch combinations of comparisons that become jobs."""
        return self._resolved[0]

    @property
    def not_applicable(self) -> tuple[NotApplicable, ...]:
        """All combinations that do not, with reasons."""
        return self._resolved[1]

    def obstacle(self, pool: str, variant: str, batch: Batch) -> str | None:
        """Return why a variant cannot run on a pool and batch, or None."""
        return self.type_obstacle(variant, batch, pool) or self.pool_obstacle(pool, variant)

    def type_obstacle(self, variant: str, batch: Batch, pool: str | None = None) -> str | None:
        """Return why a variant does not fit a batch's tasks, or None; without a pool, the first one stands for all."""
        needs = self.needs(pool or self.pools[0], variant)
        return type_obstacle(self.study, self.variants[variant], needs, batch)

    @remembered
    def pool_obstacle(self, pool: str, variant: str) -> str | None:
        """Return why a variant does not fit a pool, or None."""
        return pool_obstacle(self, pool, variant)

    @cached_property
    def singles(self) -> tuple[tuple[str, str], ...]:
        """Model and batch of every model with a row of its own."""
        pairs: dict[tuple[str, str], None] = {}
        asked: dict[str, set[str]] = {}
        for block in self.study.compare:
            tasks, chosen = self.block_tasks(block), self.block_singles(block)
            members = dict.fromkeys(model for pool in self.block_pools(block) for model in self.pool(pool).models)
            for model in members if chosen is None else filter(chosen.__contains__, members):
                for batch in self._batches.of(not_asked_before(tasks, asked.setdefault(model, set()))):
                    pairs[model, batch.name] = None
        return tuple(pairs)

    @remembered
    def asked_batch(self, pool: str, variant: str, task: str) -> Batch:
        """Return the batch in which a comparison asks a variant for a task with a pool; of the task alone where none does."""
        for cell in self.cells:
            found = self._batches.by_name[cell.batch]
            if (cell.pool, cell.variant) == (pool, variant) and task in found.tasks:
                return found
        return self.batch_of_one(task)

    @remembered
    def single_batch(self, model: str, task: str) -> Batch:
        """Return the batch in which a comparison asks a model for a task; of the task alone where none does."""
        for name, batch in () if is_made(model) else self.singles:
            if name == model and task in self._batches.by_name[batch].tasks:
                return self._batches.by_name[batch]
        return self.batch_of_one(task)

    # Models

    @cached_property
    def made(self) -> dict[str, Made]:
        """Models that fits make, by slug."""
        models: dict[str, Made] = {}
        for cell in (*self.cells, *self.rounds.cells):
            batch = self.fit_batch(cell.pool, cell.variant, cell.batch)
            tasks = (paths.ALL,) if batch == paths.ALL else self._batches.by_name[batch].tasks
            for name in self.needs(cell.pool, cell.variant).models:
                for task in tasks:
                    for seed in cell.seeds:
                        slug = paths.fitted_model(cell.pool, task, cell.variant, seed, name)
                        models.setdefault(slug, Made(cell.pool, batch, task, cell.variant, seed, name))
        return models

    def made_model(self, name: str) -> Made:
        """Return where a model comes from that a fit makes.

        Raises:
            RequestError: No fit makes it.
        """
        return known_entry(name, self.made, "model")

    @remembered
    def ingredients(self, made: str) -> list[str]:
        """Return the models that one of the study's own making may be made of: its parent, or what a fit may merge."""
        if made in self.rounds.students:
            return [self.rounds.students[made].parent]
        # A member of a pool may be made by another pool's fit: its slug tells without looking at all comparisons.
        parts = made.split("--")
        if len(parts) == 5 and parts[0] in self.study.pools and parts[2] in self.study.methods:
            return self.parts(parts[0], parts[2])
        origin = self.made_model(made)
        return self.parts(origin.pool, origin.variant)

    def is_trained(self, made: str) -> bool:
        """Return whether a model that a fit makes may be an adapter that was trained on a model as it is."""
        origin = self.made_model(made)
        fit = self.needs(origin.pool, origin.variant).fit
        return fit is not None and fit.trains

    @remembered
    def parts(self, pool: str, variant: str) -> list[str]:
        """Return the models that a variant may make models of with a pool: its members, and helpers with weights."""
        return list(dict.fromkeys([*self.pool(pool).models, *self.helpers_with(pool, variant, "weights")]))

    @remembered
    def helpers_with(self, pool: str, variant: str, *capabilities: str) -> list[str]:
        """Return the models that help a variant with one of these capabilities."""
        declared = self.needs(pool, variant).helpers
        helpers = self.helpers(pool, variant).items()
        return [model for role, model in helpers if not declared[role].capabilities.isdisjoint(capabilities)]

    @cached_property
    def kept(self) -> tuple[str, ...]:
        """Models made by fits whose checkpoints stay, since pools have them as members."""
        members = (name for entry in self.study.pools.values() for name in entry.models)
        return tuple(dict.fromkeys(name for name in members if is_made(name)))

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Declared models that a pool in use or a scorer needs, bases of adapters and parents of zoo models included."""
        used: dict[str, None] = {}

        def add(name: str) -> None:
            if name in used:
                return
            if is_made(name):
                for part in self.ingredients(name):
                    add(part)
                return
            for needed in (self.nodes.base(name), self.nodes.tuned_from(name), self.nodes.zoo_parent(name)):
                if needed is not None:
                    add(needed)
            used[name] = None

        for pool in (*self.pools, *(run.entry.pool for run in self.rounds.runs.values())):
            for model in self.pool(pool).models:
                add(model)
        for cell in (*self.cells, *self.rounds.cells):
            for model in self.helpers(cell.pool, cell.variant).values():
                add(model)
        for kind in dict.fromkeys(task.type for task in self.tasks.values()):
            for rules in self.scorers:
                for model in self.judges_of(kind, rules).values():
                    add(model)
        return tuple(used)

    # Scores

    @property
    def scorers(self) -> list[str]:
        """Rule sets that score."""
        return list(dict.fromkeys([self.study.scorer, *self.study.also_score]))

    def judges(self, batch: Batch, rules: str) -> dict[Role, str]:
        """Return the models that a rule set asks about replies to a batch, by their roles; errors as in `judges_of`."""
        return self.judges_of(batch.type, rules)

    def judges_of(self, kind: str, rules: str) -> dict[Role, str]:
        """Return the models that a rule set asks about replies to tasks of a type, by their roles.

        Raises:
            RequestError: The study names none for a role.
        """
        named = judges(kind, rules, self.study.scoring)
        missing = [role for role, model in named.items() if model is None]
        if missing:
            raise RequestError(f"{kind} tasks need a model", where=f"scoring.{missing[0]}", remedy="name one")
        return {role: model for role, model in named.items() if model is not None}

    @cached_property
    def result_class(self) -> str:
        """How far the study's results repeat: as far as those of the model that repeats least."""
        if any(map(self.nodes.is_served, self.models)):
            return "sampled"
        exact = all(self.nodes.engine(name).dtype == "float64" for name in self.models)
        return "exact" if exact else "scheduled"


def _chosen(
    names: Sequence[str] | str, known: Mapping[str, object], kind: str, key: str | None = None
) -> tuple[str, ...]:
    if isinstance(names, str):
        return tuple(known)
    for name in names:
        if name not in known:
            where = f"compare.{key or f'{kind}s'}"
            raise RequestError(f"unknown {kind} {name!r}", where=where, remedy=did_you_mean(name, known))
    return tuple(names)
