"""The training loop of the zoo: one thread, named seeds, and the same bytes however often it is interrupted."""

import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from moco.errors import RequestError, WorkError
from moco.records.files import replace_file
from moco.seeds import derive_seed
from moco.zoo.curriculum import Pair, pairs
from moco.zoo.roster import Training, ZooModel

_log = logging.getLogger("moco")

_SAVE_EVERY = 50
_REPORT_EVERY = 10.0
_CURVE_EVERY = 10
_ROWS = 8
_BETAS = (0.9, 0.98)

Row = tuple[list[int], list[bool]]


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
            self.curve.append(round(sum(self.recent) / _CURVE_EVERY, 4))
            self.recent = []


@contextmanager
def _one_thread() -> Iterator[None]:
    # The order of sums, and so the last bits of the weights, depends on the number of threads.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _llama(model: ZooModel, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    shape = model.shape
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.intermediate,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            head_dim=shape.hidden // shape.heads,
            max_position_embeddings=model.context,
            tie_word_embeddings=True,
            initializer_range=0.05,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
        )
    )


_FAMILIES = {"llama": _llama}


def create(model: ZooModel, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return a model of the roster with random weights, seeded by its name.

    Raises:
        RequestError: The family is unknown.
    """
    if model.family not in _FAMILIES:
        raise RequestError(f"unknown family {model.family!r}", where=f"zoo model {model.name}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("zoo weights", model.name))
        return _FAMILIES[model.family](model, tokenizer).to(torch.float32)


def encode(tokenizer: PreTrainedTokenizerFast, examples: Sequence[Pair]) -> list[Row]:
    """Return each example as tokens, rendered as at inference, with a mark on those that are taught."""
    chats = [[{"role": "user", "content": pair.prompt}] for pair in examples]
    prompts = tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
    replies = [pair.completion + str(tokenizer.eos_token) for pair in examples]
    starts = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    ends = tokenizer(replies, add_special_tokens=False)["input_ids"]
    return [(start + end, [False] * len(start) + [True] * len(end)) for start, end in zip(starts, ends, strict=True)]


def _loss(network: Any, rows: Sequence[Row], pad: int) -> Any:
    """Return the summed loss of the completions; padding comes last, where causal attention never looks back at it."""
    width = max(len(tokens) for tokens, _ in rows)
    padded = torch.tensor([tokens + [pad] * (width - len(tokens)) for tokens, _ in rows])
    taught = torch.tensor([marks + [False] * (width - len(marks)) for _, marks in rows])
    hidden = network.model(input_ids=padded[:, :-1], use_cache=False).last_hidden_state
    logits = network.lm_head(hidden[taught[:, 1:]])
    return torch.nn.functional.cross_entropy(logits, padded[:, 1:][taught[:, 1:]], reduction="sum")


def _learning_rate(settings: Training, step: int, steps: int) -> float:
    warmup = min(settings.warmup, steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return settings.learning_rate * (settings.floor + (1 - settings.floor) * (1 + math.cos(math.pi * done)) / 2)


def _optimiser(network: Any, settings: Training) -> Any:
    parameters = list(network.parameters())
    groups = [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=_BETAS, fused=True)


_MOMENTS = ("exp_avg", "exp_avg_sq")


def _save(path: Path, network: Any, optimiser: Any, progress: Progress) -> None:
    tensors = {}
    for name, parameter in network.named_parameters():
        tensors[f"weight.{name}"] = parameter.detach()
        for moment in _MOMENTS:
            tensors[f"{moment}.{name}"] = optimiser.state[parameter][moment]
    metadata = {"progress": json.dumps(vars(progress))}
    replace_file(path, lambda temporary: save_file(tensors, temporary, metadata=metadata))


def _restore(path: Path, network: Any, optimiser: Any) -> Progress:
    with safe_open(path, framework="pt") as state, torch.no_grad():
        progress = Progress(**json.loads(state.metadata()["progress"]))
        for name, parameter in network.named_parameters():
            parameter.copy_(state.get_tensor(f"weight.{name}"))
            optimiser.state[parameter] = {
                "step": torch.tensor(float(progress.step)),
                **{moment: state.get_tensor(f"{moment}.{name}").clone() for moment in _MOMENTS},
            }
    return progress


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


def _step(network: Any, optimiser: Any, model: ZooModel, step: int, steps: int, tokenizer: Any) -> float:
    for group in optimiser.param_groups:
        group["lr"] = _learning_rate(model.training, step, steps)
    rows = sorted(encode(tokenizer, pairs(model, step)), key=lambda row: len(row[0]))
    taught = sum(sum(marks) for _, marks in rows)
    total = 0.0
    for start in range(0, len(rows), _ROWS):
        loss = _loss(network, rows[start : start + _ROWS], tokenizer.pad_token_id) / taught
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(network.parameters(), model.training.clip)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return total


def train(
    model: ZooModel,
    steps: int,
    tokenizer: PreTrainedTokenizerFast,
    work: Path,
    parent: Path | None = None,
    stop_at: int | None = None,
) -> tuple[LlamaForCausalLM, list[float]]:
    """Train a model, or go on with a training that was interrupted.

    Args:
        model: The model, with its settings.
        steps: Number of steps.
        tokenizer: Its tokenizer.
        work: Folder for the state that a later call resumes from.
        parent: Folder of the checkpoint that it starts from; without it, weights are random.
        stop_at: Step at which to save the state and return early.

    Returns:
        The model and its loss curve, the mean of every ten steps.

    Raises:
        WorkError: The loss is not finite.
    """
    state = work / "state.safetensors"
    settings = model.training
    with _one_thread():
        if parent is None:
            network = create(model, tokenizer)
        else:
            network = LlamaForCausalLM.from_pretrained(parent, dtype=torch.float32)
        network.train()
        optimiser = _optimiser(network, settings)
        progress = _restore(state, network, optimiser) if state.exists() else Progress(0, [], [])
        reporter = _Reporter(model.name, steps, progress.step)
        end = steps if stop_at is None else min(stop_at, steps)
        while progress.step < end:
            loss = _step(network, optimiser, model, progress.step, steps, tokenizer)
            if not math.isfinite(loss):
                raise WorkError(f"loss is {loss} at step {progress.step}", where=f"zoo model {model.name}")
            progress.record(loss)
            reporter.report(progress.step, loss)
            if progress.step < steps and (progress.step % _SAVE_EVERY == 0 or progress.step == end):
                _save(state, network, optimiser, progress)
    return network.eval(), progress.curve
