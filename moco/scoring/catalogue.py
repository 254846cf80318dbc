"""Which module scores which task type; modules are imported when first asked for."""

from importlib import import_module

from moco.errors import RequestError
from moco.registry import did_you_mean
from moco.scoring.base import SCORERS, Scorer

RUNS_CODE = frozenset({"coding", "kernel_bench", "smdd"})
"""Task types whose replies are programs, which run only with `scoring.code.allow`."""

NEEDS_GPU = frozenset({"kernel_bench"})
"""Task types of programs that only a GPU can run."""

_MODULES = {
    "coding": "moco.scoring.coding",
    "exact_match": "moco.scoring.exact_match",
    "f1_match": "moco.scoring.f1_match",
    "gene_ranking": "moco.scoring.gene_ranking",
    "general_verifier": "moco.scoring.general_verifier",
    "generation_diversity": "moco.scoring.generation_diversity",
    "ifeval": "moco.scoring.ifeval",
    "kernel_bench": "moco.scoring.kernel_bench",
    "multiple_choice": "moco.scoring.multiple_choice",
    "noncompliance": "moco.scoring.noncompliance",
    "reward_model": "moco.scoring.reward_model",
    "smdd": "moco.scoring.smdd",
    "text_generation": "moco.scoring.text_generation",
}


def task_types() -> tuple[str, ...]:
    """Return the task types that can be scored."""
    return tuple(sorted(_MODULES))


def scorer_module(task_type: str) -> str:
    """Return the module that scores a task type.

    Raises:
        RequestError: No scorer exists for it.
    """
    if task_type not in _MODULES:
        raise RequestError(f"no scorer for task type {task_type!r}", remedy=did_you_mean(task_type, _MODULES))
    return _MODULES[task_type]


def scorer_for(task_type: str, rules: str) -> Scorer:
    """Return the scorer of a task type under a rule set (`moco.config.rule_sets`).

    Raises:
        RequestError: The type or the rule set is unknown.
    """
    import_module(scorer_module(task_type))
    return SCORERS.get(f"{task_type}/{rules}")
