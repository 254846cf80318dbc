"""Every mistake in a study, found before any job.

Structural mistakes are in the study itself and stop every plan; the others depend on this machine (files, disk) and are
what `moco check` looks at in addition.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from moco.config.engine import EngineSettings
from moco.config.expand import expand
from moco.config.load import Problem
from moco.config.models import AdapterModel, HubModel, LocalModel, ModelEntry, ServerModel, ZooModel
from moco.config.study import Comparison, Study
from moco.digest import canonical_json
from moco.errors import MocoError
from moco.methods.base import COMMON_BASE
from moco.paths import BLOCKS
from moco.registry import did_you_mean
from moco.scoring import task_types
from moco.scoring.catalogue import RUNS_CODE
from moco.scoring.judges import CAPABILITY, LEAST_ANSWERS, ROLES, SETS, Role, judges
from moco.scoring.judges import ZOO as ZOO_JUDGES
from moco.tasks.layout import split_layout, task_type
from moco.workflow.matrix import Matrix, concrete_entry
from moco.zoo.roster import ROSTER
from moco.zoo.roster import ZooModel as RosterModel

if TYPE_CHECKING:
    from moco.tasks.selection import Selection

_LARGEST_CHECKED_FILE = 200_000_000
_ABLE = {"generate": "writes", "reward": "rates replies", "embed": "maps texts to vectors"}
_PURPOSE: dict[Role, str] = {
    "verifier": "purpose: chat",
    "reward": "purpose: reward",
    "second_reward": "purpose: reward",
    "encoder": "purpose: embed",
}
_COLDEST, _HOTTEST = 0.01, 2.0  # temperatures of vLLM: it changes what is below without a word, and refuses what is above
_ANY_SIZE = 2  # of a pool: the models that a method names by themselves do not depend on it


def structural_problems(study: Study) -> list[Problem]:
    """Return the mistakes that any machine can see."""
    checks = (_pools, _models, _engines, _tasks, _execution, _methods, _names)
    problems = [problem for check in checks for problem in check(study)]
    return problems or [*_comparisons(study), *_scoring(study)] or list(_rule_names(study))


def machine_problems(study: Study, results: Path) -> list[Problem]:
    """Return missing files, unpinned revisions, unreadable data, and checkpoints that do not fit on the disk.

    Tasks that give each other's test items away are warnings.
    """
    return [*_model_files(study), *_data(study), *_isolation(study), *_disk(study, results)]


def _pools(study: Study) -> Iterator[Problem]:
    for pool, entry in study.pools.items():
        for name in entry.models:
            if name not in study.models:
                yield Problem(f"pools.{pool}", f"unknown model {name!r}", did_you_mean(name, study.models))
        if entry.descriptions is not None and len(entry.descriptions) != len(entry.models):
            what = f"{len(entry.descriptions)} descriptions for {len(entry.models)} models"
            yield Problem(f"pools.{pool}.descriptions", what, "write one per model, in order")
        copies = max(entry.models.count(name) for name in entry.models)
        if copies > BLOCKS[-1][1] + 1:
            yield Problem(f"pools.{pool}", f"{copies} copies of one model", f"use at most {BLOCKS[-1][1] + 1}")
        known = list(dict.fromkeys(name for name in entry.models if name in study.models))
        for name in known:
            role = _silent_role(name, study.models[name])
            if role is not None:
                yield Problem(f"pools.{pool}", f"{name} is {role} and answers no question", "leave it out of the pool")
        yield from _twice(study, pool, known)


def _roster_entry(name: str, entry: ModelEntry) -> RosterModel | None:
    """Return what the zoo knows of a model; None for other models and for names that it does not have."""
    return ROSTER.get(entry.recipe or name) if isinstance(entry, ZooModel) else None


def _silent_role(name: str, entry: ModelEntry) -> str | None:
    """Return what a model is that cannot answer."""
    offered = (_roster_entry(name, entry) or entry).capabilities
    if "generate" in offered:
        return None
    return "a sentence encoder" if "embed" in offered else "a reward model"


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
        case ZooModel():
            return ("zoo", entry.recipe or name, entry.steps, entry.seed)
        case ServerModel():
            return ("server", entry.endpoint.rstrip("/"), entry.name, entry.date, canonical_json(entry.extra))


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


def _engines(study: Study) -> Iterator[Problem]:
    """Find engine settings that no program can follow; those of the study once, however many models have them."""
    found: dict[Problem, None] = {}
    for name, entry in study.models.items():
        if isinstance(entry, ServerModel):
            continue
        settings = study.engine_of(name)
        key = "engine" if entry.engine is None else f"models.{name}.engine"
        own = list(_vllm(settings, key)) if settings.kind == "vllm" else []
        if settings.kind != "vllm" and settings.tensor_parallel > 1:
            what = f"{settings.kind} does not split a model over GPUs"
            own.append(Problem(f"{key}.tensor_parallel", what, "set kind: vllm, or leave it out"))
        if settings.kind == "vllm" and _silent_role(name, entry) is not None:
            what = f"{name} is {_silent_role(name, entry)}, and vllm runs only models that write"
            own.append(Problem(f"models.{name}.engine", what, "give it an engine of its own: {kind: transformers}"))
        if study.site.use_gpu and settings.tensor_parallel > entry.gpus:
            what = f"{entry.gpus} for an engine that splits {name} over {settings.tensor_parallel}"
            own.append(Problem(f"models.{name}.gpus", what, f"set gpus: {settings.tensor_parallel}"))
        found.update(dict.fromkeys(own))
    if any(not isinstance(entry, ServerModel) and study.engine_of(name).kind == "vllm" for name, entry in study.models.items()):
        for preset, decoding in study.decoding.items():
            if decoding.temperature > _HOTTEST or 0 < decoding.temperature < _COLDEST:
                what = f"{decoding.temperature} is not served by vllm"
                remedy = f"use 0, or {_COLDEST} to {_HOTTEST}"
                yield Problem(f"decoding.{preset}.temperature", what, remedy)
    yield from found


def _vllm(settings: EngineSettings, key: str) -> Iterator[Problem]:
    if settings.dtype == "float64":
        yield Problem(f"{key}.dtype", "vllm has no exact mode (float64)", "set dtype: float32, bfloat16 or float16")
    if settings.attention != "auto":
        yield Problem(f"{key}.attention", "vllm chooses its attention by itself", "leave it out")
    if settings.reproducible == "batch" and settings.device == "cpu":
        what = "vllm has no kernels for the CPU that do not depend on the batch"
        yield Problem(f"{key}.reproducible", what, "set reproducible: schedule")


def _is_adapter(name: str, entry: ModelEntry) -> bool:
    model = _roster_entry(name, entry)
    return isinstance(entry, AdapterModel) or (model is not None and model.adapter is not None)


def _zoo_model(study: Study, name: str, entry: ZooModel) -> Iterator[Problem]:
    recipe = entry.recipe or name
    if recipe not in ROSTER:
        yield Problem(f"models.{name}.recipe", f"the zoo has no model {recipe!r}", did_you_mean(recipe, ROSTER))
    elif ROSTER[recipe].adapter is not None and Matrix(study).zoo_parent(name) is None:
        parent = ROSTER[recipe].parent
        what = f"rests on the zoo model {parent!r}, which this study does not list"
        yield Problem(f"models.{name}", what, f"add it to models, with the same steps and seed: {parent}: {{kind: zoo}}")


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
            yield Problem(error.where or key, error.what, error.remedy)
            continue
        if kind not in task_types():
            yield Problem(f"{key}.type", f"no scorer for task type {kind!r}", did_you_mean(kind, task_types()))
        if "test" not in splits:
            yield Problem(f"{key}.source", "has no test split", "add test items")
        for split in ("dev", "test"):
            if entry.limit.get(split, 1) < 1:
                yield Problem(f"{key}.limit.{split}", f"leaves no {split} item", "allow at least one")


def _execution(study: Study) -> Iterator[Problem]:
    programs = _tasks_of_programs(study)
    if programs and not study.scoring.code.allow:
        what = f"replies to {', '.join(programs)} are programs, which run only with your permission"
        yield Problem("scoring.code.allow", what, "set it to true, or leave tasks of type coding out")


def _tasks_of_programs(study: Study) -> list[str]:
    """Return tasks whose replies are executed; tasks with mistakes are reported elsewhere."""
    names = []
    for name in study.tasks:
        with suppress(MocoError):
            if task_type(concrete_entry(study, name), f"tasks.{name}") in RUNS_CODE:
                names.append(name)
    return names


def _isolation(study: Study) -> Iterator[Problem]:
    if not _tasks_of_programs(study):
        return
    from moco.scoring.sandbox.runs import runner

    try:
        runner(study.scoring.code.isolation)
    except MocoError as error:
        yield Problem(error.where, error.what, error.remedy)


def _methods(study: Study) -> Iterator[Problem]:
    matrix = Matrix(study)
    for name in study.methods:
        try:
            method = matrix.make_variant(name)
        except MocoError as error:
            yield Problem(error.where or f"methods.{name}", error.what, error.remedy)
            continue
        for model in method.needs(_ANY_SIZE).further_models:
            if model != COMMON_BASE and model not in study.models:
                what = f"names {model!r}, which is not a model of this study"
                yield Problem(f"methods.{name}", what, did_you_mean(model, study.models))


def _names(study: Study) -> Iterator[Problem]:
    if len(set(study.seeds)) < len(study.seeds):
        yield Problem("seeds", "a seed is written twice", "write every seed once")
    if not study.compare:
        yield Problem("compare", "is empty", "leave it out to compare everything")
    for number, block in enumerate(study.compare):
        for kind, names, known in (
            ("pools", block.pools, study.pools),
            ("tasks", block.tasks, study.tasks),
            ("methods", block.methods, study.methods),
            ("singles", block.singles, study.models),
        ):
            if not names and kind not in ("methods", "singles"):
                yield Problem(f"compare.{number}.{kind}", "is empty", "name some, or leave it out for all")
            for name in () if isinstance(names, str) else names:
                if name not in known:
                    what = f"unknown {'model' if kind == 'singles' else kind[:-1]} {name!r}"
                    yield Problem(f"compare.{number}.{kind}", what, did_you_mean(name, known))


def _comparisons(study: Study) -> Iterator[Problem]:
    """Find methods that a comparison names but that can run nowhere in it."""
    matrix = Matrix(study)
    for number, block in enumerate(study.compare):
        for variant in matrix.block_methods(block):
            yield from _nowhere(matrix, number, block, variant)
            yield from _too_many_samples(matrix, block, variant)


def _scoring(study: Study) -> Iterator[Problem]:
    """Find tasks that no model of the study can score, and models that cannot do what `scoring` names them for."""
    matrix = Matrix(study)
    unnamed: dict[Role, str] = {}
    for batch in matrix.batches.values():
        for rules in matrix.scorers:
            for role, model in judges(batch.type, rules, study.scoring).items():
                if model is None:
                    unnamed.setdefault(role, f"tasks of type {batch.type} ({batch.tasks[0]})")
        if batch.type in SETS and "strict" in matrix.scorers and batch.answers < LEAST_ANSWERS:
            what = f"{batch.answers} per item, but diversity is read from at least {LEAST_ANSWERS}"
            yield Problem(f"tasks.{batch.tasks[0]}.answers", what, f"set answers: {LEAST_ANSWERS}")
        if batch.together > BLOCKS[-1][1] + 1:
            what = f"{batch.answers} per item, which are as many samples of one model"
            yield Problem(f"tasks.{batch.tasks[0]}.answers", what, f"use at most {BLOCKS[-1][1] + 1}")
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
        elif CAPABILITY[role] not in matrix.capabilities(name):
            what = f"{name} is no model that {_ABLE[CAPABILITY[role]]}"
            yield Problem(f"scoring.{role}", what, f"name another model, or set {_PURPOSE[role]} where it is declared")


def _too_many_samples(matrix: Matrix, block: Comparison, variant: str) -> Iterator[Problem]:
    tasks = set(matrix.block_tasks(block))
    for pool in matrix.block_pools(block):
        needs, models = matrix.needs(pool, variant), matrix.study.pools[pool].models
        answers = max(batch.answers for batch in matrix.batches.values() if set(batch.tasks) <= tasks)
        scored = answers if needs.fit and needs.fit.dev_scores else 0
        samples = max(needs.answer.plain * answers, scored, needs.fit.plain if needs.fit else 0)
        most = samples * max(models.count(name) for name in models)
        if most > BLOCKS[-1][1] + 1:
            what = f"reads {most} samples of one model of pool {pool}"
            yield Problem(f"methods.{variant}", what, f"use at most {BLOCKS[-1][1] + 1}, copies times samples times answers")


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


def _rule_names(study: Study) -> Iterator[Problem]:
    """Find pools and batches that rules could not tell apart, since names of rules have no dashes."""
    from moco.workflow.plan import Plan

    names = Counter(rule.name for rule in Plan(study).rules())
    for name, count in names.items():
        if count > 1:
            remedy = "rename a pool or a domain: their names must differ in more than - and _"
            yield Problem("pools", f"{count} rules would be called {name}", remedy)
            return


def _model_files(study: Study) -> Iterator[Problem]:
    for name, entry in study.models.items():
        key = f"models.{name}"
        path = entry.path if isinstance(entry, (LocalModel, AdapterModel)) else None
        if path is not None:
            yield from _path_problems(f"{key}.path", lambda path=path: expand(path))  # type: ignore[misc]
        repo = entry.repo if isinstance(entry, (HubModel, AdapterModel)) else None
        if isinstance(entry, ServerModel):
            yield from _api_key(key, entry)
        if repo is not None and getattr(entry, "revision", None) is None:
            yield Problem(f"{key}.revision", "is not pinned", f"write the commit of {repo}")


def _api_key(key: str, entry: ServerModel) -> Iterator[Problem]:
    variable = entry.requests.key_env
    if variable is not None and not os.environ.get(variable):
        what = f"environment variable {variable}, which should hold the API key, is not set"
        yield Problem(f"{key}.requests.key_env", what, "set it before you run the study")


def _path_problems(key: str, find: Callable[[], Path]) -> Iterator[Problem]:
    try:
        path = find()
    except MocoError as error:
        yield Problem(key, error.what, error.remedy)
        return
    if not path.exists():
        yield Problem(key, f"{path} does not exist", "correct the path")


def _data(study: Study) -> Iterator[Problem]:
    from moco.tasks.paths import source_files
    from moco.tasks.selection import select
    from moco.tasks.sources import open_source

    selections: "dict[str, Selection]" = {}
    for name in study.tasks:
        key = f"tasks.{name}"
        entry = concrete_entry(study, name)
        try:
            files = source_files(entry).values()
            missing = [path for path in files if not path.exists()]
            if missing:
                yield Problem(f"{key}.source", f"{missing[0]} does not exist", "correct the path")
            elif files and sum(path.stat().st_size for path in files) <= _LARGEST_CHECKED_FILE:
                selections[name] = select(entry, open_source(entry, key).rows, key)
        except MocoError as error:
            where = key if error.where.startswith(key) else f"{key} ({error.where})"
            yield Problem(where, error.what, error.remedy)
    if study.methods:
        yield from _shared_items(selections)


def _shared_items(selections: "Mapping[str, Selection]") -> Iterator[Problem]:
    """Find tasks whose test items methods can learn from another task."""
    learned = {
        name: {item.asked for split, items in selection.kept.items() if split != "test" for item in items}
        for name, selection in selections.items()
    }
    for name, selection in selections.items():
        tested = [item.asked for item in selection.kept.get("test", ())]
        for other, given in learned.items():
            count = sum(asked in given for asked in tested)
            if count and other != name:
                what = f"dev or train of {other} hold {count} of its test items, so what is fitted on both tasks has seen them"
                yield Problem(f"tasks.{name}", what, "compare the tasks apart, see table data_quality", warning=True)


def _disk(study: Study, results: Path) -> Iterator[Problem]:
    from moco.workflow.plan import Plan

    plan = Plan(study)
    needed = 0.0
    for derived in plan.derived.values():
        sizes = [study.models[name].parameters or 0 for name in study.pools[derived.pool].models]
        needed += 2 * max(sizes, default=0)
    needed += sum(
        4 * ROSTER[entry.recipe or name].parameters
        for name, entry in plan.matrix.models.items()
        if isinstance(entry, ZooModel)
    )
    place = results.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        what = f"planned checkpoints need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free below {place}"
        yield Problem("models", what, "free space, or use another folder")
