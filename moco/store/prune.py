"""What may leave a store, and removing it."""

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from moco.digest import file_digest
from moco.errors import RequestError
from moco.models.fingerprint import adapter_digest, checkpoint_digest
from moco.records import read_json
from moco.store.artifacts import ArtifactStore
from moco.store.checksums import DAMAGED, sums_of
from moco.store.generations import GenerationStore, Partition, short_fingerprint
from moco.store.survey import bytes_of

_STALE_SECONDS = 3600
_DIGITS = 8


@dataclass(frozen=True)
class Prunable:
    """Something that may be removed, and why."""

    path: Path
    reason: str
    bytes: int


def _prunable(path: Path, reason: str) -> Prunable:
    return Prunable(path, reason, bytes_of(path))


class References:
    """What results folders refer to.

    Args:
        folders: Results folders.

    Raises:
        RequestError: One of them describes no model, so that it is most likely the wrong folder.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._models: set[str] = set()
        self._bases: set[str] = set()
        self._fits: set[str] = set()
        self._keys: pa.Array | None = None
        for folder in folders:
            models = list(folder.glob("models/*/model.json"))
            if not models:
                raise RequestError("describes no model", where=str(folder), remedy="name results folders of studies")
            for path in models:
                content = read_json(path)
                each = [content, content.get("base") or {}]
                self._models.update(part["fingerprint"] for part in each if "fingerprint" in part)
                self._bases.update(part["fingerprint"] for part in each[1:] if part)
            self._fits.update(map(file_digest, folder.glob("fits/**/fit.json")))

    def partition(self, partition: Partition[Any]) -> bool:
        """Return whether a model of the folders, or any reply in them, is in a partition."""
        if partition.folder.name in {short_fingerprint(each) for each in self._models}:
            return True
        # Jointly decoded replies, and those of a search's candidates, belong to no model that is described.
        partition.refresh()
        return partition.holds_any(self._replies())

    def _replies(self) -> pa.Array:
        if self._keys is None:
            keys = pa.array([], pa.string())
            for path in (path for folder in self._folders for path in folder.rglob("*.parquet")):
                file = pq.ParquetFile(path)
                if "key" in file.schema_arrow.names:
                    found = pc.unique(file.read(columns=["key"])["key"]).cast(pa.string())
                    keys = pc.unique(pa.concat_arrays([keys, found]))
            self._keys = keys
        return self._keys

    def artifact(self, folder: Path) -> bool:
        """Return whether a fit or a merge of the folders is this one."""
        fit = folder / "fit.json"
        if fit.is_file():
            return file_digest(fit) in self._fits
        if (folder / "adapter_config.json").is_file():  # a merge of one adapter is that adapter
            return any(adapter_digest(base, folder) in self._models for base in self._bases)
        return checkpoint_digest(folder) in self._models


def unused_by(folders: Sequence[Path], root: Path, artifacts: ArtifactStore) -> Iterator[Prunable]:
    """Yield the models' parts, fits and merges that no results folder refers to; errors as for `References`."""
    references = References(folders)
    for partition in GenerationStore(root).partitions():
        if not references.partition(partition):
            yield _prunable(partition.folder, "no results refer to it")
    for folder in artifacts.folders():
        if not references.artifact(folder):
            yield _prunable(folder, "no results refer to it")


def of_models(models: Sequence[str], root: Path, results: Path) -> Iterator[Prunable]:
    """Yield the parts of models.

    Args:
        models: Names in the results folder, or the first digits of fingerprints.
        root: The store's folder.
        results: The results folder.

    Raises:
        RequestError: One of them is neither.
    """
    partitions = GenerationStore(root).partitions()
    for model in models:
        described = results / "models" / model / "model.json"
        start = short_fingerprint(read_json(described)["fingerprint"]) if described.is_file() else model
        if not described.is_file() and (len(model) < _DIGITS or not set(model) <= set("0123456789abcdef")):
            remedy = f"name a model of {results}, or at least {_DIGITS} digits of a fingerprint"
            raise RequestError("is no known model", where=model, remedy=remedy)
        for partition in partitions:
            if partition.folder.name.startswith(start):
                yield _prunable(partition.folder, f"of {model}")


def leftovers(root: Path, artifacts: ArtifactStore) -> Iterator[Prunable]:
    """Yield what was set aside as damaged, and what killed jobs left."""
    for path in sorted(root.rglob(f"*{DAMAGED}")):
        yield _prunable(path, "damaged")
    for partition in GenerationStore(root).partitions():
        for path in sorted(partition.folder.glob(".*.tmp")):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                yield _prunable(path, "half-written")
    for path in artifacts.leftovers():
        with artifacts.unused(path) as unused:
            if unused:
                yield _prunable(path, "unfinished work")


def remove(found: Iterable[Prunable], artifacts: ArtifactStore) -> Iterator[Prunable]:
    """Remove things and yield each that is gone; an artifact that a job is building stays."""
    built = {*artifacts.folders(), *artifacts.leftovers()}
    for each in found:
        if each.path in built:
            with artifacts.unused(each.path) as unused:
                if unused:
                    _remove(each.path)
        else:
            _remove(each.path)
        if not each.path.exists():
            yield each


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        sums_of(path).unlink(missing_ok=True)
    else:
        path.unlink(missing_ok=True)
    with suppress(OSError):  # others are in it
        path.parent.rmdir()
