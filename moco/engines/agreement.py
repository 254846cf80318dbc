"""Which way of stepping a model agrees with plain transformers, found out once per architecture and configuration.

A model may ignore the cache that it is given, let padding reach its state, or route tokens by their neighbours. So the
job that first loads a model compares each way, the fastest first, with the bare model that reads every prefix alone,
without cache and padding. What was found is kept in `.moco/checks`; models with the same configuration, such as merges
and students, share it.
"""

import json
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from moco.decoding.loop import Steps
from moco.decoding.row_by_row import cached_rows, uncached_rows
from moco.decoding.stepper import Stepper, finite
from moco.digest import digest
from moco.errors import RequestError
from moco.records import read_json, write_json

log = logging.getLogger("moco")

WAYS: dict[str, Callable[..., Steps]] = {
    "batched": Stepper,
    "cached rows": cached_rows,
    "uncached rows": uncached_rows,
}
"""Ways of stepping, from the fastest on; the last is plain transformers itself."""

_LENGTHS = (6, 19, 42, 1)
"""Prompts in one batch, some longer than the windows of small models."""
_STEPS = 4
_GENERATED = 12
"""Tokens that `generate` is followed for, where a model does not run in batches."""
_CLOSE = {torch.float64: 1e-8, torch.float32: 1e-3, torch.bfloat16: 0.25, torch.float16: 0.05}
"""Largest difference of log-probabilities that rounding explains, by type, in batches."""
_CLOSE_ALONE = 1e-4
"""The same in float64 for rows alone: many models do parts of their work in float32. Batches would show it, rows do not
depend on one another."""
_IGNORED = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")


def way_of_stepping(model: Any, device: torch.device, pieces: int, context: int, where: str, root: Path) -> str:
    """Return the fastest way of stepping a model that agrees with plain transformers.

    Args:
        model: A causal language model in inference mode.
        device: Where it is.
        pieces: Size of the tokenizer.
        context: Longest prompt and reply together, in tokens.
        where: Names model and settings in errors.
        root: The project folder, whose `.moco/checks` keeps what was found.

    Raises:
        RequestError: The model does not run as a causal language model here.
        WorkError: Its logits are not finite.
    """
    path = root / ".moco" / "checks" / f"{_key(model, device)}.json"
    if path.is_file():
        return str(read_json(path)["way"])
    prompts = _prompts(min(pieces, model.config.get_text_config().vocab_size), context)
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
    write_json(path, {"way": way, "model": where})
    return way


def _key(model: Any, device: torch.device) -> str:
    import transformers

    config = {name: value for name, value in model.config.to_dict().items() if name not in _IGNORED}
    # As text, since a configuration may hold infinity.
    known = json.dumps(config, default=str, sort_keys=True)
    engine = [str(model.dtype), model.config._attn_implementation, device.type]
    return digest("steps", known, engine, transformers.__version__, torch.__version__)[:32]


def _prompts(vocabulary: int, context: int) -> list[list[int]]:
    """Return prompts of different lengths with `_STEPS` tokens that follow; ids spread over the vocabulary."""
    lengths = [max(1, min(length, context - _GENERATED)) for length in _LENGTHS]
    return [
        [(row * 7919 + place * 104_729 + 1) % vocabulary for place in range(length + _STEPS)]
        for row, length in enumerate(lengths)
    ]


def _plain(model: Any, device: torch.device, prompts: Sequence[Sequence[int]], where: str) -> list[torch.Tensor]:
    """Return the log-probabilities after each prompt and each token that follows it, steps by vocabulary."""
    found = []
    for prompt in prompts:
        before = len(prompt) - _STEPS
        try:
            rows = [_bare(model, device, prompt[: before + step]) for step in range(_STEPS + 1)]
        except Exception as error:
            what = f"cannot be run as a causal language model ({type(error).__name__}: {first_line(error)})"
            raise RequestError(
                what, where=where, remedy="use another model, engine.dtype or engine.attention"
            ) from None
        stacked = torch.cat(rows)
        finite(stacked, where)
        found.append(torch.log_softmax(stacked, dim=-1))
    return found


def _bare(model: Any, device: torch.device, tokens: Sequence[int]) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=torch.tensor([list(tokens)], device=device), use_cache=False).logits[:, -1]
    return logits if logits.dtype == torch.float64 else logits.float()


def _agrees(
    way: str, model: Any, device: torch.device, prompts: Sequence[Sequence[int]], truth: Sequence[torch.Tensor]
) -> bool:
    """Return whether a way of stepping gives what plain transformers gives."""
    close = _CLOSE[model.dtype] if way == "batched" else _close_alone(model)
    start = partial(WAYS[way], model, device)
    # Together, rows leave, move and are doubled on the way.
    plans = (((0, 1, 2, 3), (3, 1, 1)), ((0,), (0,)), ((1,), (1,)))
    try:
        return all(
            _draws_alike(start, rows, later, prompts, truth, close)
            and _scores_alike(start, rows, later, prompts, truth, close)
            for rows, later in plans
        )
    except Exception as error:
        log.debug("%s: %s", way, error)
        return False


def _draws_alike(
    start: Callable[..., Steps],
    rows: Sequence[int],
    later: Sequence[int],
    prompts: Sequence[Sequence[int]],
    truth: Sequence[torch.Tensor],
    close: float,
) -> bool:
    steps = start([prompts[row][:-_STEPS] for row in rows], "")
    for step in range(_STEPS + 1):
        given = torch.log_softmax(steps.logits, dim=-1)
        if not _close(given, torch.stack([truth[row][step] for row in rows]), close):
            return False
        if step < _STEPS:
            kept = torch.tensor([rows.index(row) for row in later]) if step == _STEPS // 2 else None
            rows = rows if kept is None else later
            steps.feed(torch.tensor([prompts[row][step - _STEPS] for row in rows]), kept)
    return True


def _scores_alike(
    start: Callable[..., Steps],
    rows: Sequence[int],
    later: Sequence[int],
    prompts: Sequence[Sequence[int]],
    truth: Sequence[torch.Tensor],
    close: float,
) -> bool:
    # Several texts may follow one row.
    scored_rows = [*rows, *later]
    texts = [prompts[row][-_STEPS:] for row in scored_rows]
    scored = start([prompts[row][:-_STEPS] for row in rows], "").score(texts, [rows.index(row) for row in scored_rows])
    for row, text, values in zip(scored_rows, texts, scored, strict=True):
        picked = [float(truth[row][step][token]) for step, token in enumerate(text)]
        if not _close(torch.tensor(values), torch.tensor(picked), close):
            return False
    return True


def _generates_alike(
    model: Any, device: torch.device, prompts: Sequence[Sequence[int]], truth: Sequence[torch.Tensor]
) -> bool:
    """Return whether `generate` begins as the bare model goes on: some models keep a state of their own."""
    settings = {"do_sample": False, "max_new_tokens": _GENERATED, "pad_token_id": 0, "eos_token_id": None}
    started = [torch.tensor([list(prompt[:-_STEPS])], device=device) for prompt in prompts]
    # One after the other and nothing in between: what a model keeps of one prompt must not reach the next.
    made = [
        model.generate(
            ids, attention_mask=torch.ones_like(ids), **settings, output_logits=True, return_dict_in_generate=True
        )
        for ids in started
    ]
    for ids, each, wanted in zip(started, made, truth, strict=True):
        tokens = each.sequences[0].tolist()
        for step, logits in enumerate(each.logits):
            expected = wanted[0] if step == 0 else _bare(model, device, tokens[: ids.shape[1] + step])[0]
            given = torch.log_softmax(logits[0].to(expected.dtype), dim=-1)
            if not _close(given, torch.log_softmax(expected, dim=-1), _close_alone(model)):
                return False
    return True


def _close_alone(model: Any) -> float:
    return max(_CLOSE[model.dtype], _CLOSE_ALONE)


def _close(given: torch.Tensor, wanted: torch.Tensor, close: float) -> bool:
    if given.shape != wanted.shape:
        return False
    # Log-probabilities of what is all but impossible differ by more, and matter less.
    likely = wanted > -30
    difference = (given - wanted).abs()[likely]
    return bool((difference <= close * wanted.abs()[likely].clamp(min=1)).all())


def first_line(error: Exception) -> str:
    """Return the beginning of what an error says."""
    return (str(error).strip().splitlines() or [""])[0][:200]
