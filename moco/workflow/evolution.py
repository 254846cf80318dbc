"""The rules of the loop: what a round teaches, and the students that learn it.

Round `t` turns the pool of round `t - 1` into that of round `t`. All else that a round needs (answers, scores) is made
by the rules of methods, for which the pool of a round is a pool like any other.
"""

from typing import Any

from moco import paths
from moco.workflow.rounds import Run
from moco.workflow.stage import Stage, Wildcards, results


class RoundStage(Stage):
    """What the rules of a round have in common."""

    depth = 4

    def run_of(self, wildcards: Wildcards) -> tuple[Run, int]:
        """Return the run and the number of the round, from 1."""
        return self.matrix.run(wildcards.run), int(wildcards.round)

    def models(self, wildcards: Wildcards) -> list[str]:
        """Return the descriptions of the models that learn, those of the round before."""
        run, number = self.run_of(wildcards)
        return self.model_files(run.models(number - 1))


class Mix(RoundStage):
    """What the students of a round learn from."""

    def answers(self, wildcards: Wildcards) -> str:
        """Return the answers of the collaboration to the distill split, in the round before."""
        run, number = self.run_of(wildcards)
        batch = self.matrix.round_batch(run, number - 1).name
        return results(paths.answers(run.pool(number - 1), batch, run.method, run.seed, "distill"))

    def questions(self, wildcards: Wildcards) -> list[str]:
        """Return the questions of the distill split."""
        run, _ = self.run_of(wildcards)
        return [results(paths.questions(run.task, "distill"))]

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return who teaches whom, and the code that mixes."""
        run, number = self.run_of(wildcards)
        return {
            "task": run.task,
            "variant": run.variant,
            "answers": self.answers(wildcards).removeprefix("<results>/"),
            "students": list(run.models(number)),
            "source": self.matrix.source("moco.jobs.mix"),
        }


class Distill(RoundStage):
    """All students of a round."""

    def mixture(self, wildcards: Wildcards) -> str:
        """Return what they learn from."""
        return results(paths.mixture(wildcards.run, wildcards.round))

    def checkpoints(self, wildcards: Wildcards) -> list[str]:
        """Return the checkpoints that they start from."""
        return self.weights(self.running(wildcards))

    def running(self, wildcards: Wildcards) -> list[str]:
        """Return the models that learn, one after another."""
        run, number = self.run_of(wildcards)
        return list(run.models(number - 1))

    def learning(self, wildcards: Wildcards) -> list[str]:
        """Return the same models: they are trained."""
        return self.running(wildcards)

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return how students learn, and the code that trains them."""
        run, number = self.run_of(wildcards)
        return {
            "parents": list(run.models(number - 1)),
            "students": list(run.models(number)),
            "training": run.entry.training.slice(),
            "seed": run.seed,
            "source": self.matrix.source("moco.jobs.distill"),
        }
