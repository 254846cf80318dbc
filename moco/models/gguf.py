"""GGUF files: one file with quantised weights and tokenizer, made a checkpoint in the transformers layout."""

import logging
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from moco.digest import file_digest
from moco.errors import RequestError, WorkError
from moco.locks import locked

log = logging.getLogger("moco")

_MAGIC = b"GGUF"


def is_gguf(path: Path) -> bool:
    """Return whether a path names a GGUF file rather than a folder."""
    return path.suffix.lower() == ".gguf"


def problem_of(path: Path) -> tuple[str, str] | None:
    """Return what is wrong with a GGUF file at first sight, and what to do; None if nothing is."""
    try:
        with path.open("rb") as stream:
            magic = stream.read(len(_MAGIC))
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})", "correct the path"
    if magic != _MAGIC:
        return f"{path} is no GGUF file", "download it again"
    if find_spec("gguf") is None:
        return "a GGUF file is read with the package gguf, which is not installed", "install it: pip install gguf"
    return None


def checkpoint_of(path: Path, cache: Path, where: str) -> Path:
    """Return the folder of a GGUF file's weights in float32, made once for its content.

    Args:
        path: The file.
        cache: Folder that holds `gguf/{digest}-{name}/`.
        where: The model, as errors name it.

    Raises:
        MocoError: It is missing, damaged, of an architecture that transformers does not read, or the disk is full.
    """
    found = problem_of(path)
    if found is not None:
        raise RequestError(found[0], where=where, remedy=found[1])
    folder = cache / "gguf" / f"{file_digest(path)[:16]}-{path.stem}"
    with locked(folder.with_name(f".{folder.name}.lock"), lambda: log.info("%s: another process reads it", path.name)):
        if not folder.is_dir():
            convert(path, folder, where)
    return folder


def convert(path: Path, folder: Path, where: str) -> None:
    """Write a checkpoint with a GGUF file's weights in float32, its tokenizer and its chat template; whole or not at all.

    Raises:
        RequestError: transformers cannot read it.
        WorkError: The disk is full.
    """
    made = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        _write(path, made, where)
        made.rename(folder)
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        raise WorkError(what, where=str(folder), remedy="free space, or name another folder in MOCO_CACHE") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write(path: Path, made: Path, where: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    log.info("%s: reading its weights into float32", path.name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    except Exception as error:  # each architecture and each kind of damage has errors of its own
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        remedy = "convert it to safetensors with the tools of its authors"
        raise RequestError(f"transformers cannot read {path.name} ({reason})", where=where, remedy=remedy) from None
    # The weights are plain numbers now, and loaders must not look for the file.
    model.hf_quantizer = None
    vars(model.config).pop("quantization_config", None)
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)
