"""Models that a fit trains: made once, kept in the store, and asked under the names that the method gives them."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from moco.config.problems import problems_of
from moco.config.runtime import engine_settings
from moco.digest import digest
from moco.errors import RequestError
from moco.home import home, store_root, work_root
from moco.jobs.method_job import MethodJob
from moco.models.info import ModelInfo
from moco.models.recipes import Trained
from moco.models.resolve import describe_student
from moco.records.costs import flops
from moco.store.artifacts import ArtifactStore
from moco.store.checksums import copy_tree
from moco.training.sft import Pair, Sft, tokens_read, train


class Training:
    """What one fit trains.

    Args:
        job: The fit's job.
        scratch: Its work folder.
    """

    def __init__(self, job: MethodJob, scratch: Path) -> None:
        self._job, self._scratch = job, scratch / "trained"
        self._trained: dict[str, tuple[ModelInfo, str]] = {}
        self.costs: list[dict[str, Any]] = []

    def model(self, name: str) -> str | None:
        """Return the name under which inference knows a model that was trained; None where none has this name."""
        return self._trained[name][0].name if name in self._trained else None

    def parameters(self) -> dict[str, int | None]:
        """Return the number of parameters of every model that was trained, by the method's names."""
        return {name: info.parameters for name, (info, _) in self._trained.items()}

    def train(
        self, kind: str, parent: ModelInfo | str, pairs: Sequence[Pair], name: str, settings: Mapping[str, Any]
    ) -> Trained:
        """Train a model, or take it from the store.

        Args:
            kind: `sft`.
            parent: A model of the study, or the name of one that this fit trained.
            pairs: What it learns.
            name: By which the method asks it.
            settings: Fields of `moco.training.sft.Sft`.

        Raises:
            RequestError: Kind or settings are unknown, or the parent is none that can be trained.
        """
        if kind != "sft":
            raise RequestError(f"cannot train by {kind!r}", where=self._job.variant, remedy="train by 'sft'")
        info, origin = self._trained[parent] if isinstance(parent, str) else (parent, parent.fingerprint)
        how = self._settings(settings)
        seed = [self._job.seed, name]
        key = digest("trained", info.fingerprint, list(pairs), how, seed, self._job.spec["training_source"])
        root = home(self._job.results)
        store = ArtifactStore(store_root(self._job.results), work_root(self._job.results))
        made, _ = store.make("students", key, lambda output, _scratch: train(info, root, pairs, how, seed, output))
        folder = self._scratch / key[:16]
        shutil.rmtree(folder, ignore_errors=True)
        copy_tree(made, folder)
        self._add(name, describe_student(f"trained-{key[:16]}", info, folder, root), origin)
        self._note(name, len(pairs), tokens_read(folder))
        return Trained(folder, origin)

    def _settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return dict(Sft.model_validate(dict(settings)).slice())
        except ValidationError as error:
            first = problems_of(Sft, error)[0]
            where = f"{self._job.variant}: training.{first.key}"
            raise RequestError(first.what, where=where, remedy=first.remedy) from None

    def _add(self, name: str, info: ModelInfo, origin: str) -> None:
        self._job.inference.add(info, engine_settings(info.name, info.engine))
        self._trained[name] = info, origin

    def _note(self, name: str, pairs: int, tokens: int) -> None:
        """Note what training costs: six operations per parameter and token that it reads, repeats included."""
        parameters = self._trained[name][0].parameters
        about = {"stage": "train", "scope": self._job.needs.fit_scope, "role": "fitted", "model": name}
        counts = {"calls": 1, "items": pairs, "prompt_tokens": tokens, "completion_tokens": 0, "loads": 1}
        self.costs.append({**about, "parameters": parameters, **counts, "flops": flops("train", parameters, tokens)})

    def close(self) -> None:
        """Forget the models; what the state keeps is among the fit's files by now."""
        for info, _ in self._trained.values():
            self._job.inference.remove(info.name)
