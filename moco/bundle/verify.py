"""Reading bundles: every problem as a line, and files only where there is none."""

import hashlib
import shutil
import tarfile
import tempfile
from io import BufferedReader
from pathlib import Path

from moco.bundle.archive import check_end, kind_of, name_problem, opened_archive
from moco.bundle.manifest import LARGEST_MANIFEST, MANIFEST, RESULTS, STUDY, Manifest, parse_manifest
from moco.digest import file_digest
from moco.errors import MocoError, RequestError, WorkError


def bundle_problems(path: Path) -> list[str]:
    """Return what is wrong with a bundle, one line each; nothing is written.

    Raises:
        RequestError: The file cannot be read.
    """
    return _check(path)[1]


def checked_manifest(path: Path) -> Manifest:
    """Return the manifest of a bundle, all of whose content was checked.

    Raises:
        RequestError: The file cannot be read.
        WorkError: Something is wrong with it.
    """
    manifest, problems = _check(path)
    if manifest is None or problems:
        more = f" ({len(problems) - 1} more: moco bundle verify {path})" if len(problems) > 1 else ""
        raise WorkError(f"is damaged or no bundle: {problems[0]}", where=str(path), remedy=f"get it again{more}")
    return manifest


def read_head(path: Path) -> tuple[Manifest, bytes]:
    """Return the manifest and the configuration of a bundle, without reading the rest.

    Raises:
        RequestError: The file cannot be read.
        WorkError: One of the two is missing or damaged.
    """
    with opened_archive(path) as archive:
        manifest, problems = _manifest(archive)
        study = archive.next()
        if manifest is not None and (study is None or study.name != STUDY or kind_of(study)):
            problems = [f"{STUDY} is not the second entry"]
        if manifest is None or study is None or problems:
            raise WorkError(f"is no bundle: {problems[0]}", where=str(path), remedy="get it again")
        text = _content(archive, study).read()
    if hashlib.sha256(text).hexdigest() != manifest.entries[STUDY].sha256:
        raise WorkError(f"{STUDY} does not have its checksum", where=str(path), remedy="get it again")
    return manifest, text


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> BufferedReader:
    content = archive.extractfile(member)
    assert isinstance(content, BufferedReader), "only of regular files"
    return content


def _manifest(archive: tarfile.TarFile) -> tuple[Manifest | None, list[str]]:
    first = archive.next()
    if first is None or first.name != MANIFEST or kind_of(first) is not None:
        return None, [f"{MANIFEST} is not the first entry"]
    if first.size > LARGEST_MANIFEST:
        return None, [f"{MANIFEST} is larger than {LARGEST_MANIFEST:,} bytes"]
    return parse_manifest(_content(archive, first).read())


def _check(path: Path) -> tuple[Manifest | None, list[str]]:
    problems: list[str] = []
    manifest = None
    try:
        with opened_archive(path) as archive:
            manifest, problems = _manifest(archive)
            if manifest is None:
                return None, problems
            seen = {MANIFEST}
            while (member := archive.next()) is not None:
                problem = _member_problem(archive, member, manifest, seen)
                seen.add(member.name)
                if problem is not None:
                    problems.append(f"{member.name!r} {problem}")
            check_end(archive)
        problems += [f"{name!r} is missing" for name in manifest.entries if name not in seen]
    except RequestError:
        raise
    except MocoError as error:
        problems.append(error.what)
    return manifest, problems


def _member_problem(
    archive: tarfile.TarFile, member: tarfile.TarInfo, manifest: Manifest, seen: set[str]
) -> str | None:
    if kind := kind_of(member):
        return f"is {kind}"
    if problem := name_problem(member.name):
        return problem
    if member.name in seen:
        return "is there twice"
    entry = manifest.entries.get(member.name)
    if entry is None:
        return f"is not in {MANIFEST}"
    if member.size != entry.size:
        return f"has {member.size:,} bytes instead of {entry.size:,}"
    digest = hashlib.file_digest(_content(archive, member), "sha256")
    return None if digest.hexdigest() == entry.sha256 else "does not have its checksum"


def refuse_other_files(manifest: Manifest, results: Path) -> None:
    """Check that a results folder holds no other file under a name of the bundle.

    Raises:
        RequestError: It does, or a link stands in the way.
    """
    _refuse_others(_targets(manifest, results, results_only=True), results, manifest)


def _targets(manifest: Manifest, folder: Path, *, results_only: bool) -> dict[str, Path]:
    if results_only:
        return {f"{RESULTS}{name}": folder / name for name in manifest.results}
    return {name: folder / name for name in (*manifest.entries, MANIFEST)}


def _refuse_others(targets: dict[str, Path], top: Path, manifest: Manifest) -> None:
    different = []
    for name, path in targets.items():
        for place in (path, *path.parents):
            if place == top:
                break
            if place.is_symlink():
                raise RequestError("is a link", where=str(place), remedy="remove it, or name another folder")
        if path.exists() and not _is_same(path, name, manifest):
            different.append(path)
    if different:
        more = f", like {len(different) - 1} further files" if len(different) > 1 else ""
        raise RequestError(
            f"differs from the file in the bundle{more}", where=str(different[0]), remedy="use an empty folder"
        )


def _is_same(path: Path, name: str, manifest: Manifest) -> bool:
    if not path.is_file():
        return False
    if name == MANIFEST:
        return path.read_bytes() == manifest.as_json().encode()
    entry = manifest.entries[name]
    return path.stat().st_size == entry.size and file_digest(path) == entry.sha256


def extract(path: Path, folder: Path, *, results_only: bool = False) -> int:
    """Unpack a bundle; nothing is written unless all of it is in order and no other file stands in the way.

    Args:
        path: The bundle.
        folder: Destination; it is made where it is missing.
        results_only: The destination is a results folder and gets nothing else.

    Returns:
        Number of files that were written; equal ones stay as they are.

    Raises:
        RequestError: The bundle cannot be read, or the folder holds other files under the same names.
        WorkError: The bundle is damaged.
    """
    manifest = checked_manifest(path)
    targets = _targets(manifest, folder, results_only=results_only)
    _refuse_others(targets, folder, manifest)
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder))
    try:
        written = _unpack(path, targets, staging, manifest)
        for name in written:
            targets[name].parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(targets[name])
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return len(written)


def _unpack(path: Path, targets: dict[str, Path], staging: Path, manifest: Manifest) -> list[str]:
    written = []
    with opened_archive(path) as archive:
        for member in archive:
            if member.name not in targets or targets[member.name].exists():
                continue
            archive.extract(member, staging, set_attrs=False, filter="data")  # its time is none
            entry = manifest.entries.get(member.name)
            if entry is not None and file_digest(staging / member.name) != entry.sha256:
                raise WorkError("changed while it was unpacked", where=str(path), remedy="try again")
            written.append(member.name)
    return written
