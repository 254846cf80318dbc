"""Students: models that learn from what their collaboration said."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moco import paths
from moco.decoding.fusion import WeightedSum
from moco.digest import digest
from moco.evolution.distance import mean_distances
from moco.home import home, store_root, work_root
from moco.methods.state import FAILED
from moco.models.info import ModelInfo
from moco.records import MIXTURE, read_rows, write_json
from moco.store.artifacts import ArtifactStore
from moco.store.checksums import copy_tree
from moco.training.examples import Example
from moco.training.run import train

if TYPE_CHECKING:
    from moco.training.on_policy import Teacher

log = logging.getLogger("moco")


@dataclass
class DistillJob:
    """All students of a round, trained one after another.

    Attributes:
        results: The results folder.
        spec: The job's slice of the study: `parents`, `students`, `lineage`, `seed`, `kind`, `training`, `source`, and
            `teacher` where models teach by their logits.
        mixture: What they learn from.
        output: Folder of the students.
    """

    results: Path
    spec: Mapping[str, Any]
    mixture: Path
    output: Path

    def run(self) -> None:
        """Write one checkpoint per student; a student that was trained before comes from the store.

        Raises:
            FailedInput: A parent is a recorded failure.
        """
        rows = read_rows(self.mixture, MIXTURE)
        store = ArtifactStore(store_root(self.results), work_root(self.results))
        teacher = self._teacher()
        shutil.rmtree(self.output, ignore_errors=True)
        for place, (name, parent) in enumerate(zip(self.spec["students"], self.spec["parents"], strict=True), start=1):
            info = ModelInfo.read(self.results / paths.model_json(parent))
            examples, held_out = (
                [
                    Example(row["prompt"], row["completion"], uid=row["uid"], source=row["source"])
                    for row in rows
                    if row["student"] == name and row["held_out"] is apart
                ]
                for apart in (False, True)
            )
            # Copies of one model learn in orders of their own, so that they stay different.
            seed = [self.spec["seed"], self.spec["parents"][: place - 1].count(parent)]
            how = [self.spec["kind"], self.spec["training"], self._stacks, *([teacher.key()] if teacher else [])]
            key = digest("student", info.fingerprint, examples, held_out, how, seed, self.spec["source"])
            folder, cached = store.make("students", key, self._trainer(info, examples, held_out, seed, teacher))
            copy_tree(folder, self.output / str(place))
            log.info("%s: %s examples on %s%s", name, len(examples), parent, ", from the store" if cached else "")
        self._write_distances()

    def _write_distances(self) -> None:
        """Write how far the students' adapters are from each other, and those that they were trained from."""
        root, before = home(self.results), []
        for parent in self.spec["parents"]:
            info = ModelInfo.read(self.results / paths.model_json(parent))
            before.append(info.folder(root))
        after = [self.output / str(place) for place in range(1, len(self.spec["students"]) + 1)]
        write_json(
            self.output / paths.DISTANCES, {"parents": mean_distances(before), "students": mean_distances(after)}
        )

    @property
    def _stacks(self) -> bool:
        return bool(self.spec["lineage"] == "continue")

    def _teacher(self) -> "Teacher | None":
        if "teacher" not in self.spec:
            return None
        from moco.training.on_policy import Teacher

        about = self.spec["teacher"]
        infos = [ModelInfo.read(self.results / paths.model_json(name)) for name in about["models"]]
        return Teacher(tuple(infos), WeightedSum(tuple(about["weights"])))

    def _trainer(
        self,
        info: ModelInfo,
        examples: Sequence[Example],
        held_out: Sequence[Example],
        seed: Sequence[int],
        teacher: "Teacher | None",
    ) -> Any:
        def build(output: Path, scratch: Path) -> None:
            how, root, kind = self.spec["training"], home(self.results), self.spec["kind"]
            train(
                kind,
                info,
                root,
                examples,
                how,
                seed,
                output,
                scratch,
                stack=self._stacks,
                teacher=teacher,
                held_out=held_out,
            )

        return build

    def write_failed(self, reason: str) -> None:
        """Leave folders that say why there are no students."""
        shutil.rmtree(self.output, ignore_errors=True)
        for place in range(1, len(self.spec["students"]) + 1):
            write_json(self.output / str(place) / FAILED, {"reason": f"distill: {reason}"})
