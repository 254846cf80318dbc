"""Which models a rule set asks, and which settings decide what they say; cheap enough for planning."""

from typing import Any, Literal, get_args

from moco.config.scoring import Scoring

Role = Literal["verifier", "reward", "second_reward", "encoder"]
ROLES: tuple[Role, ...] = get_args(Role)

CAPABILITY: dict[Role, str] = {
    "verifier": "generate",
    "reward": "reward",
    "second_reward": "reward",
    "encoder": "embed",
}
"""What a model must offer for its role."""

ZOO: dict[Role, str] = {
    "verifier": "verifier",
    "reward": "reward",
    "second_reward": "reward_strict",
    "encoder": "encoder",
}
"""The model of the zoo for each role."""

SETS = frozenset({"generation_diversity"})
"""Task types that score an item's replies together, not one by one."""

LEAST_ANSWERS = 4
"""Replies per item from which diversity is read under `strict`."""

_VERIFIER = ("verifier", "verdict_tokens")
_STRICT_REWARD = ("reward", "second_reward", "max_length")
_FIELDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("general_verifier", "paper"): _VERIFIER,
    ("general_verifier", "paper-1.1"): _VERIFIER,
    ("general_verifier", "strict"): _VERIFIER,
    ("reward_model", "paper"): ("reward",),
    ("reward_model", "paper-1.1"): ("reward",),
    ("reward_model", "strict"): _STRICT_REWARD,
    ("text_generation", "paper"): ("reward",),
    ("text_generation", "paper-1.1"): ("reward",),
    ("text_generation", "strict"): ("text_generation",),
    ("generation_diversity", "paper"): ("encoder",),
    ("generation_diversity", "paper-1.1"): ("encoder",),
    ("generation_diversity", "strict"): ("encoder", "least_words", "least_reward"),
}


def scoring_slice(task_type: str, rules: str, settings: Scoring) -> dict[str, Any] | None:
    """Return the settings that decide scores of a task type under a rule set; None where there are none."""
    fields = _FIELDS.get((task_type, rules))
    if fields is None:
        return None
    if task_type == "text_generation" and rules == "strict":
        fields += {"reward_model": _STRICT_REWARD, "general_verifier": _VERIFIER}.get(
            settings.text_generation or "", ()
        )
    if "least_reward" in fields and settings.least_reward is not None:
        fields += ("reward", "max_length")
    return {name: getattr(settings, name) for name in fields}


def judges(task_type: str, rules: str, settings: Scoring) -> dict[Role, str | None]:
    """Return the model of every role that scoring asks for; None where the study names none for a role it needs."""
    chosen = scoring_slice(task_type, rules, settings) or {}
    named: dict[Role, str | None] = {role: chosen[role] for role in ROLES if role in chosen}
    if named.get("second_reward", "") is None:
        del named["second_reward"]
    return named


def has_scores(task_type: str, rules: str, settings: Scoring) -> bool:
    """Return whether replies get a score at all."""
    if task_type == "kernel_bench":  # a kernel needs a GPU, which sandboxes do not have
        return settings.code.isolation == "limits"
    return not (task_type == "text_generation" and rules == "strict" and settings.text_generation is None)
