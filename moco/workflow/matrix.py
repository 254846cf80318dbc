"""A study expanded: every task, batch, model and pair of pool and method that it asks for, and why others do not apply.

Nothing here imports torch, pandas or pyarrow: Snakemake reads the plan again in every job.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from moco import paths
from moco.config.engine import EngineSettings
from moco.config.models import AdapterModel, ModelEntry, ServerModel, ZooModel
from moco.config.study import Comparison, Study
from moco.config.tasks import TaskEntry, TaskSource
from moco.digest import digest
from moco.errors import RequestError
from moco.methods.base import COMMON_BASE, Method, Needs
from moco.methods.catalogue import make_method
from moco.registry import did_you_mean
from moco.scoring.judges import SETS, Role, has_scores, judges
from moco.tasks.catalogue import dataset_names
from moco.tasks.layout import split_layout, task_type

if TYPE_CHECKING:
    from moco.zoo.roster import ZooModel as RosterModel


_IN_WORDS = {"top_logits": "log-probabilities"}
"""Capabilities whose names are no words."""


@dataclass(frozen=True)
class Task:
    """A task as planned: its source resolved, its type and splits known."""

    name: str
    entry: TaskEntry
    type: str
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """A set of tasks that are worked on in one job: of one domain, type, split layout and decoding.

    Equal sets are one batch, whatever asks for them: the name ends in a digest of the tasks' names.

    Attributes:
        name: Slug; equal for equal sets of tasks.
        tasks: The tasks, sorted.
        type: Task type.
        splits: Splits that the tasks have.
        decoding: Decoding preset.
        answers: Answers that the tasks ask for per item.
    """

    name: str
    tasks: tuple[str, ...]
    type: str
    splits: tuple[str, ...]
    decoding: str
    answers: int = 1

    @property
    def together(self) -> int:
        """Replies to an item that are scored together."""
        return self.answers if self.type in SETS else 1


@dataclass(frozen=True)
class Cell:
    """One method variant on one pool and one batch."""

    pool: str
    batch: str
    variant: str


@dataclass(frozen=True)
class Made:
    """A model that a fit makes: of which pool, batch, task, variant and seed, and its name in the method's needs."""

    pool: str
    batch: str
    task: str
    variant: str
    seed: int
    name: str


@dataclass(frozen=True)
class NotApplicable:
    """A pair that never becomes a job, with the reason that tables show."""

    pool: str
    batch: str
    variant: str
    reason: str


def is_made(name: str) -> bool:
    """Return whether a model's name is that of one that the study makes; user slugs contain no `--`."""
    return "--" in name


def concrete_entry(study: Study, name: str) -> TaskEntry:
    """Return a task whose source is not another task; limits and seeds of the task itself stay.

    Raises:
        RequestError: The other task is unknown, or tasks refer to each other in a circle.
    """
    entry, seen = study.tasks[name], [name]
    source = entry.source
    while isinstance(source, TaskSource):
        if source.task not in study.tasks:
            raise RequestError(
                f"unknown task {source.task!r}",
                where=f"tasks.{seen[-1]}.source",
                remedy=did_you_mean(source.task, [*study.tasks, *dataset_names()]),
            )
        if source.task in seen:
            raise RequestError(
                f"source leads back to {source.task!r}", where=f"tasks.{name}.source", remedy="name a real source"
            )
        seen.append(source.task)
        origin = study.tasks[source.task]
        inherited = {"type": entry.type or origin.type, "group_score": entry.group_score or origin.group_score}
        entry = entry.model_copy(update=inherited)
        source = study.tasks[source.task].source
    return entry.model_copy(update={"source": source})


class Matrix:
    """The comparisons of a study, resolved.

    Args:
        study: The study.

    Raises:
        RequestError: A name is unknown, or a declaration does not fit.
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Tasks that some comparison uses."""
        used = dict.fromkeys(task for block in self.study.compare for task in self.block_tasks(block))
        tasks = {}
        for name in used:
            entry = concrete_entry(self.study, name)
            where = f"tasks.{name}"
            tasks[name] = Task(name, entry, task_type(entry, where), split_layout(entry))
        return tasks

    @cached_property
    def variants(self) -> dict[str, Method]:
        """Method variants that some comparison uses, with checked settings."""
        used = dict.fromkeys(name for block in self.study.compare for name in self.block_methods(block))
        return {name: self.make_variant(name) for name in used}

    def make_variant(self, name: str) -> Method:
        """Return a method variant of the study."""
        variant = self.study.methods[name]
        return make_method(variant.method or name, dict(variant.params), where=f"methods.{name}")

    def block_tasks(self, block: Comparison) -> tuple[str, ...]:
        """Return the tasks of a comparison."""
        return _chosen(block.tasks, self.study.tasks, "task")

    def block_pools(self, block: Comparison) -> tuple[str, ...]:
        """Return the pools of a comparison."""
        return _chosen(block.pools, self.study.pools, "pool")

    def block_methods(self, block: Comparison) -> tuple[str, ...]:
        """Return the method variants of a comparison."""
        return _chosen(block.methods, self.study.methods, "method")

    def block_singles(self, block: Comparison) -> frozenset[str]:
        """Return the models that a comparison gives rows of their own, in whatever of its pools they are."""
        return frozenset(_chosen(block.singles, self.study.models, "model", "singles"))

    def batch(self, name: str) -> Batch:
        """Return a batch by its name.

        Raises:
            RequestError: No comparison makes it.
        """
        if name not in self.batches:
            raise RequestError(f"unknown batch {name!r}", remedy=did_you_mean(name, self.batches))
        return self.batches[name]

    @cached_property
    def batches(self) -> dict[str, Batch]:
        """Batches that models or methods are asked for, by name."""
        used = dict.fromkeys([*(batch for _, batch in self.singles), *(cell.batch for cell in self.cells)])
        used.update(dict.fromkeys(entry.batch for entry in self.not_applicable))
        batches = {name: self._known_batches[name] for name in used}
        for model in self.made.values():
            batch = self.batch_of_one(model.task)
            batches[batch.name] = batch
        return batches

    @cached_property
    def _known_batches(self) -> dict[str, Batch]:
        return {}

    @cached_property
    def _partitions(self) -> dict[tuple[str, ...], tuple[Batch, ...]]:
        return {}

    def batch_of_one(self, task: str) -> Batch:
        """Return the batch of a single task, which a model made for that task answers."""
        return self._in_batches((task,))[0]

    def _in_batches(self, tasks: tuple[str, ...]) -> tuple[Batch, ...]:
        """Return tasks in batches, in the order of each batch's first task."""
        if tasks not in self._partitions:
            groups: dict[tuple[str, str, tuple[str, ...], str, int], list[str]] = {}
            for name in tasks:
                task = self.tasks[name]
                key = (task.entry.domain, task.type, task.splits, task.entry.decoding, task.entry.answers)
                groups.setdefault(key, []).append(name)
            made = tuple(_named_batch(*key, tuple(sorted(names))) for key, names in groups.items())
            self._known_batches.update({batch.name: batch for batch in made})
            self._partitions[tasks] = made
        return self._partitions[tasks]

    @cached_property
    def pools(self) -> tuple[str, ...]:
        """Pools that some comparison uses."""
        return tuple(dict.fromkeys(pool for block in self.study.compare for pool in self.block_pools(block)))

    @cached_property
    def models(self) -> dict[str, ModelEntry]:
        """Models that a pool in use or a scorer needs, bases of adapters and parents of zoo models included."""
        used: dict[str, ModelEntry] = {}

        def add(name: str) -> None:
            if name in used:
                return
            entry = self.study.models[name]
            for needed in (self.base(name), self.zoo_parent(name)):
                if needed is not None:
                    add(needed)
            used[name] = entry

        for pool in self.pools:
            for model in self.study.pools[pool].models:
                add(model)
        for block in self.study.compare:
            for pool in self.block_pools(block):
                for variant in self.block_methods(block):
                    for model in self.further_models(pool, variant).values():
                        add(model)
        for kind in dict.fromkeys(task.type for task in self.tasks.values()):
            for rules in self.scorers:
                for model in self.judges_of(kind, rules).values():
                    add(model)
        return used

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

    def zoo_parent(self, name: str) -> str | None:
        """Return the study's model that a zoo model is trained from, where the study lists it."""
        entry, model = self.study.models[name], self.zoo_model(name)
        if not isinstance(entry, ZooModel) or model is None or model.parent is None:
            return None
        for other, candidate in self.study.models.items():
            same = isinstance(candidate, ZooModel) and (candidate.recipe or other) == model.parent
            if not same or not isinstance(candidate, ZooModel):
                continue
            if (candidate.steps, candidate.seed) == (entry.steps, entry.seed):
                return other
        return None

    def needs(self, pool: str, variant: str) -> Needs:
        """Return what a variant needs with a pool."""
        return self.variants[variant].needs(len(self.study.pools[pool].models))

    def further_models(self, pool: str, variant: str) -> dict[str, str]:
        """Return the study's models that a variant's merges are made of beside the pool's, by their names in `needs`.

        The common base is missing where the pool has none.
        """
        common = self.common_base(pool)
        named = ((name, common if name == COMMON_BASE else name) for name in self.needs(pool, variant).further_models)
        return {name: model for name, model in named if model is not None}

    def common_base(self, pool: str) -> str | None:
        """Return the base of all adapters of a pool, or None when they have several or a member is no adapter."""
        bases = {self.base(name) for name in self.study.pools[pool].models}
        return bases.pop() if len(bases) == 1 else None

    @cached_property
    def _resolved(self) -> tuple[tuple[Cell, ...], tuple[NotApplicable, ...]]:
        cells: dict[Cell, None] = {}
        others: dict[NotApplicable, None] = {}
        asked: dict[tuple[str, str], set[str]] = {}
        for block in self.study.compare:
            tasks = self.block_tasks(block)
            for pool in self.block_pools(block):
                for variant in self.block_methods(block):
                    for batch in self._in_batches(_fresh(tasks, asked.setdefault((pool, variant), set()))):
                        reason = self.obstacle(pool, variant, batch)
                        if reason is None:
                            cells[Cell(pool, batch.name, variant)] = None
                        else:
                            others[NotApplicable(pool, batch.name, variant, reason)] = None
        return tuple(cells), tuple(others)

    @cached_property
    def singles(self) -> tuple[tuple[str, str], ...]:
        """Model and batch of every model with a row of its own."""
        pairs: dict[tuple[str, str], None] = {}
        asked: dict[str, set[str]] = {}
        for block in self.study.compare:
            tasks, chosen = self.block_tasks(block), self.block_singles(block)
            members = (model for pool in self.block_pools(block) for model in self.study.pools[pool].models)
            for model in dict.fromkeys(model for model in members if model in chosen):
                for batch in self._in_batches(_fresh(tasks, asked.setdefault(model, set()))):
                    pairs[model, batch.name] = None
        return tuple(pairs)

    @cached_property
    def made(self) -> dict[str, "Made"]:
        """Models that fits make, by slug."""
        models = {}
        for cell in self.cells:
            for name in self.needs(cell.pool, cell.variant).models:
                for task in self._known_batches[cell.batch].tasks:
                    for seed in self.study.seeds:
                        slug = paths.fitted_model(cell.pool, task, cell.variant, seed, name)
                        models[slug] = Made(cell.pool, cell.batch, task, cell.variant, seed, name)
        return models

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All method x pool x batch combinations that become jobs."""
        return self._resolved[0]

    @property
    def not_applicable(self) -> tuple[NotApplicable, ...]:
        """All combinations that do not, with reasons."""
        return self._resolved[1]

    def obstacle(self, pool: str, variant: str, batch: Batch) -> str | None:
        """Return why a variant cannot run on a pool and batch, or None."""
        return self.type_obstacle(variant, batch) or self.pool_obstacle(pool, variant)

    def type_obstacle(self, variant: str, batch: Batch) -> str | None:
        """Return why a variant does not fit a batch's tasks, or None."""
        method = self.variants[variant]
        if method.task_types is not None and batch.type not in method.task_types:
            return f"{method.id} does not apply to {batch.type} tasks"
        needs = self.needs(self.pools[0], variant)
        fit = needs.fit
        if "options" in (*needs.answer.logits, *(fit.logits if fit else ())) and batch.type != "multiple_choice":
            return f"reads logits of options, which {batch.type} tasks do not have"
        if fit is not None and (fit.dev_scores or fit.references):
            if not has_scores(batch.type, self.study.scorer, self.study.scoring):
                return "no dev scorer"
            if fit.references and batch.type in SETS and self.study.scorer == "strict":
                return "scores single replies on dev, and diversity is that of several"
        missing = [split for split in (fit.splits if fit else ()) if split not in batch.splits]
        return f"needs a {missing[0]} split to fit on" if missing else None

    def pool_obstacle(self, pool: str, variant: str) -> str | None:
        """Return why a variant does not fit a pool, or None."""
        entry, needs = self.study.pools[pool], self.needs(pool, variant)
        if len(entry.models) < needs.min_models:
            return f"needs at least {needs.min_models} models, the pool has {len(entry.models)}"
        if needs.max_models is not None and len(entry.models) > needs.max_models:
            return f"takes at most {needs.max_models} models, the pool has {len(entry.models)}"
        further = self.further_models(pool, variant)
        if COMMON_BASE in needs.further_models and COMMON_BASE not in further:
            return "needs a model named as `base`, since not all members are adapters on one model"
        models = (*entry.models, *further.values())
        for name in models:
            lacking = self._lacking(name, needs)
            if lacking is not None:
                return f"{name} is a {self.study.models[name].kind} model without {lacking}"
        for name in entry.models if needs.answer.live else ():
            if self.study.engine_of(name).kind == "vllm":
                return f"{name} runs in vllm, which cannot be stepped with others"
        if needs.descriptions and not self.descriptions(pool):
            return "needs a description of every model"
        for aspect in sorted(needs.same):
            values = {name: self.declared(name, aspect) for name in models}
            known = {value for value in values.values() if value is not None}
            if len(known) > 1:
                (first, one), (second, other) = _two_that_differ(values)
                return f"models must share one {aspect}: {first} has {one}, {second} has {other}"
        return None

    def _lacking(self, name: str, needs: Needs) -> str | None:
        """Return what a model does not offer of what is needed, in words."""
        missing = needs.offers - self.capabilities(name)
        if isinstance(self.study.models[name], ServerModel) and missing & {"weights", "trainable"}:
            return "weights"
        return _IN_WORDS.get(min(missing), min(missing)) if missing else None

    def capabilities(self, name: str) -> frozenset[str]:
        """Return what a model offers to methods."""
        return (self.zoo_model(name) or self.study.models[name]).capabilities

    def base(self, name: str) -> str | None:
        """Return the model that an adapter rests on."""
        if is_made(name):
            return None
        entry = self.study.models[name]
        if isinstance(entry, AdapterModel):
            return entry.base
        model = self.zoo_model(name)
        return self.zoo_parent(name) if model is not None and model.adapter is not None else None

    def zoo_model(self, name: str) -> "RosterModel | None":
        """Return the roster's entry of a zoo model."""
        from moco.zoo.roster import lookup

        entry = self.study.models[name]
        return lookup(entry.recipe or name) if isinstance(entry, ZooModel) else None

    def task(self, name: str) -> Task:
        """Return a task that is compared.

        Raises:
            RequestError: No comparison uses it.
        """
        if name not in self.tasks:
            raise RequestError(f"unknown task {name!r}", remedy=did_you_mean(name, self.tasks))
        return self.tasks[name]

    def entry(self, name: str) -> ModelEntry:
        """Return the declaration of a model.

        Raises:
            RequestError: The study declares none of this name.
        """
        if name not in self.study.models:
            raise RequestError(f"unknown model {name!r}", remedy=did_you_mean(name, self.study.models))
        return self.study.models[name]

    def made_model(self, name: str) -> Made:
        """Return where a model comes from that a fit makes.

        Raises:
            RequestError: No fit makes it.
        """
        if name not in self.made:
            raise RequestError(f"unknown model {name!r}", remedy=did_you_mean(name, self.made))
        return self.made[name]

    def asked_models(self, pool: str, variant: str) -> frozenset[str]:
        """Return the models that a method's answer job asks itself for the plain test responses that it reads."""
        if self.needs(pool, variant).answer.plain_mode != "lazy":
            return frozenset()
        return frozenset(name for name in self.study.pools[pool].models if self.study.models[name].priced)

    @property
    def result_class(self) -> str:
        """How far the study's results repeat: as far as those of the model that repeats least."""
        if any(isinstance(entry, ServerModel) for entry in self.models.values()):
            return "sampled"
        exact = all(self.engine(name).dtype == "float64" for name in self.models)
        return "exact" if exact else "scheduled"

    def gpus(self, name: str) -> int:
        """Return the GPUs that a model needs where GPUs are used; a model that a fit made needs as many as its largest part."""
        if is_made(name):
            return max(map(self.gpus, self.ingredients(name)), default=1)
        return self.study.models[name].gpus

    def parameters(self, name: str) -> float | None:
        """Return the declared number of parameters of a model; of one that a fit made, that of its largest part."""
        if is_made(name):
            return max((self.parameters(part) or 0 for part in self.ingredients(name)), default=0) or None
        entry, base = self.study.models[name], self.base(name)
        if entry.parameters is None and base is not None:
            return self.parameters(base)
        return entry.parameters

    def engine(self, name: str) -> EngineSettings:
        """Return the engine settings of a model: of one that a fit made, those of its first part."""
        return self.engine(self.ingredients(name)[0]) if is_made(name) else self.study.engine_of(name)

    def is_served(self, name: str) -> bool:
        """Return whether a model runs elsewhere, behind an endpoint."""
        return not is_made(name) and isinstance(self.study.models[name], ServerModel)

    def ingredients(self, made: str) -> list[str]:
        """Return the models that one made by a fit may be made of: the pool's, then the further ones that it declares."""
        origin = self.made[made]
        return self.parts(origin.pool, origin.variant)

    def parts(self, pool: str, variant: str) -> list[str]:
        """Return the models that a variant may make models of with a pool."""
        return list(dict.fromkeys([*self.study.pools[pool].models, *self.further_models(pool, variant).values()]))

    def descriptions(self, pool: str) -> tuple[str, ...] | None:
        """Return one description per member, or None when some are missing."""
        entry = self.study.pools[pool]
        texts = entry.descriptions or tuple(self.study.models[name].description for name in entry.models)
        return texts if all(texts) else None

    def declared(self, name: str, aspect: str) -> str | None:
        """Return a model's declared architecture or tokenizer group; adapters have their base's."""
        entry = self.study.models[name]
        value = entry.family if aspect == "architecture" else entry.tokenizer
        if value is None and isinstance(entry, AdapterModel):
            return self.declared(entry.base, aspect)
        model = self.zoo_model(name)
        if value is None and model is not None:
            return model.family if aspect == "architecture" else model.tokenizer
        return value


def _named_batch(
    domain: str, kind: str, splits: tuple[str, ...], decoding: str, answers: int, tasks: tuple[str, ...]
) -> Batch:
    parts = [domain, kind]
    parts += [split for split in splits if split not in ("dev", "test")]
    parts += [] if "dev" in splits else ["nodev"]
    parts += [decoding] if decoding != "default" else []
    parts += [f"k{answers}"] if answers > 1 else []
    name = "-".join([*parts, digest("batch", list(tasks))[:6]])
    return Batch(paths.short_slug(name), tasks, kind, splits, decoding, answers)


def _fresh(tasks: Iterable[str], asked: set[str]) -> tuple[str, ...]:
    """Return the tasks that were not asked before, and note that they are now."""
    fresh = tuple(task for task in tasks if task not in asked)
    asked.update(fresh)
    return fresh


def _chosen(
    names: Sequence[str] | str, known: Mapping[str, object], kind: str, key: str | None = None
) -> tuple[str, ...]:
    if isinstance(names, str):
        return tuple(known)
    for name in names:
        if name not in known:
            raise RequestError(f"unknown {kind} {name!r}", where=f"compare.{key or f'{kind}s'}", remedy=did_you_mean(name, known))
    return tuple(names)


def _two_that_differ(values: Mapping[str, str | None]) -> tuple[tuple[str, str | None], tuple[str, str | None]]:
    known = [(name, value) for name, value in values.items() if value is not None]
    first = known[0]
    return first, next(pair for pair in known if pair[1] != first[1])
