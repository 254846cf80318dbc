"""Why a method does not apply to a pool or to tasks, in the words that tables show."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from moco.config.study import Study
from moco.methods.base import Method, Needs
from moco.scoring.judges import SETS, has_scores
from moco.workflow.batches import Batch

if TYPE_CHECKING:
    from moco.workflow.matrix import Matrix
    from moco.workflow.nodes import Nodes


def type_obstacle(study: Study, method: Method, needs: Needs, batch: Batch) -> str | None:
    """Return why a method does not fit a batch's tasks, or None."""
    if method.task_types is not None and batch.type not in method.task_types:
        return f"{method.id} does not apply to {batch.type} tasks"
    fit = needs.fit
    if "options" in (*needs.answer.logits, *(fit.logits if fit else ())) and batch.type != "multiple_choice":
        return f"reads logits of options, which {batch.type} tasks do not have"
    if fit is not None and (fit.dev_scores or fit.references):
        if not has_scores(batch.type, study.scorer, study.scoring):
            return "no dev scorer"
        if fit.references and batch.type in SETS and study.scorer == "strict":
            return "scores single replies on dev, and diversity is that of several"
    missing = [split for split in (fit.splits if fit else ()) if split not in batch.splits]
    return f"needs a {missing[0]} split to fit on" if missing else None


def pool_obstacle(matrix: "Matrix", pool: str, variant: str) -> str | None:
    """Return why a variant does not fit a pool, or None."""
    members, needs, nodes = matrix.pool(pool).models, matrix.needs(pool, variant), matrix.nodes
    if len(members) < needs.min_models:
        return f"needs at least {needs.min_models} models, the pool has {len(members)}"
    if needs.max_models is not None and len(members) > needs.max_models:
        return f"takes at most {needs.max_models} models, the pool has {len(members)}"
    helpers = matrix.helpers(pool, variant)
    if unknown := sorted(needs.helpers.keys() - helpers.keys()):
        if unknown[0] in type(matrix.variants[variant].params).model_fields:
            return f"needs a model named as `{unknown[0]}`, since not all members are adapters on one model"
        return "combines adapters on one model, and not all members are"
    wanted = [(name, needs.of_members) for name in members]
    wanted += [(name, needs.helpers[role].capabilities) for role, name in helpers.items()]
    for name, capabilities in wanted:
        lacking = nodes.lacks(name, capabilities)
        if lacking is not None:
            return f"{name} is a {nodes.kind(name)} model without {lacking}"
    models = (*members, *matrix.helpers_with(pool, variant, "weights"))
    live = needs.answer.live or (needs.fit is not None and needs.fit.live)
    for name in (*members, *matrix.helpers_with(pool, variant, "logits")) if live else ():
        if nodes.engine(name).kind == "vllm":
            return f"{name} runs in vllm, which cannot be stepped with others"
    if needs.descriptions and not matrix.descriptions(pool):
        return "needs a description of every model"
    return next(filter(None, (difference(nodes, models, aspect) for aspect in sorted(needs.same))), None)


def difference(nodes: "Nodes", models: Iterable[str], aspect: str) -> str | None:
    """Return which two of these models are known not to share an `architecture` or `tokenizer`, or None."""
    values = {name: nodes.declared(name, aspect) for name in models}
    known = [(name, value) for name, value in values.items() if value is not None]
    for name, value in known:
        if value != known[0][1]:
            return f"models must share one {aspect}: {known[0][0]} has {known[0][1]}, {name} has {value}"
    return None
