"""Going on when memory runs out: with smaller batches, which change no result, until a single request does not fit."""

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from moco.engines.batching import Sized, batches
from moco.errors import WorkError
from moco.store.generations import Keyed

log = logging.getLogger("moco")

_SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")


R = TypeVar("R", bound=Sized)
K = TypeVar("K", bound=Keyed)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on whatever device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def work_in_batches(
    requests: Sequence[R],
    rows: int,
    tokens: int,
    work: Callable[[Sequence[R]], Iterator[K]],
    *,
    who: str,
    split: Callable[[R], Sequence[R]] | None = None,
) -> Iterator[K]:
    """Yield what `work` makes of batches; where memory runs out, of batches of half the size from then on.

    Args:
        requests: In any order; their keys differ.
        rows: Most requests per batch.
        tokens: Most padded tokens per batch.
        work: Makes one result per request, with its key, in any order.
        who: The model, as messages name it.
        split: Divides a request that does not fit alone; the results then have the keys of the parts.

    Raises:
        WorkError: A single request does not fit.
    """
    left = {request.key: request for request in requests}
    while left:
        failed: list[R] = []
        for batch in batches(list(left.values()), rows, tokens):
            try:
                for made in work(batch):
                    left.pop(made.key, None)
                    yield made
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                failed = batch
                break
            for request in batch:
                left.pop(request.key, None)
        if failed:
            # Only here, since the error holds the frames that hold the tensors.
            _free()
            tokens = _smaller(failed, left, split, who)
            log.warning("%s: out of memory with %d requests; goes on with smaller batches", who, len(failed))


def _smaller(failed: Sequence[R], left: dict[str, R], split: Callable[[R], Sequence[R]] | None, who: str) -> int:
    """Return the new limit of padded tokens, having replaced a request that can be divided."""
    width = max(request.width for request in failed)
    if len(failed) > 1:
        return max(1, len(failed) * width // 2)
    (request,) = failed
    parts = split(request) if split else ()
    if len(parts) < 2:
        raise WorkError(
            f"out of memory with a single request of {width} tokens",
            where=who,
            remedy="use a machine or device with more memory, or fewer tokens (max_new_tokens)",
        )
    del left[request.key]
    left.update((part.key, part) for part in parts)
    return max(1, width // 2)


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
