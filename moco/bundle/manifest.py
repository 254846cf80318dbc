"""What a bundle says of itself: its first entry, with a checksum for every other one."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from moco.bundle.archive import LARGEST, name_problem

FORMAT = 1
"""Version of the format; a reader refuses any other."""
MANIFEST, STUDY, RESULTS = "manifest.json", "study.yaml", "results/"
"""Names of the two entries that are no results, and what the others begin with."""
LARGEST_MANIFEST = 64 << 20

SUFFIXES = (".json", ".parquet", ".safetensors")
"""Kinds of result files in a bundle; none can hold code."""


@dataclass(frozen=True)
class Entry:
    """One file of a bundle: SHA-256 as hexadecimal digits, and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        study: Name of the study.
        moco: Version of the package that wrote it.
        commit: Commit of the repository that holds the configuration, marked `-dirty` where files differ from it.
        tasks: For every task whether its items are in the bundle, and why or why not.
        left_out: Files of the study that are not in the bundle, with the reason.
        entries: All other entries.
        format: Version of the format.
    """

    study: str
    moco: str
    commit: str | None
    tasks: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, str]
    entries: Mapping[str, Entry]
    format: int = field(default=FORMAT)

    def as_json(self) -> str:
        """Return the content of `manifest.json`."""
        return json.dumps(asdict(self), sort_keys=True, indent=1, ensure_ascii=False) + "\n"

    @property
    def results(self) -> list[str]:
        """Files below the results folder, relative to it."""
        return [name.removeprefix(RESULTS) for name in self.entries if name.startswith(RESULTS)]


def parse_manifest(data: bytes) -> tuple[Manifest | None, list[str]]:
    """Return what `manifest.json` says, or None, and what is wrong with it."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        return None, [f"{MANIFEST}: is not JSON ({error})"]
    problems = list(_problems(content))
    if problems:
        return None, problems
    entries = {name: Entry(**entry) for name, entry in content["entries"].items()}
    known = {name: content[name] for name in ("study", "moco", "commit", "tasks", "left_out")}
    return Manifest(**known, entries=entries), []


def _problems(content: Any) -> Iterator[str]:
    if not isinstance(content, dict) or "format" not in content:
        yield f"{MANIFEST}: is not the manifest of a bundle"
        return
    if content["format"] != FORMAT:
        yield f"{MANIFEST}: format {content['format']!r} is not {FORMAT}, the one that this version of moco reads"
        return
    kinds: dict[str, tuple[type, ...]] = {
        "study": (str,),
        "moco": (str,),
        "commit": (str, type(None)),
        "tasks": (dict,),
        "left_out": (dict,),
        "entries": (dict,),
    }
    wrong = [name for name, kind in kinds.items() if name not in content or not isinstance(content[name], kind)]
    if wrong:
        yield f"{MANIFEST}: {wrong[0]} is missing or of the wrong kind"
        return
    if "/" in content["study"] or name_problem(content["study"]):
        yield f"{MANIFEST}: study {content['study']!r} is no name"
    yield from _entry_problems(content["entries"])
    if STUDY not in content["entries"]:
        yield f"{MANIFEST}: does not list {STUDY}"


def _entry_problems(entries: Mapping[str, Any]) -> Iterator[str]:
    total = 0
    for name, entry in entries.items():
        problem = name_problem(name)
        if problem is None and name != STUDY and not (name.startswith(RESULTS) and name.endswith(SUFFIXES)):
            problem = "is no kind of file that bundles hold"
        if problem is None and not _is_entry(entry):
            problem = "has no valid checksum and size"
        if problem is not None:
            yield f"{MANIFEST}: {name!r} {problem}"
        else:
            total += entry["size"]
    if total > LARGEST:
        yield f"{MANIFEST}: lists {total:,} bytes, more than the {LARGEST:,} that a bundle may hold"


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and set(entry) == {"sha256", "size"}
        and isinstance(entry["sha256"], str)
        and re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]) is not None
        and type(entry["size"]) is int
        and entry["size"] >= 0
    )
