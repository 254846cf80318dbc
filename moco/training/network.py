"""The network that learns: all weights, a new LoRA adapter, or an adapter that goes on; and how it is kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from moco.config.training import Sft, Training
from moco.errors import RequestError
from moco.merging.build import dense_folder
from moco.merging.lora import OPERATION, combine_adapters
from moco.models.adapters import load_adapted, load_trainable
from moco.models.info import ModelInfo, relative_location
from moco.models.recipes import Recipe
from moco.models.vocabulary import has_tokenizer
from moco.records import read_json, write_json

_ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def load_network(info: ModelInfo, root: Path, how: Training, seed: int, scratch: Path, *, stack: bool = False) -> Any:
    """Return the network on the CPU, with what shall learn in float32.

    Args:
        info: The model that learns. Where an adapter is trained, an adapter goes on: nothing of it is lost.
        root: The project folder.
        how: Settings.
        seed: Of a new adapter's first weights.
        scratch: Empty folder.
        stack: Where an adapter is trained on an adapter, merge that one into its base, and train a new one on its layers.

    Raises:
        RequestError: The model cannot be trained so.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    where = f"training of {info.name}"

    def load(folder: Path, dtype: torch.dtype) -> Any:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, trust_remote_code=info.trust_remote_code)

    if how.rank is None:
        return load(dense_folder(info, root, scratch), torch.float32)
    dtype = getattr(torch, how.dtype)
    if info.base is not None and not stack:
        network = load_trainable(info, root, dtype, load)
    else:
        layers: Any = "all-linear" if how.layers == "linear" else _ATTENTION
        if info.base is not None:
            layers = read_json(info.folder(root) / "adapter_config.json")["target_modules"]
        config = LoraConfig(
            r=how.rank,
            lora_alpha=how.alpha or 2 * how.rank,
            lora_dropout=how.dropout if isinstance(how, Sft) else 0.0,
            target_modules=layers,
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                below = load(info.folder(root), dtype) if info.base is None else load_adapted(info, root, dtype, load)
                network = get_peft_model(below, config)
            except ValueError as error:
                what = f"no adapter fits: {str(error).splitlines()[0]}"
                raise RequestError(what, where=where, remedy="set layers: linear") from None
    if hasattr(network.get_output_embeddings(), "base_layer"):
        what = "its adapter has weights for the output layer, which trl does not train"
        raise RequestError(what, where=where, remedy="train all weights, or an adapter without that layer")
    return network


def save_stacked(network: Any, info: ModelInfo, root: Path, output: Path, scratch: Path) -> None:
    """Write an adapter that was trained on another as one adapter on that one's base.

    Its factors are those of both side by side, so that it adds the sum of what they add.

    Args:
        network: As `load_network` loads it with `stack`, trained.
        info: The adapter below.
        root: The project folder.
        output: Folder of the adapter.
        scratch: Empty folder.

    Raises:
        RequestError: The adapter below is more than two factors per weight.
    """
    assert info.base is not None
    save_network(network, replace(info, base=None), root, scratch)
    added = replace(info, name=f"what {info.name} learnt", location=relative_location(scratch, root))
    both, options = (info.fingerprint, added.fingerprint), {"space": "delta", "base": info.base["fingerprint"]}
    recipe = Recipe(OPERATION, both, (1.0, 1.0), options)
    combine_adapters(recipe, [info, added, replace(info, **info.base, base=None)], output, root)


def save_network(network: Any, info: ModelInfo, root: Path, output: Path) -> None:
    """Write a trained network as a checkpoint, or as an adapter, with nothing in it that differs between runs."""
    from transformers import AutoTokenizer

    adapter = hasattr(network, "peft_config")
    network.save_pretrained(output, **({"selected_adapters": ["default"]} if adapter else {}))
    (output / "README.md").unlink(missing_ok=True)
    if adapter:
        path = output / "adapter_config.json"
        config = read_json(path)
        path.unlink()
        layers = config["target_modules"]
        layers = sorted(layers) if isinstance(layers, list) else layers
        write_json(path, {**config, "base_model_name_or_path": None, "target_modules": layers})
    if not adapter or (info.base is not None and has_tokenizer(info.folder(root))):
        folder = info.tokenizer_folder(root)
        AutoTokenizer.from_pretrained(folder, trust_remote_code=info.trust_remote_code).save_pretrained(output)
