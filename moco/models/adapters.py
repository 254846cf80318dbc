"""LoRA adapters merged into their base, so that the result computes what PEFT computes with the two side by side.

What keeps the two equal: PEFT itself loads and merges every layer; a layer that shares its weights with another gets
its own before it is changed; embeddings have as many rows as the adapter was trained with; initialisations that change
the base are repeated in the number type of its files, all others are skipped; sums are made in float64 and rounded
once; every tensor of the adapter must have found its place. In float64 both are asked for logits and compared, which is
cheap there because nothing has to be converted for it; in other types, rounding would hide what is small and the code
is the same.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from moco.errors import RequestError
from moco.models.info import ModelInfo
from moco.models.weights import StoredTensor, tensor_headers

_PREFIX = "base_model.model."
_PROBE = 8
"""Tokens of the prompt on which merged and unmerged model are compared."""

_TOLERANCE = 1e-6
"""Largest difference of logits, as a share of the largest logit, that rounding in float64 may leave."""

_CHANGE_THE_BASE = ("pissa", "olora", "loftq")
"""Initialisations after which PEFT trains on a changed base, which it makes again from the base when it loads them."""

_NOT_REPEATABLE = ("pissa_niter", "corda", "lora_ga")
"""Likewise, but from random numbers or data that no file holds."""


Load = Callable[[Path, torch.dtype], Any]
"""Loads a causal language model from a folder in a number type."""

FLOATS = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
"""Number types of tensors that are combined; all others are copied."""


def stored_dtype(folder: Path) -> torch.dtype:
    """Return the number type that holds all numbers of a checkpoint's files."""
    found = {FLOATS.get(tensor.dtype) for tensor in tensor_headers(folder).values()} - {None}
    dtype: torch.dtype | None = None
    for other in found:
        assert other is not None
        dtype = other if dtype is None else torch.promote_types(dtype, other)
    return dtype or torch.float32


def load_adapted(info: ModelInfo, root: Path, dtype: torch.dtype, load: Load) -> Any:
    """Return an adapter's base with the adapter merged into it, in inference mode on the CPU.

    Args:
        info: The adapter.
        root: Folder that holds `results`.
        dtype: Number type of the result.
        load: Loads the base.

    Raises:
        RequestError: The adapter cannot be merged into this base so that the two agree.
    """
    where = f"models.{info.name}"
    try:
        with warnings.catch_warnings():
            # PEFT warns of shared weights, which get a copy here, and of layers that are merged already.
            warnings.simplefilter("ignore")
            return _merged(info.folder(root), info.base_folder(root), dtype, load, where)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        reason = next((line for line in lines if line.startswith("size mismatch")), lines[0])
        raise _refused(f"the adapter cannot be put on its base: {reason[:300].rstrip('.')}", where) from error


def load_trainable(info: ModelInfo, root: Path, dtype: torch.dtype, load: Load) -> Any:
    """Return an adapter beside its base, ready to be trained further; its own weights are float32.

    Args:
        info: The adapter.
        root: Folder that holds `results`.
        dtype: Number type of the base.
        load: Loads the base.

    Raises:
        RequestError: Its training cannot go on.
    """
    from peft import PeftModel

    own, where = info.folder(root), f"models.{info.name}"
    config, changes = _config(own, where)
    if changes:
        what = f"an adapter that began with init_lora_weights: {config.init_lora_weights} is not trained further"
        raise RequestError(what, where=where, remedy="train a new adapter on its base, or all weights")
    model = load(info.base_folder(root), dtype)
    _resize(model, tensor_headers(own), where)
    return PeftModel.from_pretrained(model, own, config=config, torch_device="cpu", is_trainable=True)


def _merged(own: Path, base: Path, dtype: torch.dtype, load: Load, where: str) -> Any:
    from peft import PeftModel
    from peft.utils import load_peft_weights, set_peft_model_state_dict

    files = stored_dtype(base)
    config, changes = _config(own, where)
    model = load(base, torch.promote_types(dtype, files))
    _resize(model, tensor_headers(own), where)
    kept = [(parameter, parameter.dtype) for parameter in model.parameters()] if changes else []
    for parameter, _ in kept:  # their values come from the files, so nothing is lost
        parameter.data = parameter.data.to(torch.float32 if files == torch.float64 else files)
    adapted = PeftModel.from_pretrained(model, own, config=config, torch_device="cpu").eval()
    for parameter, wide in kept:
        parameter.data = parameter.data.to(wide)
    for layer in _layers(adapted):  # adapters that PEFT ties in memory may differ in the file
        for name, parameter in layer.named_parameters():
            if not name.startswith("base_layer"):
                parameter.data = parameter.data.clone()
    # Again, now that nothing is rounded to the type of the base's files, and to see that all of it was taken.
    result = set_peft_model_state_dict(adapted, load_peft_weights(str(own), device="cpu"))
    # PEFT writes a trained copy of embeddings twice, and reads it once.
    lost = sorted(name for name in result.unexpected_keys if not name.endswith(".modules_to_save.weight"))
    lost += sorted(name for name in result.missing_keys if ".lora_" in name)
    if lost:
        raise _refused(f"tensor {lost[0]} is not in both the adapter and the model that it makes", where)
    _give_own_weights(adapted)
    wanted = _logits(adapted.to(torch.float64)) if dtype == torch.float64 else None
    for layer in _layers(adapted):
        layer.to(torch.float64)
        layer.merge(safe_merge=True)
        layer.get_base_layer().to(dtype)
    merged = adapted.merge_and_unload().to(dtype).eval()
    if wanted is not None:
        off = float((_logits(merged) - wanted).abs().max() / wanted.abs().max())
        if not off <= _TOLERANCE:
            what = f"merged into its base the adapter gives other logits than beside it (by {off:.2g} of the largest)"
            raise _refused(what, where)
    _declare_untied(merged)
    return merged


def _refused(what: str, where: str) -> RequestError:
    return RequestError(what, where=where, remedy="merge it with the library that trained it, and name the result")


def _config(own: Path, where: str) -> tuple[Any, bool]:
    """Return an adapter's configuration, and whether its initialisation changes the base."""
    from peft import PeftConfig

    config: Any = PeftConfig.from_pretrained(str(own))
    how = config.init_lora_weights
    start = how.lower() if isinstance(how, str) else ""
    if start.startswith(_NOT_REPEATABLE):
        what = f"was trained on a base that init_lora_weights: {how} had changed in a way that cannot be repeated"
        remedy = "convert it with PEFT (path_initial_model_for_weight_conversion)"
        raise RequestError(what, where=where, remedy=remedy)
    changes = start.startswith(_CHANGE_THE_BASE)
    if not changes:
        config.init_lora_weights = True
    return config, changes


def _resize(model: Any, headers: dict[str, StoredTensor], where: str) -> None:
    """Give the embeddings as many rows as those that the adapter brings or was trained beside."""
    modules = {id(module): name for name, module in model.named_modules()}
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    names = [modules.get(id(layer)) for layer in layers if layer is not None]
    rows: set[int] = set()
    whole: set[str] = set()
    for name in filter(None, names):
        for suffix, place in (("lora_embedding_A", 1), ("lora_B.weight", 0), ("weight", 0), ("base_layer.weight", 0)):
            tensor = headers.get(f"{_PREFIX}{name}.{suffix}")
            if tensor is not None:
                rows.add(tensor.shape[place])
                whole |= {name} if suffix in ("weight", "base_layer.weight") else set()
    if not rows:
        return
    size, before = max(rows), layers[0].weight.shape[0]
    if size == before:
        return
    tied = len(layers) == 2 and layers[1] is not None and layers[1].weight is layers[0].weight
    missing = [name for name in filter(None, names) if name not in whole]
    if size > before and missing and not (tied and whole):
        what = f"the adapter is for {size} tokens, its base has {before}, and the file lacks the further rows"
        raise _refused(f"{what} of {missing[0]}", where)
    model.resize_token_embeddings(size, mean_resizing=False)


def _layers(adapted: Any) -> Iterator[Any]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    yield from [module for module in adapted.modules() if isinstance(module, BaseTunerLayer)]


def _give_own_weights(adapted: Any) -> None:
    """Untie what is about to be changed: with its weights, an output layer would change the embeddings too.

    A layer without a bias whose adapter has one gets one of zeros.
    """
    shared = Counter(id(weight) for module in adapted.modules() for weight in module._parameters.values())
    for layer in _layers(adapted):
        base = layer.get_base_layer()
        for name, weight in base._parameters.items():
            if weight is not None and shared[id(weight)] > 1:
                base._parameters[name] = torch.nn.Parameter(weight.detach().clone(), requires_grad=False)
        if any(getattr(layer, "lora_bias", {}).values()) and getattr(base, "bias", None) is None:
            base.bias = torch.nn.Parameter(base.weight.new_zeros(layer.out_features), requires_grad=False)


def _logits(model: Any) -> torch.Tensor:
    ids = torch.arange(_PROBE) * 7 % model.get_input_embeddings().weight.shape[0]
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=ids[None], use_cache=False).logits
    return logits


def _declare_untied(model: Any) -> None:
    """Say in the configuration where the output layer no longer is the embeddings."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or head.weight is embeddings.weight:
        return
    for config in {id(each): each for each in (model.config, model.config.get_text_config())}.values():
        if getattr(config, "tie_word_embeddings", False):
            config.tie_word_embeddings = False
