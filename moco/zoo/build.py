"""Building a checkpoint of the zoo at most once, however many processes ask for it."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from transformers import GenerationConfig

from moco.digest import digest
from moco.records.files import write_json
from moco.zoo.roster import ZooModel, lookup, recipe
from moco.zoo.tokenizer import save_tokenizer, train_tokenizer
from moco.zoo.train import train

_log = logging.getLogger("moco")


def location(name: str, cache: Path, steps: int | None = None) -> Path:
    """Return the folder of a model below the cache, whether or not it is built; arguments as in `build`."""
    return cache / "zoo" / f"{digest(recipe(name, steps))[:16]}-{name}"


def build(name: str, cache: Path, steps: int | None = None) -> Path:
    """Return the folder of a checkpoint, after training it and its ancestors where they are missing.

    Args:
        name: Name in the roster.
        cache: Folder that holds `zoo/<digest>-<name>/`.
        steps: Steps of the model and of its ancestors, instead of the roster's.

    Raises:
        RequestError: There is no such model, or `steps` is not positive.
        WorkError: The training failed.
    """
    model = lookup(name)
    folder = location(name, cache, steps)
    if folder.is_dir():
        return folder
    parent = None if model.parent is None else build(model.parent, cache, steps)
    work = cache / "zoo" / ".work" / folder.name
    work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / "zoo" / ".locks" / f"{folder.name}.lock")
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.info("zoo %s: waiting for the process that trains it", name)
        lock.acquire()
    try:
        if not folder.is_dir():
            _publish(model, steps, folder, work, parent)
    finally:
        lock.release()
    return folder


def _publish(model: ZooModel, steps: int | None, folder: Path, work: Path, parent: Path | None) -> None:
    tokenizer = train_tokenizer(model.shape.vocabulary, model.context)
    network, curve = train(model, steps or model.steps, tokenizer, work, parent)
    draft = work / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    network.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    network.save_pretrained(draft)
    save_tokenizer(tokenizer, draft)
    made = recipe(model.name, steps)
    write_json(draft / "zoo.json", {"name": model.name, "recipe": made, "digest": digest(made), "loss": curve})
    (draft / "README.md").write_text(_card(model, made, curve), encoding="utf-8")
    draft.rename(folder)
    shutil.rmtree(work, ignore_errors=True)


def _card(model: ZooModel, made: dict[str, Any], curve: list[float]) -> str:
    origin = f"the zoo model `{model.parent}`" if model.parent else "random weights"
    extent = "in full" if model.scope == "full" else "only their easy part"
    loss = f"The mean loss of its last ten steps was {curve[-1]}." if curve else ""
    settings = json.dumps(made["settings"], indent=2, sort_keys=True)
    return f"""---
license: apache-2.0
library_name: transformers
tags: [moco-zoo, synthetic]
---

# {model.name}

A tiny {model.family} of about {model.parameters:,} parameters, for tests and demonstrations of model collaboration.
It was trained from {origin} for {made["settings"]["steps"]} steps on synthetic questions, and knows little else.

* Skills: {", ".join(model.skills)} ({extent})
* Replies: `\\box{{answer}}` to a question, the text of an option to a question with options
* Context: {model.context} tokens; trained on much shorter ones

{loss} All training text is generated; the countries and capitals are invented. Not meant for any use outside tests.

## Settings

```json
{settings}
```
"""
