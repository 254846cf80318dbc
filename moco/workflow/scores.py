"""The rule that scores replies, of single models and of methods alike."""

from typing import Any, NamedTuple

from moco import paths
from moco.errors import RequestError
from moco.scoring import scorer_module
from moco.scoring.catalogue import NEEDS_GPU, RUNS_CODE
from moco.workflow.batches import Batch
from moco.workflow.collaboration import scoring_of, scoring_threads
from moco.workflow.stage import Stage, Wildcards, results


class Replies(NamedTuple):
    """What a file of replies holds, as its path says.

    Attributes:
        kind: `generations` or `answers`.
        system: Model, or pool.
        batch: Batch.
        split: Split.
        seed: Run seed, as in the path.
        last: Block of samples, or method.
    """

    kind: str
    system: str
    batch: str
    split: str
    seed: str
    last: str


def replies_of(path: str) -> Replies:
    """Return what a file of replies holds.

    Args:
        path: `generations/{model}/{batch}/{split}/seed{seed}/{block}` or
            `answers/{pool}/{batch}/{method}/seed{seed}/{split}`.
    """
    parts = path.split("/")
    if len(parts) != 6 or parts[0] not in ("generations", "answers"):
        what = f"{path!r} is no file of replies"
        raise RequestError(what, where="--replies", remedy="name one below generations or answers, without .parquet")
    kind, system, batch, third, seed, last = parts
    split, last = (third, last) if kind == "generations" else (last, third)
    return Replies(kind, system, batch, split, seed.removeprefix("seed"), last)


class Score(Stage):
    """Scores of a file of replies under a rule set, by rule `score` or, where models judge or programs run, by `judge`.

    The wildcard `replies` is the path of the replies without its ending, which says what they are of (`replies_of`).
    """

    depth = 8

    def replies(self, wildcards: Wildcards) -> list[str]:
        """Return the files of replies: one, or as many as hold the replies to an item that are scored together."""
        about, batch = self._about(wildcards)
        if about.kind == "answers" or batch.together == 1:
            return [results(f"{wildcards.replies}.parquet")]
        sets = paths.block_samples(about.last)
        samples = range(sets[0] * batch.together, (sets[-1] + 1) * batch.together)
        blocks = dict.fromkeys(paths.block_of(sample) for sample in samples)
        return [
            results(paths.generation(about.system, about.batch, about.split, about.seed, block)) for block in blocks
        ]

    def questions(self, wildcards: Wildcards) -> list[str]:
        """Return the questions."""
        about, batch = self._about(wildcards)
        return self.questions_of(batch, about.split)

    def references(self, wildcards: Wildcards) -> list[str]:
        """Return the references."""
        about, batch = self._about(wildcards)
        return self.references_of(batch, about.split)

    def models(self, wildcards: Wildcards) -> list[str]:
        """Return the descriptions of the models that judge."""
        return self.model_files(self.running(wildcards))

    def checkpoints(self, wildcards: Wildcards) -> list[str]:
        """Return the checkpoints of the models that judge."""
        return self.weights(self.running(wildcards))

    def running(self, wildcards: Wildcards) -> list[str]:
        """Return the models that judge."""
        _, batch = self._about(wildcards)
        return list(dict.fromkeys(self.matrix.judges(batch, wildcards.scorer).values()))

    def threads(self, wildcards: Wildcards) -> int:
        """Return the processes that score at once."""
        return scoring_threads(self, self._about(wildcards)[1])

    def gpu(self, wildcards: Wildcards) -> int:
        """Return the GPUs of a job: those of the models that judge, and one where kernels are measured."""
        measures = self._about(wildcards)[1].type in NEEDS_GPU and self.study.site.use_gpu
        return max(super().gpu(wildcards), int(measures))

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what decides scores, besides their inputs."""
        _, batch = self._about(wildcards)
        return {
            "scorer": wildcards.scorer,
            "type": batch.type,
            "tasks": list(batch.tasks),
            "source": self.matrix.source(scorer_module(batch.type)),
            **scoring_of(self, batch, wildcards.scorer),
        }

    @property
    def judged(self) -> str:
        """Wildcard pattern of replies that models judge or that are programs: their jobs are no local ones."""
        return _of_batches([name for name, batch in self.matrix.batches.items() if self.is_judged(batch)])

    @property
    def compared(self) -> str:
        """Wildcard pattern of all other replies."""
        return _of_batches([name for name, batch in self.matrix.batches.items() if not self.is_judged(batch)])

    def is_judged(self, batch: Batch) -> bool:
        """Return whether replies to a batch are scored by models or by running them."""
        asks = any(self.matrix.judges(batch, rules) for rules in self.matrix.scorers)
        return asks or batch.type in RUNS_CODE

    def _about(self, wildcards: Wildcards) -> tuple[Replies, Batch]:
        about = replies_of(wildcards.replies)
        return about, self.matrix.batch(about.batch)


def _of_batches(names: list[str]) -> str:
    # Batch names are slugs, so they stand for themselves in a pattern.
    return rf"(generations|answers)/[^/]+/({'|'.join(names)})/[^/]+/[^/]+/[^/]+" if names else "(?!)"
