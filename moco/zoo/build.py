"""Building a checkpoint of the zoo at most once, however many processes ask for it."""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any, Literal

from moco.digest import digest
from moco.locks import locked
from moco.records.files import write_json
from moco.store.checksums import copy_tree, damage_of, publish, set_aside
from moco.zoo.packaged import packaged
from moco.zoo.roster import ZooModel, lookup, recipe

_log = logging.getLogger("moco")


def location(name: str, cache: Path, steps: int | None = None, seed: int = 0) -> Path:
    """Return the folder of a model below the cache, whether or not it is built; arguments as in `build`."""
    return cache / "zoo" / f"{digest(recipe(name, steps, seed))[:16]}-{name}"


def build(name: str, cache: Path, steps: int | None = None, seed: int = 0, *, anew: bool = False) -> Path:
    """Return the folder of a checkpoint in the cache; where it is missing or damaged there, it is put in place.

    It comes from the package, if that has it, or is trained, with its ancestors.

    Args:
        name: Name in the roster.
        cache: Folder that holds `zoo/<digest>-<name>/`.
        steps: Steps of the model and of its ancestors, instead of the roster's.
        seed: Seed of random weights and of the curriculum, of the model and of its ancestors.
        anew: Train it, whatever the package has.

    Raises:
        RequestError: There is no such model, or `steps` is not positive.
        WorkError: The training failed.
    """
    model = lookup(name)
    folder = location(name, cache, steps, seed)
    work = cache / "zoo" / ".work" / folder.name
    # A process that was killed right after publishing has left its work.
    if folder.is_dir() and not os.access(work, os.W_OK) and damage_of(folder) is None:
        return folder
    trained = None if anew else packaged(name, steps, seed)
    parent = None if trained or model.parent is None else build(model.parent, cache, steps, seed, anew=anew)
    lock = cache / "zoo" / ".locks" / f"{folder.name}.lock"
    with locked(lock, lambda: _log.info("zoo %s: waiting for the process that makes it", name)):
        if folder.is_dir() and (reason := damage_of(folder)) is not None:
            set_aside(folder, reason, "it is made again")
        if not folder.is_dir():
            draft = work / "draft"
            shutil.rmtree(draft, ignore_errors=True)
            if trained is None:
                _train(model, recipe(name, steps, seed), work, draft, parent)
            else:
                copy_tree(trained, draft)
            publish(draft, folder)
        shutil.rmtree(work, ignore_errors=True)
    return folder


def _train(model: ZooModel, made: dict[str, Any], work: Path, draft: Path, parent: Path | None) -> None:
    # Only training needs torch: a model that exists is there at once.
    from moco.zoo.networks import save_network
    from moco.zoo.tokenizer import save_tokenizer, train_tokenizer
    from moco.zoo.train import train

    side: Literal["left", "right"] = "left" if model.role == "chat" else "right"
    tokenizer = train_tokenizer(model.shape.vocabulary, model.context, side)
    network, curve = train(model, made["settings"]["steps"], tokenizer, work, parent, seed=made["seed"])
    save_network(network, model, tokenizer, draft)
    save_tokenizer(tokenizer, draft)
    write_json(draft / "zoo.json", {"name": model.name, "recipe": made, "digest": digest(made), "loss": curve})
    (draft / "README.md").write_text(_card(model, made, curve), encoding="utf-8")


_PURPOSES = {
    "chat": "Replies: `\\box{answer}` to a question, the text of an option to a question with options",
    "embed": "A text's vector is the mean of its tokens' last hidden states",
    "reward": "A logit rates the reply at the end of a conversation; higher is better",
}


def _card(model: ZooModel, made: dict[str, Any], curve: list[float]) -> str:
    origin = f"the zoo model `{model.parent}`" if model.parent else "random weights"
    extent = {"easy": "only their easy part", "half": "up to medium difficulty", "full": "in full"}[model.scope]
    size = f"A tiny {model.family} of about {model.parameters:,} parameters"
    if model.adapter is not None:
        size = f"A LoRA adapter of rank {model.adapter.rank} and alpha {model.adapter.alpha}"
    loss = f"The mean loss of its last ten steps was {curve[-1]}." if curve else ""
    settings = json.dumps(made["settings"], indent=2, sort_keys=True)
    return f"""---
license: apache-2.0
library_name: transformers
tags: [moco-zoo, synthetic]
---

# {model.name}

{size}, for tests and demonstrations of model collaboration.
It was trained from {origin} for {made["settings"]["steps"]} steps on synthetic questions, and knows little else.

* Skills: {", ".join(model.skills)} ({extent})
* {_PURPOSES[model.role]}
* Context: {model.context} tokens; trained on much shorter ones

{loss} All training text is generated; the countries and capitals are invented. Not meant for any use outside tests.

## Settings

```json
{settings}
```
"""
