"""The trainers of trl, given token ids instead of texts, so that a model learns on what it reads at inference."""

import logging
import math
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import AutoTokenizer, PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from moco.config.decoding import Decoding
from moco.config.training import ON_POLICY, Dpo, Grpo, OnPolicy, Training
from moco.decoding.loop import Row, decode_batch
from moco.decoding.stepper import Tally
from moco.engines.agreement import WAYS, way_of_stepping
from moco.engines.stopping import stop_ids
from moco.engines.thoughts import ReplyText, visible_text
from moco.models.info import ModelInfo
from moco.progress import Progress
from moco.seeds import derive_seed, generator
from moco.training.encoding import Encoded
from moco.training.on_policy import OnPolicyTrainer, Teacher, on_policy_trainer

CHECKPOINT_SECONDS = 120.0
"""So often an interrupted training can go on."""

_COMPLETE = "complete"
"""Marks a checkpoint that was written to its end."""

_METRICS = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "gradient_norm",
    "mean_token_accuracy": "token_accuracy",
    "rewards/margins": "margin",
    "rewards/accuracies": "preferred",
    "reward": "reward",
    "reward_std": "reward_spread",
    "frac_reward_zero_std": "groups_without_spread",
    "completions/mean_length": "reply_tokens",
    "completions/clipped_ratio": "cut_replies",
    "kl": "distance",
    "teacher_flops": "teacher_flops",
}
"""What is kept of what trl logs, under names of our own; times and speeds are no results."""

Outcome = tuple[list[tuple[int, str, float]], int, int]
"""Rows of the curve, tokens read, tokens written."""


class _Plain:
    """Reads examples in the order in which they are given, and writes no card, which would ask the hub."""

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        return SequentialSampler(self.train_dataset if dataset is None else dataset)  # type: ignore[attr-defined]

    def create_model_card(self, *_args: Any, **_kwargs: Any) -> None:
        pass


class _Sft(_Plain, SFTTrainer):  # type: ignore[misc]
    pass


class _Dpo(_Plain, DPOTrainer):  # type: ignore[misc]
    def _prepare_dataset(self, dataset: Dataset, *_args: Any) -> Dataset:
        return dataset


class _Grpo(GRPOTrainer):  # type: ignore[misc]
    """Draws replies as the engine does: each has a seed of its own, so that none depends on its neighbours."""

    rollouts: Callable[[Any, Sequence[Sequence[int]], int], list[list[int]]]
    prompts: Sequence[Sequence[int]]

    def create_model_card(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [list(self.prompts[int(place)]) for place in prompts], None, {}

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], *_args: Any, **_kwargs: Any
    ) -> tuple[list[list[int]], None]:
        model = self.accelerator.unwrap_model(self.model)
        model.eval()
        replies = self.rollouts(model, prompt_ids, self.state.global_step)
        model.train()
        return replies, None


class _OnPolicy(_Plain, OnPolicyTrainer):
    pass


class _Checkpoints(TrainerCallback):  # type: ignore[misc]
    """Saves now and then, and ends a training whose loss is no number."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_kwargs: Any) -> None:
        control.should_save = time.monotonic() - self._last >= CHECKPOINT_SECONDS

    def on_save(self, args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        self._last = time.monotonic()
        folder = Path(args.output_dir)
        written = folder / f"checkpoint-{state.global_step}"
        (written / _COMPLETE).touch()
        for other in folder.glob("checkpoint-*"):
            if other != written:
                shutil.rmtree(other)

    def on_log(self, _args: Any, _state: Any, control: Any, logs: Any = None, **_kwargs: Any) -> None:
        control.should_training_stop |= not math.isfinite((logs or {}).get("loss", 0.0))


class _Steps(TrainerCallback):  # type: ignore[misc]
    """Shows how far a training is."""

    def __init__(self, label: str) -> None:
        self._label = label

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        self._progress = Progress(self._label, state.max_steps - state.global_step)

    def on_step_end(self, _args: Any, _state: Any, _control: Any, **_kwargs: Any) -> None:
        self._progress.advance()


def run_trainer(
    kind: str,
    network: Any,
    info: ModelInfo,
    root: Path,
    encoded: Sequence[Encoded],
    how: Training,
    seed: int,
    scratch: Path,
    reward: Any,
    teacher: Teacher | None = None,
) -> Outcome:
    """Train a network in place.

    Args:
        kind: `sft`, `dpo`, `grpo` or `on_policy`.
        network: As `moco.training.network` loads it.
        info: Of the model.
        root: The project folder.
        encoded: What it learns.
        how: Settings of the kind.
        seed: Of order, dropout and replies.
        scratch: Where checkpoints lie; training goes on from the last one that is whole.
        reward: Gives rewards of uids with replies.
        teacher: Of `on_policy`.
    """
    tokenizer = AutoTokenizer.from_pretrained(
        info.tokenizer_folder(root), trust_remote_code=info.trust_remote_code, padding_side="left"
    )
    configs = [network.config.get_text_config(), network.generation_config]
    padding = [config.pad_token_id for config in configs]  # trl sets its own
    with warnings.catch_warnings(), _quiet("trl", "transformers.trainer"), _logits_of_what_is_learnt():
        warnings.simplefilter("ignore")
        order = reading_order(len(encoded), how, seed)
        common = _arguments(how, network, seed, len(order), scratch / "checkpoints")
        if kind == ON_POLICY:
            assert isinstance(how, OnPolicy)
            assert teacher is not None
            rollouts = rollouts_of(network, info, root, how, tokenizer, seed)
            trainer: Any = on_policy_trainer(_OnPolicy, network, root, encoded, order, how, common, rollouts, teacher)
        else:
            make = {"sft": _sft, "dpo": _dpo, "grpo": _grpo}[kind]
            trainer = make(network, info, root, encoded, order, how, common, tokenizer, seed, reward)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(_Checkpoints())
        trainer.add_callback(_Steps(f"{info.name} learns, steps of {kind}"))
        trainer.train(resume_from_checkpoint=_last_checkpoint(scratch / "checkpoints"))
    network.to("cpu")
    for config, token in zip(configs, padding, strict=True):
        config.pad_token_id = token
    history = trainer.state.log_history
    curve = sorted(
        (int(row["step"]), _METRICS[name], float(value))
        for row in history
        for name, value in row.items()
        if name in _METRICS
    )
    written = sum(value * how.batch for _, metric, value in curve if metric == "reply_tokens")
    return curve, int(trainer.state.num_input_tokens_seen), round(written)


def reading_order(examples: int, how: Training, seed: int) -> list[int]:
    """Return the places of the examples of all steps, one after the other: each is read once before any is read again.

    So the order is no matter of epochs, and a training that goes on need only skip what it has read.
    """
    step = how.batch // how.group if isinstance(how, Grpo) else how.batch
    count = math.ceil(how.epochs * examples) if how.steps is None else how.steps * step
    if isinstance(how, Grpo):  # a step has whole groups
        count = math.ceil(count / step) * step
    rng = generator("order", seed)
    order: list[int] = []
    while len(order) < count:
        order += rng.permutation(examples).tolist()
    return order[:count]


def _arguments(how: Training, network: Any, seed: int, reads: int, folder: Path) -> dict[str, Any]:
    """Return what all trainers are told; nothing is left to their defaults that decides a result."""
    part = how.micro_batch or how.batch
    schedule = "constant_with_warmup" if how.schedule == "constant" and how.warmup else how.schedule
    gpu = torch.cuda.is_available()
    if not gpu:
        torch.set_num_threads(1)  # the order of sums decides the last bits
    return {
        "output_dir": str(folder),
        "max_steps": math.ceil(reads / (how.batch // how.group if isinstance(how, Grpo) else how.batch)),
        "num_train_epochs": 1,
        "per_device_train_batch_size": part,
        "gradient_accumulation_steps": how.batch // part,
        "learning_rate": how.learning_rate,
        "lr_scheduler_type": schedule,
        "warmup_steps": how.warmup,
        "weight_decay": how.weight_decay,
        "max_grad_norm": how.max_norm,
        "optim": "adamw_torch",
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "bf16": how.dtype == "bfloat16" and not hasattr(network, "peft_config"),
        "fp16": False,
        "gradient_checkpointing": gpu,  # recomputes what would not fit
        "seed": seed,
        "data_seed": seed,
        "use_cpu": not gpu,
        "dataloader_num_workers": 0,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def _sft(
    network: Any,
    _info: ModelInfo,
    _root: Path,
    encoded: Sequence[Encoded],
    order: Sequence[int],
    _how: Training,
    common: dict[str, Any],
    tokenizer: Any,
    _seed: int,
    _reward: Any,
) -> Any:
    rows = [
        {"input_ids": [*each.prompt, *each.reply], "labels": [*[-100] * len(each.prompt), *each.reply]}
        for each in encoded
    ]
    data = Dataset.from_list(rows).select(order)
    arguments = SFTConfig(
        **common,
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        include_num_input_tokens_seen="non_padding",
    )
    return _Sft(network, _one_device(arguments), train_dataset=data, processing_class=tokenizer)


def _dpo(
    network: Any,
    _info: ModelInfo,
    _root: Path,
    encoded: Sequence[Encoded],
    order: Sequence[int],
    how: Training,
    common: dict[str, Any],
    tokenizer: Any,
    _seed: int,
    _reward: Any,
) -> Any:
    assert isinstance(how, Dpo)
    rows = [
        {"prompt_ids": list(each.prompt), "chosen_ids": list(each.reply), "rejected_ids": list(each.rejected)}
        for each in encoded
    ]
    arguments = DPOConfig(
        **common,
        beta=how.beta,
        loss_type="sigmoid",
        max_length=None,
        # An adapter has a frozen copy of itself beside it; of whole models the reference is computed ahead.
        precompute_ref_log_probs=not hasattr(network, "peft_config"),
        include_num_input_tokens_seen="non_padding",
    )
    data = Dataset.from_list(rows).select(order)
    return _Dpo(network, args=_one_device(arguments), train_dataset=data, processing_class=tokenizer)


def _grpo(
    network: Any,
    info: ModelInfo,
    root: Path,
    encoded: Sequence[Encoded],
    order: Sequence[int],
    how: Training,
    common: dict[str, Any],
    tokenizer: Any,
    seed: int,
    reward: Any,
) -> Any:
    assert isinstance(how, Grpo)
    assert how.max_new_tokens is not None
    arguments = GRPOConfig(
        **common,
        num_generations=how.group,
        max_completion_length=how.max_new_tokens,
        temperature=how.temperature,
        top_p=how.top_p,
        epsilon=how.clip,
        beta=how.beta,
        shuffle_dataset=False,
        loss_type="dapo",  # the mean over all tokens of a step
        scale_rewards="group",
        mask_truncated_completions=False,
        disable_dropout=True,
    )
    reply = ReplyText(tokenizer)

    def rewards(prompts: list[str], completion_ids: list[list[int]], **_kwargs: Any) -> list[float | None]:
        texts = [visible_text(reply.of(tokens))[0] for tokens in completion_ids]
        uids = [encoded[int(place)].example.uid for place in prompts]
        return list(reward(list(zip(uids, texts, strict=True))))

    data = Dataset.from_list([{"prompt": str(place)} for place in order])
    trainer = _Grpo(network, rewards, _one_device(arguments), data, processing_class=tokenizer)
    trainer.prompts = [each.prompt for each in encoded]
    trainer.rollouts = rollouts_of(network, info, root, how, tokenizer, seed)
    return trainer


def rollouts_of(
    network: Any, info: ModelInfo, root: Path, how: Grpo | OnPolicy, tokenizer: Any, seed: int
) -> "_Rollouts":
    """Return what lets a model reply to prompts while it learns: a function of the model, prompts and the step."""
    return _Rollouts(info, root, how, seed, stop_ids(tokenizer, network.config, network.generation_config))


class _Rollouts:
    """Replies of the model that learns, each by a seed that follows from the step and its place."""

    def __init__(self, info: ModelInfo, root: Path, how: Grpo | OnPolicy, seed: int, stop: frozenset[int]) -> None:
        self._info, self._root, self._how, self._seed, self._stop = info, root, how, seed, stop

    def __call__(self, model: Any, prompts: Sequence[Sequence[int]], step: int) -> list[list[int]]:
        how = self._how
        assert how.max_new_tokens is not None
        decoding = Decoding(max_new_tokens=how.max_new_tokens, temperature=how.temperature, top_p=how.top_p)
        rows = [
            Row(str(place), prompt, decoding, derive_seed("rollout", self._seed, step, place))
            for place, prompt in enumerate(prompts)
        ]
        where = f"training of {self._info.name}"
        device = next(model.parameters()).device
        with torch.inference_mode():
            way = way_of_stepping(model, device, max(self._stop) + 1, self._info.context, where, self._root)
        start = WAYS[way]
        found = decode_batch(
            lambda: [start(model, device, prompts, where, Tally())], lambda logits: logits[0], rows, self._stop, 0
        )
        replies = {row.key: list(row.tokens) for row in found}
        return [replies[row.key] for row in rows]


def _one_device(arguments: Any) -> Any:
    """Keep a process that sees several GPUs on the first, where the trainer would copy the model to all."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


def _last_checkpoint(folder: Path) -> str | None:
    whole = [path for path in folder.glob("checkpoint-*") if (path / _COMPLETE).exists()]
    for other in set(folder.glob("checkpoint-*")) - set(whole):
        shutil.rmtree(other)
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None


def _logits_of_what_is_learnt() -> Any:
    """Spare the output layer prompts and padding on processors too; trl does that on GPUs alone.

    At 49,000 pieces they were two fifths of the work of learning short answers.
    """
    return patch("trl.trainer.utils._use_triton", lambda _device: True)


class _quiet:
    """Lets loggers tell of errors alone."""

    def __init__(self, *names: str) -> None:
        self._loggers = [logging.getLogger(name) for name in names]

    def __enter__(self) -> None:
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.ERROR)

    def __exit__(self, *_error: object) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)
