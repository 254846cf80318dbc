"""Batches of requests of similar length, so that little is spent on padding."""

from collections.abc import Iterator, Sequence

from moco.engines.base import TokenRequest


def batches(requests: Sequence[TokenRequest], rows: int, tokens: int) -> Iterator[list[TokenRequest]]:
    """Yield batches in descending order of length, so that memory runs out first if it ever does.

    Args:
        requests: In any order.
        rows: Most requests per batch.
        tokens: Most padded tokens per batch, prompt and reply; a single longer request is a batch of its own.
    """
    ordered = sorted(requests, key=lambda request: (-_width(request), request.key))
    batch: list[TokenRequest] = []
    width = 0
    for request in ordered:
        width = max(width, _width(request))
        if batch and (len(batch) >= rows or (len(batch) + 1) * width > tokens):
            yield batch
            batch, width = [], _width(request)
        batch.append(request)
    if batch:
        yield batch


def _width(request: TokenRequest) -> int:
    return len(request.prompt) + request.decoding.max_new_tokens
