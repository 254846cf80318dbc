"""Which tokens end a reply."""

from typing import Any


def stop_ids(*sources: Any) -> frozenset[int]:
    """Return every token id that ends a reply.

    Args:
        sources: What declares such ids: tokenizer, configuration, generation configuration; None where there is none.
    """
    found: set[int] = set()
    for source in sources:
        ids = getattr(source, "eos_token_id", None)
        found.update(ids if isinstance(ids, (list, tuple)) else [] if ids is None else [ids])
    return frozenset(found)
