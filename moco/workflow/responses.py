"""The rules that run a model alone: plain responses and cached logits, in jobs of batches and blocks of samples."""

from typing import Any

from moco import paths
from moco.workflow.stage import Stage, Wildcards, results


class Generate(Stage):
    """Plain responses of a model."""

    depth = 6

    def questions(self, wildcards: Wildcards) -> list[str]:
        """Return the questions of the batch."""
        return self.questions_of(self.batch(wildcards), wildcards.split)

    def model(self, wildcards: Wildcards) -> list[str]:
        """Return the model's description."""
        return self.model_files([wildcards.model])

    def checkpoints(self, wildcards: Wildcards) -> list[str]:
        """Return the checkpoints that it is loaded from."""
        return self.weights([wildcards.model])

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the tasks and the decoding settings."""
        batch = self.batch(wildcards)
        return {"tasks": list(batch.tasks), "decoding": self.study.decoding[batch.decoding].slice()}

    def running(self, wildcards: Wildcards) -> list[str]:
        """Return the model."""
        return [wildcards.model]


class ResponseLogits(Generate):
    """Cached logits of plain responses."""

    depth = 7

    def responses(self, wildcards: Wildcards) -> str:
        """Return the plain responses."""
        w = wildcards
        return results(paths.generation(w.model, w.batch, w.split, w.seed, w.block))


class Logits(Generate):
    """Cached logits of options or references."""

    depth = 5

    def references(self, wildcards: Wildcards) -> list[str]:
        """Return the references of the batch, for their logits."""
        return self.references_of(self.batch(wildcards), wildcards.split) if wildcards.kind == "reference" else []

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the tasks."""
        return {"tasks": list(self.batch(wildcards).tasks)}
