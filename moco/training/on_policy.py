"""On-policy distillation: a student writes, and learns at every token of its own what a teacher would have written next.

The paper of the loop (arXiv 2602.05182) names such a variant and publishes neither its loss nor its code; this one is our
design, after generalised knowledge distillation (arXiv 2306.13649). The teacher is whatever has a next-token
distribution on any prefix: one model, or several whose logits a program combines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import Trainer, TrainingArguments

from moco.config.engine import EngineSettings
from moco.config.training import OnPolicy
from moco.decoding.fusion import WeightedSum
from moco.engines.transformers import load_model
from moco.errors import RequestError
from moco.models.info import ModelInfo
from moco.records.costs import flops
from moco.training.encoding import Encoded, Encoder
from moco.training.examples import Example


@dataclass(frozen=True)
class Teacher:
    """Whose next-token distribution is learnt.

    Attributes:
        models: Resolved models; each reads a prompt in its own chat format.
        program: Combines their logits.
    """

    models: tuple[ModelInfo, ...]
    program: WeightedSum

    def key(self) -> list[Any]:
        """Return what tells this teacher from others, as JSON values."""
        return [[info.fingerprint for info in self.models], self.program.key()]

    def check(self, student: ModelInfo) -> None:
        """Refuse a student of another vocabulary.

        Raises:
            RequestError: Token ids do not mean the same to the student and a model of the teacher.
        """
        for info in self.models:
            if info.tokenizer != student.tokenizer:
                what = f"cannot learn token by token from {info.name}, which has another vocabulary"
                raise RequestError(what, where=f"training of {student.name}", remedy="use another variant or pool")


def divergence(student: torch.Tensor, teacher: torch.Tensor, beta: float) -> torch.Tensor:
    """Return the generalised Jensen-Shannon divergence of next-token distributions, of shape (tokens,).

    With the mixture m = beta * teacher + (1 - beta) * student it is beta * KL(teacher || m) + (1 - beta) * KL(student
    || m). At 0 it is KL(teacher || student) and at 1 KL(student || teacher), the limits of what it is divided by to
    keep a gradient (arXiv 2306.13649).

    Args:
        student: Logits, of shape (tokens, vocabulary).
        teacher: Likewise; may have more columns than the student or fewer, and both count where both have them.
        beta: Between 0 and 1.
    """
    width = min(student.shape[-1], teacher.shape[-1])
    ours, theirs = (each[:, :width].log_softmax(-1) for each in (student, teacher))
    if beta == 0:
        return _kl(theirs, ours)
    if beta == 1:
        return _kl(ours, theirs)
    between = torch.logsumexp(torch.stack([theirs + log(beta), ours + log(1 - beta)]), dim=0)
    return beta * _kl(theirs, between) + (1 - beta) * _kl(ours, between)


def _kl(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (first.exp() * (first - second)).sum(-1)


def reply_logits(model: Any, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the logits from which each token of given replies would be drawn, row after row: (tokens, vocabulary).

    Prompts and what fills up shorter rows have no part in it.

    Args:
        model: A causal language model.
        prompts: Token ids of each row.
        replies: Token ids that follow them, at least one each.
    """
    device = next(model.parameters()).device
    width = max(len(prompt) + len(reply) for prompt, reply in zip(prompts, replies, strict=True))
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros(len(prompts), width, dtype=torch.long)
    for row, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
        ids[row, : len(prompt) + len(reply)] = torch.tensor([*prompt, *reply])
        mask[row, : len(prompt) + len(reply)] = 1
    logits = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits
    return torch.cat(
        [
            logits[row, len(prompt) - 1 : len(prompt) + len(reply) - 1].float()
            for row, (prompt, reply) in enumerate(zip(prompts, replies, strict=True))
        ]
    )


class LoadedTeacher:
    """A teacher's models in memory, with the prompts as each of them reads them.

    Args:
        teacher: Who teaches; equal models are loaded and read once.
        root: The project folder.
        how: Settings.
        examples: Prompts that are learnt from.
    """

    def __init__(self, teacher: Teacher, root: Path, how: OnPolicy, examples: Sequence[Example]) -> None:
        places, self._program = teacher.program.members([info.fingerprint for info in teacher.models])
        self._infos = [teacher.models[place] for place in places]
        self._root, self._how, self._examples = root, how, examples
        room = how.max_new_tokens or 0
        encoders = [Encoder(info, root, how.max_tokens) for info in self._infos]
        self._prompts = [[encoder.encoded(each, room).prompt for each in examples] for encoder in encoders]

    def check(self) -> None:
        """Refuse prompts that leave no room for a reply.

        Raises:
            RequestError: A model has no room for one.
        """
        for place, example in enumerate(self._examples):
            if not all(prompts[place] for prompts in self._prompts):
                longest = self._how.max_new_tokens
                what = f"a model of the teacher has no room for {example.uid} and a reply of {longest} tokens"
                raise RequestError(what, where="on-policy distillation", remedy="lower max_new_tokens")

    @cached_property
    def _models(self) -> list[Any]:
        settings = EngineSettings(dtype=self._how.dtype)
        return [load_model(info, self._root, settings, torch.device("cpu")) for info in self._infos]

    def logits(self, places: Sequence[int], replies: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
        """Return the logits of the teacher at every token of replies to examples, as `reply_logits` does."""
        with torch.no_grad():
            found = [
                reply_logits(model.to(device), [prompts[place] for place in places], replies)
                for model, prompts in zip(self._models, self._prompts, strict=True)
            ]
        combined: torch.Tensor = self._program.combine(found)
        return combined

    def operations(self, places: Sequence[int], replies: Sequence[Sequence[int]]) -> float:
        """Return the FLOPs of reading replies to examples, by all models."""
        return sum(
            flops("answer", info.parameters, len(prompts[place]) + len(reply)) or 0.0
            for info, prompts in zip(self._infos, self._prompts, strict=True)
            for place, reply in zip(places, replies, strict=True)
        )


class OnPolicyTrainer(Trainer):  # type: ignore[misc]
    """Lets the student write the replies of a step, and pulls it towards the teacher on them.

    All replies of a step are drawn before its first part is learnt, so that the loss is the mean over all of their
    tokens, however the step is divided.
    """

    teacher: LoadedTeacher
    rollouts: Any
    """Gives replies of a model to prompts at a step."""
    prompts: Sequence[Sequence[int]]
    order: Sequence[int]
    batch: int
    beta: float

    _drawn: tuple[int, list[list[int]]] | None = None
    _noted: dict[str, float]

    def compute_loss(self, model: Any, inputs: Any, *_args: Any, **_kwargs: Any) -> torch.Tensor:
        """Return the part of the step's loss that falls to some of its rows."""
        numbers = inputs["number"].tolist()
        step = numbers[0] // self.batch
        replies = self._replies(model, step)
        places = [self.order[number] for number in numbers]
        mine = [replies[number - step * self.batch] for number in numbers]
        student = reply_logits(model, [self.prompts[place] for place in places], mine)
        teacher = self.teacher.logits(places, mine, student.device)
        self._noted["teacher_flops"] += self.teacher.operations(places, mine)
        self.state.num_input_tokens_seen += sum(
            len(self.prompts[place]) + len(reply) for place, reply in zip(places, mine, strict=True)
        )
        return divergence(student, teacher, self.beta).sum() / sum(map(len, replies))

    def _replies(self, model: Any, step: int) -> list[list[int]]:
        if self._drawn is None or self._drawn[0] != step:
            prompts = [self.prompts[place] for place in self.order[step * self.batch : (step + 1) * self.batch]]
            own = self.accelerator.unwrap_model(model)
            own.eval()
            drawn = self.rollouts(own, prompts, step)
            own.train()
            self._drawn = step, drawn
            self._noted = {"completions/mean_length": sum(map(len, drawn)) / self.batch, "teacher_flops": 0.0}
        return self._drawn[1]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log what was noted of the step beside its loss."""
        super().log({**logs, **(self._noted if "loss" in logs else {})}, start_time)


def on_policy_trainer(
    trainer_class: type[OnPolicyTrainer],
    network: Any,
    root: Path,
    encoded: Sequence[Encoded],
    order: Sequence[int],
    how: OnPolicy,
    common: dict[str, Any],
    rollouts: Any,
    teacher: Teacher,
) -> OnPolicyTrainer:
    """Return a trainer of a student.

    Args:
        trainer_class: With the order in which examples are read.
        network: The student.
        root: The project folder.
        encoded: Prompts.
        order: Places of the examples of all steps.
        how: Settings.
        common: What all trainers are told.
        rollouts: Gives replies of the student to prompts at a step.
        teacher: Who teaches.

    Raises:
        RequestError: The teacher's models have no room for a prompt.
    """
    loaded = LoadedTeacher(teacher, root, how, [each.example for each in encoded])
    loaded.check()
    data = Dataset.from_list([{"number": number} for number in range(len(order))])
    arguments = TrainingArguments(**common, remove_unused_columns=False)
    trainer = trainer_class(network, arguments, _numbers, data)
    trainer.loss_is_scaled_for_ga = True
    trainer.teacher, trainer.rollouts = loaded, rollouts
    trainer.prompts, trainer.order = [each.prompt for each in encoded], order
    trainer.batch, trainer.beta = how.batch, how.beta
    return trainer


def _numbers(rows: Sequence[dict[str, int]]) -> dict[str, torch.Tensor]:
    return {"number": torch.tensor([row["number"] for row in rows])}
