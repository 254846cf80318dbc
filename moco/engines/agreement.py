"""Which way of stepping a model agrees with plain transformers, found out once per architecture and configuration.

A model may ignore the cache that it is given, let padding reach its state, or route tokens by their neighbours. So the
job that first loads a model compares each way, the fastest first, with the bare model that reads every prefix alone,
without cache and padding. What was found is kept in `.moco/checks`; models with the same configuration, such as merges
and students, share it.
"""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from moco.decoding.loop import Steps
from moco.decoding.row_by_row import cached_rows, uncached_rows
from moco.decoding.stepper import Stepper
from moco.digest import digest
from moco.errors import RequestError, WorkError

log = logging.getLogger("moco")

WAYS: dict[str, Callable[[Any, torch.device, Sequence[Sequence[int]], str], Steps]] = {
    "batched": Stepper,
    "cached rows": cached_rows,
    "uncached rows": uncached_rows,
}
"""Ways of stepping, from the fastest on; the last is plain transformers itself."""

_LENGTHS = (3, 19, 42, 1)
"""Prompts in one batch, some longer than the windows of small models."""
_STEPS = 4
_CLOSE = {torch.float64: 1e-5, torch.float32: 1e-3, torch.bfloat16: 0.25, torch.float16: 0.05}
"""Largest difference of log-probabilities that rounding explains, by type; in float64 parts may compute in float32."""
_CLOSE_IN_BATCHES = {**_CLOSE, torch.float64: 1e-8}
"""The same between a batch and a row alone: what differs by more is no exact mode."""
_IGNORED = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")


def way_of_stepping(model: Any, device: torch.device, pieces: int, where: str, root: Path) -> str:
    """Return the fastest way of stepping a model that agrees with plain transformers.

    Args:
        model: A causal language model in inference mode.
        device: Where it is.
        pieces: Size of the tokenizer.
        where: Names model and settings in errors.
        root: The project folder, whose `.moco/checks` keeps what was found.

    Raises:
        RequestError: The model does not run as a causal language model here.
        WorkError: Its logits are not finite.
    """
    path = root / ".moco" / "checks" / f"{_key(model, device)}.json"
    if path.is_file():
        return str(json.loads(path.read_text(encoding="utf-8"))["way"])
    prompts = _prompts(min(pieces, model.config.get_text_config().vocab_size))
    with torch.inference_mode():
        truth = _plain(model, device, prompts, where)
        way = next(name for name in WAYS if name == "uncached rows" or _agrees(name, model, device, prompts, truth))
        same = way == "batched" or _generates_alike(model, device, prompts, truth)
    if not same:
        what = "gives other tokens without a cache than with transformers' own `generate`, so neither can be trusted"
        raise RequestError(what, where=where, remedy="use another model, or run it behind an endpoint (kind: server)")
    if way != "batched":
        log.info("%s is read in %s: batches with a cache do not agree with plain transformers", where, way)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{id(model)}.tmp")
    temporary.write_text(json.dumps({"way": way, "model": where}), encoding="utf-8")
    temporary.replace(path)
    return way


def _key(model: Any, device: torch.device) -> str:
    import transformers

    config = {name: value for name, value in model.config.to_dict().items() if name not in _IGNORED}
    known = json.dumps(config, default=str, sort_keys=True)
    engine = [str(model.dtype), model.config._attn_implementation, device.type]
    return digest("steps", known, engine, transformers.__version__, torch.__version__)[:32]


def _prompts(vocabulary: int) -> list[list[int]]:
    """Return prompts of different lengths, then the tokens that follow them; ids spread over the vocabulary."""
    return [
        [(row * 7919 + place * 104_729 + 1) % vocabulary for place in range(length + _STEPS)]
        for row, length in enumerate(_LENGTHS)
    ]


def _plain(model: Any, device: torch.device, prompts: Sequence[Sequence[int]], where: str) -> list[torch.Tensor]:
    """Return the log-probabilities after each prompt and each token that follows it, steps by vocabulary."""
    found = []
    for prompt, length in zip(prompts, _LENGTHS, strict=True):
        try:
            rows = [_bare(model, device, prompt[: length + step]) for step in range(_STEPS + 1)]
        except Exception as error:
            what = f"cannot be run as a causal language model ({type(error).__name__}: {_first_line(error)})"
            raise RequestError(
                what, where=where, remedy="use another model, engine.dtype or engine.attention"
            ) from None
        stacked = torch.cat(rows)
        if not bool(torch.isfinite(stacked.amax(dim=-1)).all()):
            what = "logits are not finite (NaN or overflow), so nothing is stored"
            raise WorkError(what, where=where, remedy="set another engine.dtype or engine.attention for this model")
        found.append(torch.log_softmax(stacked, dim=-1))
    return found


def _bare(model: Any, device: torch.device, tokens: Sequence[int]) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=torch.tensor([list(tokens)], device=device), use_cache=False).logits[:, -1]
    return logits if logits.dtype == torch.float64 else logits.float()


def _agrees(
    way: str, model: Any, device: torch.device, prompts: Sequence[Sequence[int]], truth: Sequence[torch.Tensor]
) -> bool:
    """Return whether a way of stepping gives what plain transformers gives: together and alone, drawn and scored."""
    close = (_CLOSE_IN_BATCHES if way == "batched" else _CLOSE)[model.dtype]
    try:
        for rows in ([*range(len(prompts))], *([row] for row in range(2))):
            chosen = [prompts[row] for row in rows]
            starts = [prompt[: _LENGTHS[row]] for row, prompt in zip(rows, chosen, strict=True)]
            steps = WAYS[way](model, device, starts, "")
            for step in range(_STEPS + 1):
                given = torch.log_softmax(steps.logits, dim=-1)
                wanted = torch.stack([truth[row][step] for row in rows])
                if not _close(given, wanted, close):
                    return False
                if step < _STEPS:
                    steps.feed(torch.tensor([prompts[row][_LENGTHS[row] + step] for row in rows]))
            scored = WAYS[way](model, device, starts, "").score([prompt[-_STEPS:] for prompt in chosen])
            for row, values in zip(rows, scored, strict=True):
                picked = [float(truth[row][step][token]) for step, token in enumerate(prompts[row][-_STEPS:])]
                if any(
                    abs(one - other) > close * max(1.0, abs(other)) for one, other in zip(values, picked, strict=True)
                ):
                    return False
    except Exception as error:
        log.debug("%s: %s", way, error)
        return False
    return True


def _generates_alike(
    model: Any, device: torch.device, prompts: Sequence[Sequence[int]], truth: Sequence[torch.Tensor]
) -> bool:
    """Return whether `generate` begins as the bare model goes on: some models keep a state of their own."""
    for prompt, length, wanted in zip(prompts, _LENGTHS, truth, strict=True):
        ids = torch.tensor([list(prompt[:length])], device=device)
        settings = {"do_sample": False, "max_new_tokens": _STEPS, "pad_token_id": 0, "eos_token_id": None}
        try:
            made = model.generate(ids, **settings, output_logits=True, return_dict_in_generate=True)
        except Exception as error:
            log.debug("generate: %s", error)
            return False
        tokens = made.sequences[0].tolist()
        for step, logits in enumerate(made.logits):
            expected = wanted[0] if step == 0 else _bare(model, device, tokens[: length + step])[0]
            given = torch.log_softmax(logits[0].to(expected.dtype), dim=-1)
            if not _close(given, torch.log_softmax(expected, dim=-1), _CLOSE[model.dtype]):
                return False
    return True


def _close(given: torch.Tensor, wanted: torch.Tensor, close: float) -> bool:
    if given.shape != wanted.shape:
        return False
    # Log-probabilities of what is all but impossible differ by more, and matter less.
    likely = wanted > -30
    difference = (given - wanted).abs()[likely]
    return bool((difference <= close * wanted.abs()[likely].clamp(min=1)).all())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
