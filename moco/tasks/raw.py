"""What a source of items delivers, before splits are cut and prompts are built."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RawItem:
    """One item of a source; fields as in `moco.tasks.item`, `row` is its position in the source's split."""

    row: int
    question: str
    gold: Any
    gold_kind: str
    options: tuple[str, ...] | None = None
    src_id: str = ""
    domain: str = ""
    group: str | None = None
    valid: bool = True
    meta: dict[str, Any] = field(default_factory=dict)
