"""Models that a study tunes itself: they learn the right answers of tasks' split `train`."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moco import paths
from moco.digest import digest
from moco.errors import RequestError
from moco.home import home, store_root, work_root
from moco.methods.state import FAILED
from moco.models.info import ModelInfo
from moco.prompts import blocks
from moco.records import write_json
from moco.seeds import generator
from moco.store.artifacts import ArtifactStore
from moco.store.checksums import copy_tree
from moco.tasks.prepare import read_questions, read_references
from moco.training.examples import Example
from moco.training.run import train

log = logging.getLogger("moco")
SPLIT = "train"


@dataclass
class TuneJob:
    """One model.

    Attributes:
        results: The results folder.
        spec: The job's slice of the study: `base`, `tasks`, `items`, `seed`, `training`, `source`.
        model: Its name.
    """

    results: Path
    spec: Mapping[str, Any]
    model: str

    @property
    def output(self) -> Path:
        """Its folder."""
        return self.results / paths.tuned(self.model)

    def run(self) -> None:
        """Tune; a model that was tuned before comes from the store.

        Raises:
            RequestError: There is nothing to learn.
            FailedInput: The base is a recorded failure.
        """
        info = ModelInfo.read(self.results / paths.model_json(self.spec["base"]))
        examples = [example for task in self.spec["tasks"] for example in self._examples(task)]
        if not examples:
            what = "no right answer to learn: no valid item with one answer"
            raise RequestError(what, where=f"models.{self.model}", remedy="name other tasks")
        seed = [self.spec["seed"]]
        key = digest("tuned", info.fingerprint, examples, self.spec["training"], seed, self.spec["source"])
        root = home(self.results)

        def build(output: Path, scratch: Path) -> None:
            train("sft", info, root, examples, self.spec["training"], seed, output, scratch)

        store = ArtifactStore(store_root(self.results), work_root(self.results))
        folder, cached = store.make("students", key, build)
        shutil.rmtree(self.output, ignore_errors=True)
        copy_tree(folder, self.output)
        from_store = ", from the store" if cached else ""
        log.info("%s: %s examples on %s%s", self.model, len(examples), self.spec["base"], from_store)

    def _examples(self, task: str) -> list[Example]:
        """Return the right answers of a task in the form that its prompts ask for; items without one are left out."""
        folder = self.results / paths.task_folder(task)
        references = read_references(folder, SPLIT)
        found = [
            Example(item.prompt, blocks.answered(item.type, text), uid=item.uid, source="reference")
            for item in read_questions(folder, SPLIT)
            if (text := references[item.uid].text()) is not None
        ]
        if self.spec["items"] is None:
            return found
        order = generator(self.spec["seed"], "tuned items", task).permutation(len(found)).tolist()
        return [found[place] for place in sorted(order[: self.spec["items"]])]

    def write_failed(self, reason: str) -> None:
        """Leave a folder that says why there is no model."""
        shutil.rmtree(self.output, ignore_errors=True)
        write_json(self.output / FAILED, {"reason": f"tune: {reason}"})
