"""Supervised fine-tuning of a model on prompts with replies, short on purpose: AdamW at a constant rate, seeded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from moco.config.fields import Section, identity
from moco.models.info import ModelInfo
from moco.records import read_json, write_json
from moco.seeds import generator

Pair = tuple[str, str]
"""Prompt and reply."""

NOTE = "training.json"
"""Beside the weights: the settings, the number of pairs, and `tokens`, all tokens that training read, with repeats."""


class Sft(Section):
    """How a model is trained."""

    steps: int = identity("Optimiser steps.", 10, ge=0)
    batch: int = identity("Pairs per step, drawn without replacement.", 8, ge=1)
    learning_rate: float = identity("Learning rate.", 1e-4, ge=0)
    rank: int | None = identity("Rank of a LoRA adapter on all linear layers; all weights when left out.", None, ge=1)


def train(
    info: ModelInfo, root: Path, pairs: Sequence[Pair], settings: Mapping[str, Any], seed: Sequence[Any], output: Path
) -> None:
    """Train a model on replies, prompts masked, and save it as a checkpoint, or as an adapter on it.

    It works in float32; on a CPU with one thread, so that the result is the same on every run.

    Args:
        info: The model that is trained further.
        root: The project folder.
        pairs: What it learns.
        settings: Fields of `Sft`.
        seed: The order of pairs follows from it and from the model, and so do the first weights of an adapter.
        output: Folder of the checkpoint.

    Raises:
        RequestError: There is nothing to learn, or an adapter was to be trained on an adapter.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from moco.engines.render import Renderer
    from moco.errors import RequestError
    from moco.merging.build import dense_folder

    how = Sft.model_validate(settings)
    if not pairs:
        raise RequestError("nothing to learn: no pair of prompt and reply", where=f"training of {info.name}")
    if how.rank is not None and info.base is not None:
        remedy = "train all weights, or train its base"
        raise RequestError(f"{info.name} is an adapter, and adapters on adapters do not load", remedy=remedy)
    torch.set_num_threads(1)  # the order of sums decides the last bits
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    renderer = Renderer(info, root)
    tokenizer = AutoTokenizer.from_pretrained(info.tokenizer_folder(root), trust_remote_code=info.trust_remote_code)
    texts = []
    for prompt, reply in pairs:
        answer = [*renderer.continuation(reply), tokenizer.eos_token_id]
        texts.append((renderer.render(prompt, len(answer)).tokens, answer))
    order = generator("distill", info.fingerprint, *seed)
    with TemporaryDirectory(dir=output.parent) as scratch:
        model: Any = AutoModelForCausalLM.from_pretrained(
            dense_folder(info, root, Path(scratch)), dtype=torch.float32, trust_remote_code=info.trust_remote_code
        )
        if how.rank is not None:
            model = _with_adapter(model, how.rank, int(generator("adapter", info.fingerprint, *seed).integers(2**31)))
        model.to(device).train()
        learning = [weight for weight in model.parameters() if weight.requires_grad]
        optimiser = torch.optim.AdamW(learning, lr=how.learning_rate)
        read = 0
        for _ in range(how.steps):
            drawn = order.choice(len(texts), min(how.batch, len(texts)), replace=False)
            chosen = [texts[place] for place in drawn]
            read += sum(len(prompt) + len(answer) for prompt, answer in chosen)
            optimiser.zero_grad()
            model(**{name: tensor.to(device) for name, tensor in _padded(chosen).items()}).loss.backward()
            optimiser.step()
        model.to("cpu").save_pretrained(output)
    (output / "README.md").unlink(missing_ok=True)
    if how.rank is None:
        tokenizer.save_pretrained(output)
    else:
        _without_chance(output / "adapter_config.json")
    write_json(output / NOTE, {**how.slice(), "pairs": len(pairs), "tokens": read})


def tokens_read(folder: Path) -> int:
    """Return how many tokens training read for a checkpoint that `train` made."""
    return int(read_json(folder / NOTE)["tokens"])


def _with_adapter(model: Any, rank: int, seed: int) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
        return get_peft_model(model, settings)


def _without_chance(path: Path) -> None:
    """Make what peft writes of an adapter the same on every run: it keeps a folder, and layers in the order of a set."""
    config = read_json(path)
    path.unlink()
    write_json(path, {**config, "base_model_name_or_path": None, "target_modules": sorted(config["target_modules"])})


def _padded(chosen: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict[str, Any]:
    """Return prompts with answers as one batch, padded on the right; labels leave prompts and padding out."""
    import torch

    longest = max(len(prompt) + len(answer) for prompt, answer in chosen)
    tokens = torch.zeros(len(chosen), longest, dtype=torch.long)
    labels, mask = torch.full_like(tokens, -100), torch.zeros_like(tokens)
    for row, (prompt, answer) in enumerate(chosen):
        end = len(prompt) + len(answer)
        tokens[row, :end] = torch.tensor([*prompt, *answer])
        labels[row, len(prompt) : end] = torch.tensor(answer)
        mask[row, :end] = 1
    return {"input_ids": tokens, "attention_mask": mask, "labels": labels}
