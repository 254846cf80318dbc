"""A resolved model: what `model.json` holds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from moco.config.models import CAPABILITIES
from moco.errors import FailedInput
from moco.records import read_json, write_json


@dataclass(frozen=True)
class ModelInfo:
    """One node of the model graph.

    Attributes:
        name: In the study.
        kind: hub, local, adapter, zoo, merge, student or server.
        location: Folder of the weights, relative to the folder of `results` where it lies inside; empty for a
            served model.
        fingerprint: Digest of everything that decides the model's output: weights, configuration, tokenizer; of a
            served model what names and asks it.
        family: Architecture.
        tokenizer: Digest of vocabulary and token ids; empty for a served model.
        parameters: Number of parameters; None where a served model's is not declared.
        context: Longest prompt and reply together, in tokens; 0 where a served model's is not declared.
        prompt_mode: `chat` when the tokenizer has a chat template, else `raw`.
        capabilities: What it offers.
        base: For an adapter: name, location and fingerprint of the base model.
        parents: Names and fingerprints of the models it was made from.
        recipe: How it was made, for a merge.
        engine: Identity of its engine.
        trust_remote_code: Whether its own Python code may run.
        server: Where and how a served model is asked; None for all others.
    """

    name: str
    kind: str
    location: str
    fingerprint: str
    family: str
    tokenizer: str
    parameters: int | None
    context: int
    prompt_mode: str
    capabilities: tuple[str, ...] = tuple(sorted(CAPABILITIES))
    base: Mapping[str, Any] | None = None
    parents: tuple[Mapping[str, str], ...] = ()
    recipe: Mapping[str, Any] | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)
    trust_remote_code: bool = False
    server: Mapping[str, Any] | None = None

    def folder(self, root: Path) -> Path:
        """Return the folder of the weights; `root` is the folder that holds `results`."""
        return root / self.location

    def base_folder(self, root: Path) -> Path:
        """Return the folder of full weights: an adapter's base, or the model's own folder."""
        return self.folder(root) if self.base is None else root / str(self.base["location"])

    def tokenizer_folder(self, root: Path) -> Path:
        """Return the folder of the tokenizer: the model's own, or that of the base where an adapter brings none."""
        own = self.folder(root)
        return own if (own / "tokenizer_config.json").is_file() else self.base_folder(root)

    def write(self, path: Path) -> None:
        """Write `model.json`."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> "ModelInfo":
        """Read `model.json`.

        Raises:
            FailedInput: The model is a recorded failure.
        """
        data = read_json(path)
        if "failed" in data:
            raise FailedInput(data["failed"])
        data["capabilities"] = tuple(data["capabilities"])
        data["parents"] = tuple(data["parents"])
        return cls(**data)


def relative_location(folder: Path, root: Path) -> str:
    """Return how `model.json` names a folder: relative to `root` where it lies inside, else absolute."""
    folder, root = folder.resolve(), root.resolve()
    return str(folder.relative_to(root)) if folder.is_relative_to(root) else str(folder)
