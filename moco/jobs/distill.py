"""Students: models that learn from what their collaboration said."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from moco import paths
from moco.digest import digest
from moco.home import home, store_root, work_root
from moco.methods.state import FAILED
from moco.models.info import ModelInfo
from moco.records import MIXTURE, read_rows, write_json
from moco.seeds import generator
from moco.store.artifacts import ArtifactStore
from moco.store.checksums import copy_tree

log = logging.getLogger("moco")

Pair = tuple[str, str]
"""Prompt and completion."""


@dataclass
class DistillJob:
    """All students of a round, trained one after another.

    Attributes:
        results: The results folder.
        spec: The job's slice of the study: `parents`, `students`, `training`, `seed`, `source`.
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
        shutil.rmtree(self.output, ignore_errors=True)
        for place, (name, parent) in enumerate(zip(self.spec["students"], self.spec["parents"], strict=True), start=1):
            info = ModelInfo.read(self.results / paths.model_json(parent))
            pairs = [(row["prompt"], row["completion"]) for row in rows if row["student"] == name]
            # Copies of one model learn in orders of their own, so that they stay different.
            seed = [self.spec["seed"], self.spec["parents"][: place - 1].count(parent)]
            key = digest("student", info.fingerprint, pairs, self.spec["training"], seed, self.spec["source"])
            folder, cached = store.make("students", key, self._trainer(info, pairs, seed))
            copy_tree(folder, self.output / str(place))
            log.info("%s: %s pairs on %s%s", name, len(pairs), parent, ", from the store" if cached else "")

    def _trainer(self, info: ModelInfo, pairs: Sequence[Pair], seed: Sequence[int]) -> Any:
        def build(output: Path, _scratch: Path) -> None:
            train(info, home(self.results), pairs, self.spec["training"], seed, output)

        return build

    def write_failed(self, reason: str) -> None:
        """Leave folders that say why there are no students."""
        shutil.rmtree(self.output, ignore_errors=True)
        for place in range(1, len(self.spec["students"]) + 1):
            write_json(self.output / str(place) / FAILED, {"reason": f"distill: {reason}"})


def train(
    info: ModelInfo, root: Path, pairs: Sequence[Pair], training: Mapping[str, Any], seed: Sequence[int], output: Path
) -> None:
    """Train all weights of a model on completions, prompts masked, and save it as a checkpoint of its own.

    Args:
        info: The model that is trained further.
        root: The project folder.
        pairs: What it learns.
        training: `steps`, `batch` and `learning_rate`.
        seed: Run seed, and number of the copy of the model; the order of pairs follows from them and from the model.
        output: Folder of the checkpoint.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from moco.engines.render import Renderer
    from moco.merging.build import dense_folder

    torch.set_num_threads(1)  # the order of sums decides the last bits
    renderer = Renderer(info, root)
    tokenizer = AutoTokenizer.from_pretrained(info.tokenizer_folder(root), trust_remote_code=info.trust_remote_code)
    texts = []
    for prompt, completion in pairs:
        answer = [*renderer.continuation(completion), tokenizer.eos_token_id]
        texts.append((renderer.render(prompt, len(answer)).tokens, answer))
    with TemporaryDirectory(dir=output.parent) as scratch:
        dense = dense_folder(info, root, Path(scratch))
        model = AutoModelForCausalLM.from_pretrained(
            dense, dtype=torch.float32, trust_remote_code=info.trust_remote_code
        )
        order = generator("distill", info.fingerprint, *seed)
        optimiser = torch.optim.AdamW(model.parameters(), lr=training["learning_rate"])
        model.train()
        for _ in range(training["steps"]):
            drawn = order.choice(len(texts), min(training["batch"], len(texts)), replace=False)
            chosen = [texts[place] for place in drawn]
            longest = max(len(prompt) + len(answer) for prompt, answer in chosen)
            tokens = torch.zeros(len(chosen), longest, dtype=torch.long)
            labels = torch.full_like(tokens, -100)
            mask = torch.zeros_like(tokens)
            for row, (prompt, answer) in enumerate(chosen):
                end = len(prompt) + len(answer)
                tokens[row, :end] = torch.tensor([*prompt, *answer])
                labels[row, len(prompt) : end] = torch.tensor(answer)
                mask[row, :end] = 1
            optimiser.zero_grad()
            model(input_ids=tokens, attention_mask=mask, labels=labels).loss.backward()
            optimiser.step()
        model.save_pretrained(output)
        tokenizer.save_pretrained(output)
