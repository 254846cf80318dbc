"""From the plan's compact description of a study to one entry per row and task."""

from collections.abc import Mapping
from typing import Any

from moco import paths


def expand(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the study with one entry for every single model and method on every task.

    An entry has its score files by seed, and the files by seed that say what was asked and what it cost.
    """
    batches, scorer, seeds = spec["batches"], spec["scorer"], spec["seeds"]
    tasks = {
        task: {"type": batch["type"], "domain": domain, "decoding": batch["decoding"]}
        for batch in batches.values()
        for task, domain in batch["tasks"].items()
    }
    singles = [
        {
            "model": model,
            "task": task,
            "scores": {
                str(seed): paths.scores(
                    scorer, paths.generation(model, task, "test", batches[name]["decoding"], seed, 0)
                )
                for seed in seeds
            },
            "replies": {
                str(seed): paths.generation(model, task, "test", batches[name]["decoding"], seed, 0) for seed in seeds
            },
        }
        for model, name in spec["singles"]
        for task in batches[name]["tasks"]
    ]
    methods = [
        {
            "pool": pool,
            "variant": variant,
            **spec["methods"][variant],
            "task": task,
            "scores": {
                str(seed): paths.scores(scorer, paths.answers(pool, task, variant, seed, "test")) for seed in seeds
            },
            "costs": {str(seed): paths.costs(pool, task, variant, seed, "test") for seed in seeds},
            "calls": {str(seed): paths.calls(pool, task, variant, seed, "test") for seed in seeds},
        }
        for pool, name, variant in spec["cells"]
        for task in batches[name]["tasks"]
    ]
    others = [
        {"pool": pool, "variant": variant, "task": task, "reason": reason}
        for pool, name, variant, reason in spec["not_applicable"]
        for task in batches[name]["tasks"]
    ]
    kept = {
        name: spec[name] for name in ("study", "configuration", "scorer", "class", "seeds", "min_coverage", "pools")
    }
    also = {"also_score": spec["also_score"]} if spec.get("also_score") else {}
    also |= {"items": spec["items"]} if "items" in spec else {}
    return {**kept, **also, "tasks": tasks, "singles": singles, "methods": methods, "not_applicable": others}


def under_rules(spec: Mapping[str, Any], scorer: str) -> dict[str, Any]:
    """Return a study with the score files of another rule set."""
    own = paths.scores(spec["scorer"], "")

    def moved(entry: Mapping[str, Any]) -> dict[str, Any]:
        files = {seed: paths.scores(scorer, path.removeprefix(own)) for seed, path in entry["scores"].items()}
        return {**entry, "scores": files}

    changed = {kind: [moved(entry) for entry in spec[kind]] for kind in ("singles", "methods")}
    return {**spec, **changed, "scorer": scorer}
