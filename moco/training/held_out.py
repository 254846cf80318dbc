"""The loss on examples that are not learnt, before and after a training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoTokenizer

from moco.config.training import OnPolicy, Training
from moco.models.info import ModelInfo
from moco.training.encoding import Encoded
from moco.training.on_policy import LoadedTeacher, Teacher, divergence, reply_logits
from moco.training.trainers import rollouts_of

_NO_STEP = -1  # replies of steps have other seeds


class Loss(NamedTuple):
    """A loss per token of the replies, in nats, and what it took to find it.

    Attributes:
        value: The loss.
        tokens: That the model read, or wrote itself.
        teacher_flops: Of reading by a teacher.
    """

    value: float
    tokens: int
    teacher_flops: float = 0.0


class HeldOut:
    """Examples that a model does not learn, and the loss of its kind of training on them.

    In supervised training it is the negative log-likelihood of their replies; on policy, the divergence to the teacher
    on replies to their prompts that the model draws, by the same seeds before and after.

    Args:
        examples: Not empty.
        info: The model.
        root: The project folder.
        how: Settings.
        seed: Of replies.
        teacher: Of `on_policy`.
    """

    def __init__(
        self,
        examples: Sequence[Encoded],
        info: ModelInfo,
        root: Path,
        how: Training,
        seed: int,
        teacher: Teacher | None,
    ) -> None:
        self._examples, self._info, self._root, self._how = examples, info, root, how
        self._seed, self._teacher = seed, teacher

    def loss(self, network: Any) -> Loss:
        """Return the loss, one example after another, so that neither batches nor padding have a part in it.

        Args:
            network: The model, on the CPU; it is left there, ready to learn.
        """
        if not torch.cuda.is_available():
            torch.set_num_threads(1)
        network.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        with torch.no_grad():
            found = self._on_policy(network) if isinstance(self._how, OnPolicy) else self._of_replies(network)
        network.to("cpu").train()
        return found

    def _of_replies(self, network: Any) -> Loss:
        total, written, read = 0.0, 0, 0
        for each in self._examples:
            logits = reply_logits(network, [each.prompt], [each.reply])
            wanted = torch.tensor(each.reply, device=logits.device)
            total += float(torch.nn.functional.cross_entropy(logits, wanted, reduction="sum"))
            written += len(each.reply)
            read += len(each.prompt) + len(each.reply)
        return Loss(total / written, read)

    def _on_policy(self, network: Any) -> Loss:
        how, teacher = self._how, self._teacher
        assert isinstance(how, OnPolicy)
        assert teacher is not None
        tokenizer = AutoTokenizer.from_pretrained(
            self._info.tokenizer_folder(self._root), trust_remote_code=self._info.trust_remote_code
        )
        prompts = [each.prompt for each in self._examples]
        draw = rollouts_of(network, self._info, self._root, how, tokenizer, self._seed)
        replies = draw(network, prompts, _NO_STEP)
        loaded = LoadedTeacher(teacher, self._root, how, [each.example for each in self._examples])
        loaded.check()
        total, read, spent = 0.0, 0, 0.0
        for place, reply in enumerate(replies):
            ours = reply_logits(network, [prompts[place]], [reply])
            theirs = loaded.logits([place], [reply], ours.device)
            total += float(divergence(ours, theirs, how.beta).sum())
            read += len(prompts[place]) + 2 * len(reply)
            spent += loaded.operations([place], [reply])
        return Loss(total / sum(map(len, replies)), read, spent)
