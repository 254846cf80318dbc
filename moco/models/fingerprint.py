"""Digests of checkpoints: the content of every file that decides what a model says."""

from pathlib import Path

from moco.digest import digest, file_digest
from moco.models.weights import INDEX, weight_files

_SUFFIXES = frozenset({".safetensors", ".json", ".jinja", ".model", ".txt", ".py"})
_IGNORED = frozenset({"zoo.json", "recipe.json", "params.json", "README.md", "training.json"})


def checkpoint_digest(folder: Path) -> str:
    """Return the digest of a checkpoint's weights, configuration, tokenizer and code, by content.

    Copies of the weights in files that transformers does not load count as little as a card does.

    Raises:
        RequestError: The index of the weights is damaged, or names a file that is missing.
    """
    weights = weight_files(folder)
    files = {
        path.name: file_digest(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix in _SUFFIXES and path.name not in _IGNORED and _is_read(path, weights)
    }
    return digest("checkpoint", files)


def adapter_digest(base: str, folder: Path) -> str:
    """Return the fingerprint of an adapter on the model with the fingerprint `base`; errors as for a checkpoint."""
    return digest("adapter", base, checkpoint_digest(folder))


def _is_read(path: Path, weights: list[Path]) -> bool:
    if path.suffix == ".safetensors":
        return path in weights
    if path.name.endswith(".index.json"):
        return path.name == INDEX and len(weights) != 1
    return True
