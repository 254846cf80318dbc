"""Models that a fit trains: made once, kept in the store, and asked under the names that the method gives them."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from moco.config.problems import problems_of
from moco.config.runtime import engine_settings
from moco.config.training import KINDS
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
from moco.training.examples import Example, Reward
from moco.training.run import spent, train


class Training:
    """What one fit trains.

    Args:
        job: The fit's job.
        scratch: Its work folder.
    """

    def __init__(self, job: MethodJob, scratch: Path) -> None:
        self._job, self._scratch = job, scratch / "trained"
        self._trained: dict[str, tuple[ModelInfo, str]] = {}
        self._known: set[str] = set()
        self.costs: list[dict[str, Any]] = []

    def model(self, name: str) -> str | None:
        """Return the name under which inference knows a model that was trained; None where none has this name."""
        return self._trained[name][0].name if name in self._trained else None

    def parameters(self) -> dict[str, int | None]:
        """Return the number of parameters of every model that was trained, by the method's names."""
        return {name: info.parameters for name, (info, _) in self._trained.items()}

    def train(
        self,
        kind: str,
        parent: ModelInfo | str,
        examples: Sequence[Example],
        name: str,
        settings: Mapping[str, Any],
        reward: Reward | None = None,
    ) -> Trained:
        """Train a model, or take it from the store.

        Args:
            kind: `sft`, `dpo` or `grpo`.
            parent: A model of the study, or the name of one that this fit trained.
            examples: What it learns.
            name: By which the method asks it.
            settings: Fields of the kind's settings (`moco.config.training`).
            reward: Of replies, for `grpo`.

        Raises:
            RequestError: Kind or settings are unknown, or the parent is none that can be trained.
        """
        if kind not in KINDS:
            remedy = f"train by {', '.join(KINDS)}"
            raise RequestError(f"cannot train by {kind!r}", where=self._job.variant, remedy=remedy)
        info, origin = self._trained[parent] if isinstance(parent, str) else (parent, parent.fingerprint)
        how = self._settings(kind, settings)
        if isinstance(parent, str) and info.base is None and how["rank"] is not None:
            what = f"an adapter on {parent!r}, whose weights this fit trained, would have no base in the study"
            raise RequestError(what, where=self._job.variant, remedy="train adapters from the start, or all weights")
        seed = [self._job.seed, name]
        # Rewards follow from all that decides the fit.
        of_fit = self._scratch.parents[1].name if reward else None
        parts = [info.fingerprint, list(examples), how, seed, self._job.spec["training_source"], of_fit]
        key = digest("trained", kind, *parts)
        root = home(self._job.results)
        store = ArtifactStore(store_root(self._job.results), work_root(self._job.results))

        def build(output: Path, scratch: Path) -> None:
            train(kind, info, root, examples, how, seed, output, scratch, reward)

        made, _ = store.make("students", key, build)
        folder = self._scratch / key[:16]
        shutil.rmtree(folder, ignore_errors=True)
        copy_tree(made, folder)
        # Fits of several tasks may train the same: each forgets its own.
        known_as = f"trained-{digest(key, self._scratch.parents[1].name)[:16]}"
        self._add(name, describe_student(known_as, info, folder, root), origin)
        self._note(name, len(examples), *spent(folder))
        return Trained(folder, origin)

    def _settings(self, kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return dict(KINDS[kind].model_validate(dict(settings)).slice())
        except ValidationError as error:
            first = problems_of(KINDS[kind], error)[0]
            where = f"{self._job.variant}: training.{first.key}"
            raise RequestError(first.what, where=where, remedy=first.remedy) from None

    def _add(self, name: str, info: ModelInfo, origin: str) -> None:
        self._job.inference.add(info, engine_settings(info.name, info.engine))
        self._trained[name] = info, origin
        self._known.add(info.name)

    def _note(self, name: str, examples: int, steps: int, read: int, written: int) -> None:
        """Note what training costs: six operations per parameter and token that it reads, two per token that it writes.

        Repeats count. What it writes it also reads, to learn from it.
        """
        parameters = self._trained[name][0].parameters
        about = {"stage": "train", "scope": self._job.needs.fit_scope, "role": "fitted", "model": name}
        learnt, wrote = flops("train", parameters, read), flops("fit", parameters, written)
        both = None if learnt is None or wrote is None else learnt + wrote
        counts = {"calls": steps, "items": examples, "prompt_tokens": read, "completion_tokens": written, "loads": 1}
        self.costs.append({**about, "parameters": parameters, **counts, "flops": both})

    def close(self) -> None:
        """Forget the models; what the state keeps is among the fit's files by now."""
        for name in sorted(self._known):
            self._job.inference.remove(name)
