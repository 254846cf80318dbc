"""Plans of made-up studies, and the wildcards that rules hand to them."""

from types import SimpleNamespace
from typing import Any

from moco.config.load import study_from
from moco.methods.catalogue import method_ids
from moco.workflow.plan import Plan


def all_methods(model: str) -> dict[str, dict[str, str]]:
    """Return every method with settings that name no other helper than this model and `encoder`."""
    named = {
        "weight_dare_ties": {"base": model},
        "text_agglm": {"aggregator": model},
        "text_llm_blender": {"ranker": model},
        "api_trained_router": {"router": model, "ties": "first"},
    }
    return {name: named.get(name, {}) for name in method_ids()}


ALL_METHODS = all_methods("a")
SKILLS = {"kind": "synthetic", "skills": ["add"], "items": {"dev": 4, "test": 4}}


def plan(**changes: Any) -> Plan:
    """Return the plan of two models and an encoder, an exact and a multiple-choice task, and every method, with changes."""
    content = {
        "study": "s",
        "seeds": [1, 2],
        "models": {
            "a": {"kind": "zoo", "recipe": "add", "description": "adds"},
            "b": {"kind": "zoo", "recipe": "recall", "description": "recalls"},
            "encoder": {"kind": "zoo"},
        },
        "pools": {"p": ["a", "b"]},
        "tasks": {"t": {"source": SKILLS}, "q": {"source": {**SKILLS, "form": "choice"}}},
        "methods": ALL_METHODS,
        **changes,
    }
    made = Plan(study_from(content, "s.yaml"))
    made.build()
    return made


def batch_of(made: Plan, *tasks: str) -> str:
    """Return the name of the batch of exactly these tasks."""
    [name] = [batch.name for batch in made.matrix.batches.values() if batch.tasks == tuple(sorted(tasks))]
    return name


def job(**wildcards: Any) -> SimpleNamespace:
    """Return wildcards of a job; those of a test answer of pool `p` with seed 1 where nothing else is said."""
    return SimpleNamespace(
        **{"pool": "p", "seed": "1", "split": "test", "block": "s0", "scorer": "strict", **wildcards}
    )
