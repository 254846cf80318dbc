"""Training: one model, one set of examples, one folder; the same on every run, and after an interruption."""

import math
import random
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from moco.config.training import KINDS, ON_POLICY, Grpo, OnPolicy, Training
from moco.errors import RequestError, WorkError
from moco.models.info import ModelInfo
from moco.records import CURVE, EXAMPLES, Provenance, read_json, write_json, write_rows
from moco.seeds import derive_seed
from moco.training.encoding import Encoded, Encoder, encode
from moco.training.examples import Example, Reward

if TYPE_CHECKING:
    from moco.training.on_policy import Teacher

METRIC = "held_out_loss"
NOTE, CURVE_FILE, EXAMPLES_FILE = "training.json", "curve.parquet", "examples.parquet"
"""Beside the weights: the settings with counts of examples and tokens, what was logged by step, and what was learnt."""


def train(
    kind: str,
    info: ModelInfo,
    root: Path,
    examples: Sequence[Example],
    settings: Mapping[str, Any],
    seed: Sequence[Any],
    output: Path,
    scratch: Path,
    reward: Reward | None = None,
    *,
    stack: bool = False,
    teacher: "Teacher | None" = None,
    held_out: Sequence[Example] = (),
) -> None:
    """Train a model and save it as a checkpoint, or as an adapter on its base.

    On a CPU it works with one thread, so that the result is the same on every run.

    Args:
        kind: `sft`, `dpo`, `grpo` or `on_policy`.
        info: The model that is trained further.
        root: The project folder.
        examples: What it learns.
        settings: Fields of the kind's settings.
        seed: Order of examples, dropout, replies and first weights of an adapter follow from it and from the model.
        output: Folder of the checkpoint.
        scratch: Folder that survives an interruption; training goes on from what is there.
        reward: For `grpo`.
        stack: Where an adapter is trained on an adapter, train a new one on top of it and save both as one; else the
            adapter itself goes on.
        teacher: For `on_policy`.
        held_out: What it does not learn; the loss on it is measured before and after. For `sft` and `on_policy`.

    Raises:
        RequestError: There is nothing to learn, the teacher has another vocabulary, or the model cannot be trained so.
        WorkError: Numbers became infinite.
    """
    from transformers.utils.logging import disable_progress_bar

    from moco.training.network import load_network, save_network, save_stacked

    how = checked(kind, settings, info)
    if teacher is not None:
        teacher.check(info)
    new_tokens = (how.max_new_tokens or 0) if isinstance(how, Grpo | OnPolicy) else 0
    encoded = encode(examples, info, root, how.max_tokens, new_tokens)
    apart = [Encoder(info, root, how.max_tokens).encoded(each, new_tokens) for each in held_out]
    used, measured = ([each for each in some if each.flag != "left out"] for some in (encoded, apart))
    seeds = {
        name: derive_seed("training", kind, name, info.fingerprint, *seed) % 2**31 for name in ("order", "adapter")
    }
    with _own_randomness(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        disable_progress_bar()
        network = load_network(info, root, how, seeds["adapter"], _empty(scratch / "dense"), stack=stack)
        curve: list[tuple[int, str, float]] = []
        tokens = written = 0
        losses = []
        if measured:
            from moco.training.held_out import HeldOut

            of_others = HeldOut(measured, info, root, how, seeds["order"], teacher)
            losses.append(of_others.loss(network))
        if how.steps != 0:
            from moco.training.trainers import run_trainer

            curve, tokens, written = run_trainer(
                kind, network, info, root, used, how, seeds["order"], scratch, reward, teacher
            )
        updates = max((step for step, *_ in curve), default=0)
        if measured:
            losses.append(of_others.loss(network))
            curve += [(step, METRIC, loss.value) for step, loss in zip((0, updates), losses, strict=True)]
        if stack and how.rank is not None and info.base is not None:
            save_stacked(network, info, root, output, _empty(scratch / "added"))
        else:
            save_network(network, info, root, output)
    about = Provenance("train", {"kind": kind, **how.slice()}, {"model": info.fingerprint})
    rows = [dict(zip(("step", "metric", "value"), row, strict=True)) for row in curve]
    write_rows(output / CURVE_FILE, CURVE, rows, about)
    learnt = [*((each, False) for each in encoded), *((each, True) for each in apart)]
    write_rows(output / EXAMPLES_FILE, EXAMPLES, (_as_row(*each) for each in learnt), about)
    counts = {"examples": len(examples), "left_out": len(encoded) - len(used), "tokens": tokens, "written": written}
    counts["updates"] = updates
    taught = sum(value for _, metric, value in curve if metric == "teacher_flops")
    counts["teacher_flops"] = round(taught + sum(loss.teacher_flops for loss in losses))
    note: dict[str, Any] = {"kind": kind, **how.slice(), **counts}
    if losses:
        before, after = losses
        note["held_out"] = {"examples": len(measured), "before": before.value, "after": after.value}
        note["held_out"]["tokens"] = before.tokens + after.tokens
    write_json(output / NOTE, note)
    if wrong := next((row for row in curve if not math.isfinite(row[2])), None):
        what = f"{wrong[1]} is not finite at step {wrong[0]}"
        raise WorkError(what, where=f"training of {info.name}", remedy="lower learning_rate")


def checked(kind: str, settings: Mapping[str, Any], info: ModelInfo) -> Training:
    """Return the settings of a kind of training.

    Raises:
        RequestError: They do not fit together.
    """
    where = f"training of {info.name}"
    try:
        how = (OnPolicy if kind == ON_POLICY else KINDS[kind]).model_validate(dict(settings))
    except ValidationError as error:
        raise RequestError(
            "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors()), where=where
        ) from None
    if isinstance(how, Grpo | OnPolicy) and how.max_new_tokens is None:
        raise RequestError("the longest reply is not said", where=where, remedy="set max_new_tokens")
    return how


def spent(folder: Path) -> tuple[int, int, int]:
    """Return the steps of the training behind a checkpoint, and how many tokens it read and wrote, with repeats."""
    note = read_json(folder / NOTE)
    return int(note["updates"]), int(note["tokens"]), int(note["written"])


def _as_row(each: Encoded, held_out: bool) -> dict[str, Any]:
    made = each.example
    return {
        "uid": made.uid,
        "source": made.source,
        "prompt": str(made.prompt),
        "reply": made.reply,
        "rejected": made.rejected,
        "prompt_tokens": len(each.prompt),
        "reply_tokens": len(each.reply),
        "rejected_tokens": len(each.rejected),
        "flag": each.flag,
        "held_out": held_out,
    }


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@contextmanager
def _own_randomness() -> Iterator[None]:
    """Give the global generators, which trl seeds and draws from, back as they were."""
    import torch

    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
