"""How many tokens a model reads and writes together, from what its files say."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moco.records import read_json

ASSUMED = 2048
"""Context of a model whose files state none."""

_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "seq_length",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
    "context_length",
    "max_target_positions",
)
_NESTED = ("text_config", "llm_config", "language_config", "decoder", "thinker_config")
_STRETCHED = ("linear", "dynamic", "yarn")
_ALREADY_STRETCHED = ("gemma3",)
_AFTER_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer")
_NO_LIMIT = 10**9


@dataclass(frozen=True)
class Context:
    """Longest prompt and reply together.

    Attributes:
        tokens: How many tokens.
        source: `config.json`, `tokenizer_config.json`, or `assumed` where neither says it.
    """

    tokens: int
    source: str


def context_of(folder: Path, config: Mapping[str, Any]) -> Context:
    """Return the context of a checkpoint.

    Positions of the text model count, times the factor of a rope scaling that stretches them (linear, dynamic, yarn;
    llama3 and longrope state the stretched number). The length limit of a tokenizer counts only where the
    configuration states none, since it is often too low for models that write.

    Args:
        folder: Of the checkpoint.
        config: What its `config.json` holds.
    """
    stated = _stated(config) or _stated(_completed(config))
    if stated:
        return Context(stated, "config.json")
    limit = _number(_read(folder / "tokenizer_config.json").get("model_max_length"))
    if limit:
        return Context(limit, "tokenizer_config.json")
    return Context(ASSUMED, "assumed")


def _stated(config: Mapping[str, Any]) -> int | None:
    parts = [part for name in _NESTED if isinstance(part := config.get(name), dict)]
    for part in (*parts, config):
        positions = next((number for key in _KEYS if (number := _number(part.get(key)))), None)
        if positions:
            if part.get("model_type") in _AFTER_PADDING:  # whose first position is that after the padding token's id
                return positions - int(part.get("pad_token_id") or 1) - 1
            longer = _number(part.get("model_max_length")) or 0  # Command R states its trained length beside it
            return max(positions, longer, _stretched(part, positions))
        if deeper := _stated(part) if part is not config else None:
            return deeper
    return None


def _stretched(config: Mapping[str, Any], positions: int) -> int:
    rope = config.get("rope_scaling") or config.get("rope_parameters")
    if not isinstance(rope, dict) or rope.get("rope_type", rope.get("type")) not in _STRETCHED:
        return 0
    factor = rope.get("factor")
    if not isinstance(factor, (int, float)) or str(config.get("model_type", "")).startswith(_ALREADY_STRETCHED):
        return 0
    original = _number(rope.get("original_max_position_embeddings")) or positions
    return int(original * factor)


def _completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with the defaults of its class, which files may leave out."""
    from transformers import CONFIG_MAPPING

    kind = config.get("model_type")
    if kind not in CONFIG_MAPPING:
        return {}
    try:
        return dict(CONFIG_MAPPING[kind].from_dict(dict(config)).to_dict())
    except Exception:  # of a class that refuses what the file has; the engine will say more when it loads the model
        return {}


def _read(path: Path) -> dict[str, Any]:
    return dict(read_json(path)) if path.is_file() else {}


def _number(value: Any) -> int | None:
    """Return a length; some files state -1, infinity or 10**30 where there is none."""
    return int(value) if type(value) in (int, float) and 0 < value < _NO_LIMIT else None
