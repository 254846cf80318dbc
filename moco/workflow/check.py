"""Every mistake in a study, found before any job.

Structural mistakes are in the study itself and stop every plan; the others depend on this machine (files, disk) and are
what `moco check` looks at in addition.
"""

from collections.abc import Iterator
from pathlib import Path

from moco.config.models import AdapterModel, HubModel, LocalModel, ModelEntry, ServerModel, TunedModel, ZooModel
from moco.config.partial import sound
from moco.config.problems import InvalidStudy, Problem
from moco.config.study import Comparison, Study
from moco.config.tasks import SyntheticSource
from moco.digest import canonical_json
from moco.errors import MocoError
from moco.methods.base import COMMON_BASE, Helper, PoolInfo
from moco.paths import ALL, LONGEST_SLUG
from moco.registry import did_you_mean
from moco.scoring import task_types
from moco.scoring.judges import CAPABILITY, LEAST_ANSWERS, ROLES, SETS, Role, judges
from moco.scoring.judges import ZOO as ZOO_JUDGES
from moco.tasks.item import WITHOUT_ANSWERS
from moco.tasks.layout import split_layout, task_type
from moco.tasks.origin import can_share
from moco.workflow.batches import concrete_entry
from moco.workflow.check_engines import contexts, engines, roster_entry, silent_role
from moco.workflow.check_machine import machine_problems, tasks_of_programs
from moco.workflow.check_names import names, paths
from moco.workflow.matrix import Matrix
from moco.workflow.nodes import is_made
from moco.zoo.roster import ROSTER
from moco.zoo.skills import SKILLS

__all__ = ["all_problems", "machine_problems", "structural_problems"]

_ABLE = {"generate": "writes", "reward": "rates replies", "embed": "maps texts to vectors"}
_PURPOSE: dict[Role, str] = {
    "verifier": "purpose: chat",
    "reward": "purpose: reward",
    "second_reward": "purpose: reward",
    "encoder": "purpose: embed",
}
_ANY_SIZE = 2  # of a pool: the models that a method names by themselves do not depend on it


_LACKS = ("fits no pool", "fits no task", "which this study does not list")
"""What may be wrong only because something else is."""


def all_problems(study: Study, results: Path, *, part: bool = False) -> list[Problem]:
    """Return all mistakes: those that any machine can see, and those of this machine in what has none yet.

    Args:
        study: The study.
        results: The results folder.
        part: Whether the study is what is left of one with mistakes, so that what it lacks may be there.
    """
    problems = structural_problems(study)
    if part:
        problems = [each for each in problems if not any(lack in each.what for lack in _LACKS)]
    known = {".".join(problem.key.split(".")[:2]) for problem in problems}
    found = machine_problems(study, results, planned=not (problems or part))
    # What keeps a task from being prepared as a whole may be what was found before.
    return list(dict.fromkeys([*problems, *(each for each in found if each.key.split(" (")[0] not in known)]))


def structural_problems(study: Study) -> list[Problem]:
    """Return the mistakes that any machine can see."""
    checks = (_pools, _made_members, _models, engines, contexts, _tasks, _execution, _methods, names, paths, _evolution)
    problems = [problem for check in checks for problem in check(study)]
    rest = sound(study, problems)
    if rest is None:
        return problems
    matrix = Matrix(rest)
    further = [*_comparisons(matrix), *_scoring(matrix)]
    for kind in ("pools", "tasks"):
        if len(getattr(rest, kind)) < len(getattr(study, kind)):
            further = [each for each in further if f"fits no {kind[:-1]}" not in each.what]
    return problems + further


def _pools(study: Study) -> Iterator[Problem]:
    for pool, entry in study.pools.items():
        for name in entry.models:
            if name not in study.models and not is_made(name):
                yield Problem(f"pools.{pool}", f"unknown model {name!r}", did_you_mean(name, study.models))
        if entry.descriptions is not None and len(entry.descriptions) != len(entry.models):
            what = f"{len(entry.descriptions)} descriptions for {len(entry.models)} models"
            yield Problem(f"pools.{pool}.descriptions", what, "write one per model, in order")
        known = list(dict.fromkeys(name for name in entry.models if name in study.models))
        for name in known:
            role = silent_role(name, study.models[name])
            if role is not None:
                yield Problem(f"pools.{pool}", f"{name} is {role} and answers no question", "leave it out of the pool")
        yield from _twice(study, pool, known)


def _made_members(study: Study) -> Iterator[Problem]:
    """Find members that no fit can make: names that are none, and pools that need themselves."""
    made_by: dict[str, list[str]] = {}
    for pool, entry in study.pools.items():
        for name in filter(is_made, entry.models):
            parts = name.split("--")
            tasks = (ALL, *study.tasks)
            known = len(parts) == 5 and parts[0] in study.pools and parts[1] in tasks and parts[2] in study.methods
            if not known or len(name) > LONGEST_SLUG:
                what = f"{name!r} is no model that a fit of this study makes"
                remedy = f"write {{pool}}--{{task}}--{{method}}--s{{seed}}--{{name}}, {LONGEST_SLUG} characters at most"
                yield Problem(f"pools.{pool}", what, remedy)
                return
            made_by.setdefault(pool, []).append(parts[0])
    for pool in made_by:
        needed, pending = set(), list(made_by[pool])
        while pending:
            other = pending.pop()
            if other not in needed:
                needed.add(other)
                pending.extend(made_by.get(other, ()))
        if pool in needed:
            yield Problem(
                f"pools.{pool}", "needs a model that is made from this pool itself", "make it of another pool"
            )


def _twice(study: Study, pool: str, names: list[str]) -> Iterator[Problem]:
    seen: dict[object, str] = {}
    for name in names:
        identity = _identity(name, study.models[name])
        if identity in seen:
            what = f"{seen[identity]} and {name} are the same checkpoint under different settings"
            yield Problem(f"pools.{pool}", what, f"for plain copies write {seen[identity]} several times")
        seen.setdefault(identity, name)


def _identity(name: str, entry: ModelEntry) -> object:
    match entry:
        case HubModel():
            return ("hub", entry.repo, entry.revision)
        case LocalModel():
            return ("local", entry.path)
        case AdapterModel():
            return ("adapter", entry.base, entry.path, entry.repo, entry.revision)
        case TunedModel():
            return ("tuned", canonical_json(entry.slice()))
        case ZooModel():
            return ("zoo", entry.recipe or name, entry.steps, entry.seed)
        case ServerModel():
            return (
                "server",
                entry.endpoint.rstrip("/"),
                entry.name,
                entry.date,
                canonical_json(entry.slice()["extra"]),
            )


def _models(study: Study) -> Iterator[Problem]:
    for name, entry in study.models.items():
        key = f"models.{name}"
        if isinstance(entry, AdapterModel):
            if entry.base not in study.models:
                what = f"base {entry.base!r} is not a model of this study"
                yield Problem(f"{key}.base", what, did_you_mean(entry.base, study.models))
            elif _is_adapter(entry.base, study.models[entry.base]):
                yield Problem(f"{key}.base", "is itself an adapter", "name the full model")
            if (entry.path is None) == (entry.repo is None):
                yield Problem(key, "an adapter needs either path or repo", "give one of them")
        if isinstance(entry, ZooModel):
            yield from _zoo_model(study, name, entry)
        if isinstance(entry, TunedModel):
            yield from _tuned_model(study, name, entry)


def _tuned_model(study: Study, name: str, entry: TunedModel) -> Iterator[Problem]:
    key, seen, base = f"models.{name}", [name], entry.base
    while isinstance(other := study.models.get(base), TunedModel) and base not in seen:
        seen.append(base)
        base = other.base
    if base not in study.models:
        yield Problem(f"{key}.base", f"{base!r} is not a model of this study", did_you_mean(base, study.models))
    elif base in seen:
        yield Problem(f"{key}.base", "is tuned from itself", "name the model that is tuned first")
    elif "trainable" not in (roster_entry(base, study.models[base]) or study.models[base]).capabilities:
        yield Problem(f"{key}.base", f"{base} cannot be trained", "name a language model whose weights are at hand")
    if entry.engine is not None:
        yield Problem(f"{key}.engine", "a tuned model runs as its base does", "set the engine of its base")
    for task in entry.tasks:
        if task not in study.tasks:
            yield Problem(f"{key}.tasks", f"unknown task {task!r}", did_you_mean(task, study.tasks))
            continue
        try:
            splits = split_layout(concrete_entry(study, task), f"tasks.{task}")
        except MocoError:
            continue  # told where the task is declared
        if "train" not in splits:
            yield Problem(f"{key}.tasks", f"task {task} has no split train", "name tasks that have one")
        if what := _no_answers(study, task):
            yield Problem(f"{key}.tasks", what, "name tasks with right answers")


def _no_answers(study: Study, task: str) -> str | None:
    """Return why a task has no answers to learn; None where it has some, or where the task itself is at fault."""
    try:
        kind = task_type(concrete_entry(study, task), f"tasks.{task}")
    except MocoError:
        return None
    if kind not in WITHOUT_ANSWERS:
        return None
    return f"references of task {task}, of type {kind}, are no replies that a model could learn"


def _is_adapter(name: str, entry: ModelEntry) -> bool:
    model = roster_entry(name, entry)
    return isinstance(entry, AdapterModel) or (model is not None and model.adapter is not None)


def _zoo_model(study: Study, name: str, entry: ZooModel) -> Iterator[Problem]:
    recipe = entry.recipe or name
    if recipe not in ROSTER:
        yield Problem(f"models.{name}.recipe", f"the zoo has no model {recipe!r}", did_you_mean(recipe, ROSTER))
    elif ROSTER[recipe].adapter is not None and Matrix(study).nodes.zoo_parent(name) is None:
        parent = ROSTER[recipe].parent
        what = f"rests on the zoo model {parent!r}, which this study does not list"
        yield Problem(
            f"models.{name}", what, f"add it to models, with the same steps and seed: {parent}: {{kind: zoo}}"
        )


def _tasks(study: Study) -> Iterator[Problem]:
    for name, declared in study.tasks.items():
        key = f"tasks.{name}"
        if declared.decoding not in study.decoding:
            what = f"unknown decoding preset {declared.decoding!r}"
            yield Problem(f"{key}.decoding", what, did_you_mean(declared.decoding, study.decoding))
        try:
            entry = concrete_entry(study, name)
            kind = task_type(entry, key)
            splits = split_layout(entry, key)
        except MocoError as error:
            where = error.where if error.where.startswith(key) else f"{key} ({error.where})".replace(" ()", "")
            yield Problem(where, error.what, error.remedy)
            continue
        if isinstance(declared.source, SyntheticSource):
            yield from _skills(f"{key}.source.skills", declared.source.skills)
        if kind not in task_types():
            yield Problem(f"{key}.type", f"no scorer for task type {kind!r}", did_you_mean(kind, task_types()))
        if "test" not in splits:
            yield Problem(f"{key}.source", "has no test split", "add test items")
        for split, most in entry.limit.items():
            if split in splits and most < 1:
                yield Problem(f"{key}.limit.{split}", f"leaves no {split} item", "allow at least one")


def _skills(key: str, skills: tuple[str, ...]) -> Iterator[Problem]:
    for skill in dict.fromkeys(skills):
        if skill not in SKILLS:
            yield Problem(key, f"unknown skill {skill!r}", did_you_mean(skill, SKILLS))
        elif skills.count(skill) > 1:
            yield Problem(key, f"{skill!r} is written twice", "write every skill once: they are mixed in equal parts")


def _execution(study: Study) -> Iterator[Problem]:
    programs = tasks_of_programs(study)
    if programs and not study.scoring.code.allow:
        what = f"replies to {', '.join(programs)} are programs, which run only with your permission"
        yield Problem("scoring.code.allow", what, "set it to true, or leave tasks of type coding out")


def _methods(study: Study) -> Iterator[Problem]:
    matrix = Matrix(study)
    for name in study.methods:
        try:
            method = matrix.make_variant(name)
        except InvalidStudy as error:
            yield from error.problems
            continue
        except MocoError as error:
            yield Problem(error.where or f"methods.{name}", error.what, error.remedy)
            continue
        needs = method.needs(PoolInfo.of_size(_ANY_SIZE))
        for corpus in needs.fit.corpora if needs.fit else ():
            if corpus not in study.corpora:
                what = f"reads corpus {corpus!r}, which this study does not list"
                yield Problem(f"methods.{name}", what, did_you_mean(corpus, study.corpora))
        for role, helper in needs.helpers.items():
            if helper.model != COMMON_BASE:
                yield from _helper(matrix, name, role, helper)


def _helper(matrix: Matrix, variant: str, role: str, helper: Helper) -> Iterator[Problem]:
    models = matrix.study.models
    if helper.model not in models:
        what = f"names {helper.model!r}, which is not a model of this study"
        yield Problem(f"methods.{variant}", what, did_you_mean(helper.model, models))
    elif _known_roster(helper.model, models[helper.model]):
        lacking = matrix.nodes.lacks(helper.model, helper.capabilities)
        if lacking is not None:
            able = [each for each in models if _known_roster(each, models[each])]
            able = [each for each in able if matrix.nodes.lacks(each, helper.capabilities) is None]
            remedy = f"name one that does, for instance {able[0]}" if able else "declare one that does"
            what = (
                f"takes {helper.model} for its {role}, which is a {models[helper.model].kind} model without {lacking}"
            )
            yield Problem(f"methods.{variant}", what, remedy)


def _known_roster(name: str, entry: ModelEntry) -> bool:
    return not isinstance(entry, ZooModel) or roster_entry(name, entry) is not None


def _evolution(study: Study) -> Iterator[Problem]:
    for run, entry in study.evolution.items():
        for key, named, known in (
            ("pool", (entry.pool,), study.pools),
            ("methods", entry.methods, study.methods),
            ("baselines", entry.baselines, study.methods),
            ("tasks", entry.tasks, study.tasks),
        ):
            for name in named:
                if name not in known:
                    kind = {"pool": "pool", "tasks": "task"}.get(key, "method")
                    what = f"unknown {kind} {name!r}"
                    yield Problem(f"evolution.{run}.{key}", what, did_you_mean(name, known))
        if entry.mix.gold and "multi_student" in entry.variants:
            for reason in (_no_answers(study, name) for name in entry.tasks if name in study.tasks):
                if reason:
                    yield Problem(f"evolution.{run}.mix.gold", reason, "set it to 0, or name tasks with right answers")


def _comparisons(matrix: Matrix) -> Iterator[Problem]:
    """Find methods that a comparison names but that can run nowhere in it, and what nothing makes or teaches."""
    study = matrix.study
    for pool, entry in study.pools.items():
        for name in entry.models:
            if is_made(name) and name not in matrix.made:
                yield Problem(f"pools.{pool}", f"no fit of this study makes {name!r}", did_you_mean(name, matrix.made))
    try:
        assert matrix.rounds.cells is not None
    except MocoError as error:
        yield Problem(error.where, error.what, error.remedy)
    yield from _learnt_twice(matrix)
    for number, block in enumerate(study.compare):
        for variant in matrix.block_methods(block):
            yield from _nowhere(matrix, number, block, variant)


def _learnt_twice(matrix: Matrix) -> Iterator[Problem]:
    """Find fits and scores on items that a model was tuned on, so that it knows the answers."""
    fits: dict[tuple[str, str, str, str], None] = {}
    tests: dict[tuple[str, str], None] = dict.fromkeys(matrix.singles)
    for cell in (*matrix.cells, *matrix.rounds.cells):
        fit = matrix.needs(cell.pool, cell.variant).fit
        models = [*matrix.pool(cell.pool).models, *matrix.helpers(cell.pool, cell.variant).values()]
        for model in dict.fromkeys(models):
            tests[model, cell.batch] = None
            fits.update({(cell.variant, model, cell.batch, split): None for split in (fit.splits if fit else ())})
    for variant, model, batch, split in fits:
        for task in _tuned_on(matrix, model, batch, split):
            what = f"fits on the split {split} of {task}, of which {model} was tuned on items"
            remedy = f"leave {model} or {task} out, or cut `train` by the same rule in {task} and where it is learnt"
            yield Problem(f"methods.{variant}", what, remedy)
    for model, batch in tests:
        for task in _tuned_on(matrix, model, batch, "test"):
            what = f"is tuned on items that the split test of {task} holds"
            yield Problem(f"models.{model}", what, f"tune it on other items, or leave {model} or {task} out")


def _tuned_on(matrix: Matrix, model: str, batch: str, split: str) -> Iterator[str]:
    """Yield the tasks of a batch of whose split a model can have learnt items."""
    learnt = [matrix.task(name).entry for name in sorted(matrix.nodes.tuned_on(model))]
    for name in matrix.batch(batch).tasks if learnt else ():
        entry = matrix.task(name).entry
        if any(can_share(each, "train", entry, split) for each in learnt):
            yield name


def _scoring(matrix: Matrix) -> Iterator[Problem]:
    """Find tasks that no model of the study can score, and models that cannot do what `scoring` names them for."""
    study = matrix.study
    unnamed: dict[Role, str] = {}
    for batch in matrix.batches.values():
        for rules in matrix.scorers:
            for role, model in judges(batch.type, rules, study.scoring).items():
                if model is None:
                    unnamed.setdefault(role, f"tasks of type {batch.type} ({batch.tasks[0]})")
        if batch.type in SETS and "strict" in matrix.scorers and batch.answers < LEAST_ANSWERS:
            what = f"{batch.answers} per item, but diversity is read from at least {LEAST_ANSWERS}"
            yield Problem(f"tasks.{batch.tasks[0]}.answers", what, f"set answers: {LEAST_ANSWERS}")
    for role, who in unnamed.items():
        what = f"{who} are scored by a model that {_ABLE[CAPABILITY[role]]}, and none is named"
        zoo = ZOO_JUDGES[role]
        yield Problem(f"scoring.{role}", what, f"name one of `models`, for instance {zoo}, declared as {{kind: zoo}}")
    for role in ROLES:
        name = getattr(study.scoring, role)
        if name is None:
            continue
        if name not in study.models:
            yield Problem(f"scoring.{role}", f"unknown model {name!r}", did_you_mean(name, study.models))
        elif CAPABILITY[role] not in matrix.nodes.capabilities(name):
            what = f"{name} is no model that {_ABLE[CAPABILITY[role]]}"
            yield Problem(f"scoring.{role}", what, f"name another model, or set {_PURPOSE[role]} where it is declared")


def _nowhere(matrix: Matrix, number: int, block: Comparison, variant: str) -> Iterator[Problem]:
    chosen = set(matrix.block_tasks(block))
    batches = [batch for batch in matrix.batches.values() if set(batch.tasks) <= chosen]
    pools = matrix.block_pools(block)
    key = f"methods.{variant}"
    where = f" in compare.{number}" if len(matrix.study.compare) > 1 else ""
    of_type = [matrix.type_obstacle(variant, batch) for batch in batches]
    if of_type and all(of_type):
        yield Problem(key, f"fits no task{where}: {of_type[0]}", "leave it out, or add a task that it can do")
        return
    of_pool = [matrix.pool_obstacle(pool, variant) for pool in pools]
    if of_pool and all(of_pool):
        what = f"fits no pool{where}: {of_pool[0]} (pool {pools[0]})"
        yield Problem(key, what, "leave it out, or add a pool that it can use")
