"""The networks of the zoo: with random weights, from a parent's checkpoint, or as an adapter on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    DistilBertConfig,
    DistilBertModel,
    GenerationConfig,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from moco.records import read_json
from moco.records.files import write_json
from moco.seeds import derive_seed
from moco.zoo.roster import DTYPE, ZooModel

_RANGE = 0.05


def _decoder(model: ZooModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return what all decoders are configured with."""
    shape = model.shape
    return {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "max_position_embeddings": model.context,
        "tie_word_embeddings": True,
        "initializer_range": _RANGE,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "dtype": "float32",
    }


def _llama(model: ZooModel, tokenizer: PreTrainedTokenizerFast) -> Any:
    heads, width = model.shape.heads, model.shape.hidden
    config = LlamaConfig(**_decoder(model, tokenizer), num_key_value_heads=heads, head_dim=width // heads)
    return LlamaForCausalLM(config)


def _gpt_neox(model: ZooModel, tokenizer: PreTrainedTokenizerFast) -> Any:
    return GPTNeoXForCausalLM(GPTNeoXConfig(**_decoder(model, tokenizer)))


def _distilbert(model: ZooModel, tokenizer: PreTrainedTokenizerFast) -> Any:
    shape = model.shape
    return DistilBertModel(
        DistilBertConfig(
            vocab_size=shape.vocabulary,
            dim=shape.hidden,
            hidden_dim=shape.intermediate,
            n_layers=shape.layers,
            n_heads=shape.heads,
            max_position_embeddings=model.context,
            dropout=0.0,
            attention_dropout=0.0,
            initializer_range=_RANGE,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
        )
    )


_FAMILIES: dict[str, Callable[[ZooModel, PreTrainedTokenizerFast], Any]] = {
    "llama": _llama,
    "gpt_neox": _gpt_neox,
    "distilbert": _distilbert,
}


def create(model: ZooModel, tokenizer: PreTrainedTokenizerFast, parent: Path | None, seed: int) -> Any:
    """Return the network that a training starts from; weights that no parent gives are random, seeded by the name.

    Args:
        model: Of the roster.
        tokenizer: Its tokenizer.
        parent: Folder of the parent's checkpoint, for a model that has one.
        seed: Seed of the zoo.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("zoo weights", model.name, seed))
        if parent is None:
            return _FAMILIES[model.family](model, tokenizer).to(torch.float32)
        if model.role == "reward":
            return _with_score(parent)
        network = AutoModelForCausalLM.from_pretrained(parent, dtype=torch.float32)
        return network if model.adapter is None else _with_adapter(network, model)


def _with_score(parent: Path) -> Any:
    network = AutoModelForSequenceClassification.from_pretrained(parent, num_labels=1, dtype=torch.float32)
    torch.nn.init.normal_(network.score.weight, std=_RANGE)
    return network


def _with_adapter(network: Any, model: ZooModel) -> Any:
    from peft import LoraConfig, get_peft_model

    assert model.adapter is not None
    settings = LoraConfig(
        r=model.adapter.rank,
        lora_alpha=model.adapter.alpha,
        lora_dropout=0.0,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        task_type="CAUSAL_LM",
    )
    return get_peft_model(network, settings)


def inner(network: Any) -> Any:
    """Return the transformers model of a network; an adapter's layers are part of it."""
    return network.get_base_model() if hasattr(network, "get_base_model") else network


def save_network(network: Any, model: ZooModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a network in the transformers or, for an adapter, the PEFT layout, the same bytes for the same weights."""
    if model.role == "chat" and model.adapter is None:
        network.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
        )
    network.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        # The configuration goes on to name float32, the number type that the weights are loaded in by default.
        halves = {name: tensor.to(getattr(torch, DTYPE)) for name, tensor in load_file(path).items()}
        save_file(halves, path, metadata={"format": "pt"})
    if model.adapter is not None:
        path = folder / "adapter_config.json"
        settings = read_json(path)
        # A set in memory, so its order differs between processes; the base is named in the study, not by a path.
        settings["target_modules"] = sorted(settings["target_modules"])
        settings["base_model_name_or_path"] = model.parent
        write_json(path, settings)
