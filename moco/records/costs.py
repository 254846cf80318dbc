"""Attributed cost: what a method needs when it works alone, whether or not anything was in the store.

Every method that reads a shared response pays for it in full. The FLOPs of a forward pass are counted as 2 per
parameter and token (prompt and completion alike), those of training as 6. What that leaves out or in:

* Attention over the context is not counted. For n tokens at width d it adds about n / 12d: 2 % for 1,000 tokens at
  width 4,096, but half as much again for a tiny model with a long prompt. Long prompts cost more than the number says.
* Embeddings are not set apart: a looked-up row costs nothing, yet its table is among the parameters, and so are all
  experts of a mixture. Models with large vocabularies or many experts cost less than the number says.
* Tokenizing, sampling and the arithmetic of a merge are not counted.

So numbers compare methods on the same models well, and models of different design roughly. The FLOPs of a served model
whose size is not declared are unknown, and so are sums with them; it is never loaded.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

FLOPS_PER_TOKEN = {"answer": 2, "fit": 2, "train": 6}
"""FLOPs per parameter and token, by stage: a forward pass takes 2, a training step 6."""

ROLES = ("member", "helper", "fitted", "candidate")
"""What a model is to a method: of its pool, helping it, made by its fit, or tried by its search."""

CANDIDATES = "candidates of the search"
"""What all candidates of a search go by together."""

_SHARED = ("plain", "logits")


def flops(stage: str, parameters: int | None, tokens: int) -> float | None:
    """Return the FLOPs of working through `tokens` tokens with a model of this size; None where it is not known."""
    if parameters is None:
        return None
    return float(FLOPS_PER_TOKEN[stage] * parameters * tokens)


def attributed(
    calls: Iterable[Mapping[str, Any]],
    *,
    stage: str,
    scope: str,
    role: Callable[[Mapping[str, Any]], str],
    parameters: Callable[[str], int | None],
    served: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Return the cost of calls, one row per model.

    A request that is asked again for the same item counts once, since equal requests are one request. A model is
    loaded once for all shared responses and logits of the stage, and once per round in which the method runs it.

    Args:
        calls: Rows of a calls file.
        stage: `answer` or `fit`.
        scope: `task`, or `pool` for a fit that serves all tasks.
        role: Gives the role of the model that a call ran.
        parameters: Gives the number of parameters of a model; None where it is not known.
        served: Models that run elsewhere and are never loaded.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for call in _distinct(calls):
        groups.setdefault((role(call), call["model"]), []).append(call)
    return [
        _row(stage, scope, place, model, parameters(model), model in served, mine)
        for (place, model), mine in sorted(groups.items(), key=lambda entry: ROLES.index(entry[0][0]))
    ]


def _distinct(calls: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    seen = set()
    for call in calls:
        request = tuple(call[name] for name in ("model", "key", "uid", "kind", "sample"))
        if not call["key"] or request not in seen:
            seen.add(request)
            yield call


def _row(
    stage: str,
    scope: str,
    role: str,
    model: str,
    parameters: int | None,
    served: bool,
    calls: list[Mapping[str, Any]],
) -> dict[str, Any]:
    prompt, completion = (sum(call[name] or 0 for call in calls) for name in ("prompt_tokens", "completion_tokens"))
    shared = any(call["kind"] in _SHARED for call in calls)
    rounds = {call["round"] for call in calls if call["kind"] not in _SHARED}
    return {
        "stage": stage,
        "scope": scope,
        "role": role,
        "model": model,
        "parameters": parameters,
        "calls": len(calls),
        "items": len({call["uid"] for call in calls}),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "flops": flops(stage, parameters, prompt + completion),
        "loads": 0 if served else int(shared) + len(rounds),
    }
