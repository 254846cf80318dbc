"""The training loop of the zoo: one thread, named seeds, and the same bytes however often it is interrupted."""

import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast

from moco.errors import WorkError
from moco.records.files import replace_file
from moco.zoo.networks import create
from moco.zoo.objectives import OBJECTIVES, Objective
from moco.zoo.roster import DTYPE, Training, ZooModel

_log = logging.getLogger("moco")

_SAVE_EVERY = 50
_REPORT_EVERY = 10.0
_CURVE_EVERY = 10
_BETAS = (0.9, 0.98)


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: Steps that are done.
        curve: Mean loss of every ten steps.
        recent: Losses since the last point of the curve.
    """

    step: int
    curve: list[float]
    recent: list[float]

    def record(self, loss: float) -> None:
        """Count a step with its loss."""
        self.step += 1
        self.recent.append(loss)
        if len(self.recent) == _CURVE_EVERY:
            self.curve.append(round(math.fsum(self.recent) / _CURVE_EVERY, 4))
            self.recent = []


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread inside the context."""
    # The order of sums, and so the last bits of the weights, depends on the number of threads.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _schedule(settings: Training, step: int, steps: int) -> float:
    """Return the learning rate of a step as a part of the peak: a linear warm-up, then a cosine."""
    warmup = min(settings.warmup, steps)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return settings.floor + (1 - settings.floor) * (1 + math.cos(math.pi * done)) / 2


def _trained(network: Any) -> list[tuple[str, Any]]:
    """Return the weights that are trained: all of them, or those of the adapter."""
    return [(name, one) for name, one in network.named_parameters() if one.requires_grad]


_OUTSIDE_LAYERS = ("embed", "lm_head", "score")


def _optimisers(network: Any, settings: Training) -> list[Any]:
    """Return Muon for the matrices of layers, where it has a learning rate, and AdamW for everything else.

    With Muon the base gets earlier through the stretch in which it does not yet look up what fits.
    """
    named = _trained(network)
    matrices = [one for name, one in named if one.ndim == 2 and not any(part in name for part in _OUTSIDE_LAYERS)]
    by_muon = {id(one) for one in matrices} if settings.matrix_rate is not None else set()
    rest = [one for _, one in named if id(one) not in by_muon]
    groups = [
        {"params": [one for one in rest if one.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [one for one in rest if one.ndim <= 1], "weight_decay": 0.0},
    ]
    found = [torch.optim.AdamW(groups, lr=settings.learning_rate, betas=_BETAS, fused=True)]
    if settings.matrix_rate is not None:
        found.append(torch.optim.Muon(matrices, lr=settings.matrix_rate, weight_decay=settings.weight_decay))
    for optimiser in found:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return found


def _save(path: Path, network: Any, optimisers: list[Any], progress: Progress) -> None:
    tensors = {}
    for name, parameter in _trained(network):
        tensors[f"weight {name}"] = parameter.detach()
        for optimiser in optimisers:
            tensors.update({f"{key} {name}": value for key, value in optimiser.state.get(parameter, {}).items()})
    metadata = {"progress": json.dumps(vars(progress))}
    replace_file(path, lambda temporary: save_file(tensors, temporary, metadata=metadata))


def _restore(path: Path, network: Any, optimisers: list[Any]) -> Progress:
    with safe_open(path, framework="pt") as state, torch.no_grad():
        progress = Progress(**json.loads(state.metadata()["progress"]))
        kept: dict[str, dict[str, Any]] = {}
        for entry in state.keys():  # noqa: SIM118 (no mapping)
            key, name = entry.split(" ")
            kept.setdefault(name, {})[key] = state.get_tensor(entry).clone()
    named = dict(_trained(network))
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(kept[name].pop("weight"))
    names = {id(parameter): name for name, parameter in named.items()}
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                optimiser.state[parameter] = kept[names[id(parameter)]]
    return progress


def _round(network: Any) -> None:
    """Round what was trained to the numbers that are stored, so that these are the model, its children's parent too."""
    with torch.no_grad():
        for _, parameter in _trained(network):
            parameter.copy_(parameter.to(getattr(torch, DTYPE)))


class _Reporter:
    def __init__(self, name: str, steps: int, start: int) -> None:
        self.name, self.steps, self.start = name, steps, start
        self.began = self.last = time.monotonic()

    def report(self, step: int, loss: float) -> None:
        now = time.monotonic()
        if now - self.last < _REPORT_EVERY and step < self.steps:
            return
        self.last = now
        speed = (step - self.start) / max(now - self.began, 1e-9)
        _log.info(
            "zoo %s: step %d/%d, loss %.3f, %.1f steps/s, %.0f s left",
            self.name,
            step,
            self.steps,
            loss,
            speed,
            (self.steps - step) / speed,
        )


def _step(
    network: Any, optimisers: list[Any], objective: Objective, settings: Training, step: int, part: float
) -> float:
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = part * group["peak"]
    total = 0.0
    for loss in objective.parts(network, step):
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_([one for _, one in _trained(network)], settings.clip)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return total


def train(
    model: ZooModel,
    steps: int,
    tokenizer: PreTrainedTokenizerFast,
    work: Path,
    parent: Path | None = None,
    *,
    seed: int = 0,
) -> tuple[Any, list[float]]:
    """Train a model, or go on with a training that was interrupted.

    Args:
        model: The model, with its settings.
        steps: Number of steps.
        tokenizer: Its tokenizer.
        work: Folder for the state that a later call resumes from.
        parent: Folder of the checkpoint that it starts from; without it, weights are random.
        seed: Seed of random weights and of the curriculum.

    Returns:
        The network and its loss curve, the mean of every ten steps.

    Raises:
        WorkError: The loss is not finite.
    """
    state = work / "state.safetensors"
    with one_thread():
        network = create(model, tokenizer, parent, seed).train()
        optimisers = _optimisers(network, model.training)
        objective = OBJECTIVES[model.role](model, tokenizer, seed)
        progress = _restore(state, network, optimisers) if state.exists() else Progress(0, [], [])
        reporter = _Reporter(model.name, steps, progress.step)
        while progress.step < steps:
            part = _schedule(model.training, progress.step, steps)
            loss = _step(network, optimisers, objective, model.training, progress.step, part)
            if not math.isfinite(loss):
                raise WorkError(f"loss is {loss} at step {progress.step}", where=f"zoo model {model.name}")
            progress.record(loss)
            reporter.report(progress.step, loss)
            if progress.step < steps and progress.step % _SAVE_EVERY == 0:
                _save(state, network, optimisers, progress)
        _round(network)
    return network.eval(), progress.curve
