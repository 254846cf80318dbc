"""What every rule asks of the plan: paths below results, the job's slice of the study, and resources."""

from collections.abc import Iterable, Mapping
from inspect import isfunction, signature
from pathlib import Path
from typing import Any

from moco import paths
from moco.config.models import ZooModel
from moco.digest import digest
from moco.methods.base import pool_members
from moco.workflow.batches import Batch
from moco.workflow.matrix import Matrix
from moco.workflow.nodes import is_made

Wildcards = Any
"""The wildcards of a job: Snakemake's, or the options of a verb, which have the same names."""

_LEAST_GB = 4
_TRAINED_BYTES = 16  # per parameter: weight, gradient and two averages of AdamW, in float32
_ROOM = 1.5  # copies, caches and activations, as a share of the weights


def results(path: str) -> str:
    """Return a path below the results folder, as rules write it."""
    return f"<results>/{path}"


def memory(gigabytes: float, attempt: int) -> str:
    """Return the memory that a job asks for, from that of its models; it grows with every attempt."""
    return f"{int(_LEAST_GB + _ROOM * gigabytes) * attempt}GB"


class Stage:
    """What a rule knows of the study, as functions of the wildcards of its jobs.

    Functions that a rule names as inputs return paths below `<results>`; `slice` says what decides the result.

    Args:
        matrix: The study, expanded.
    """

    depth = 1
    """Path components of the rule's first output below the results folder; `checkpoints/{model}` has 2."""

    def __init_subclass__(cls) -> None:
        """Write down what functions take: Snakemake asks for it whenever it calls one, a dozen times for every job."""
        super().__init_subclass__()
        for function in filter(isfunction, (value for made in cls.__mro__ for value in vars(made).values())):
            function.__signature__ = signature(function)  # type: ignore[attr-defined]

    def __init__(self, matrix: Matrix) -> None:
        self.matrix, self.study, self.nodes = matrix, matrix.study, matrix.nodes

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what decides the result of a job besides its inputs, as JSON values: settings and hashes of code."""
        raise NotImplementedError

    def digest(self, wildcards: Wildcards) -> str:
        """Return the digest of a job's slice: the parameter by which Snakemake sees that a job must run again."""
        return digest(self.slice(wildcards))[:16]

    def results(self, wildcards: Wildcards, output: Any) -> str:
        """Return the results folder, from where the first output lies: path variables and prefixes move it."""
        return str(Path(str(output[0])).parents[self.depth - 1])

    def running(self, wildcards: Wildcards) -> list[str]:
        """Return the models that a job runs one after another."""
        return []

    def living(self, wildcards: Wildcards) -> list[str]:
        """Return the models that a job keeps in memory together."""
        return []

    def learning(self, wildcards: Wildcards) -> list[str]:
        """Return the models that a job trains one after another."""
        return []

    def gpu(self, wildcards: Wildcards) -> int:
        """Return the GPUs of a job: 0 where GPUs are not used, and where it runs no model."""
        if not self.study.site.use_gpu:
            return 0
        together = sum(self.nodes.gpus(name) for name in set(self.living(wildcards)))
        return max([together, *map(self.nodes.gpus, self.running(wildcards))])

    def gpu_model(self, wildcards: Wildcards) -> str | None:
        """Return the kind of GPU to ask for; None, which asks for none, where a job needs no GPU."""
        return self.study.site.gpu_model if self.gpu(wildcards) else None

    def mem(self, wildcards: Wildcards, attempt: int) -> str:
        """Return the memory of a job: that of its largest model, or of all that live together where that is more.

        It grows with every attempt.
        """
        together = sum(map(self.nodes.gigabytes, set(self.living(wildcards))))
        learning = map(self.trained_gigabytes, self.learning(wildcards))
        return memory(max([together, *map(self.nodes.gigabytes, self.running(wildcards)), *learning]), attempt)

    def trained_gigabytes(self, model: str) -> float:
        """Return the memory that a model takes while all of its weights are trained."""
        return (self.nodes.parameters(model) or 0) * _TRAINED_BYTES / 1e9

    def batch(self, wildcards: Wildcards) -> Batch:
        """Return the batch of a job."""
        return self.matrix.batch(wildcards.batch)

    def model_files(self, models: Iterable[str]) -> list[str]:
        """Return the descriptions of models."""
        return [results(paths.model_json(name)) for name in dict.fromkeys(models)]

    def weights(self, models: Iterable[str]) -> list[str]:
        """Return the folders below results that running these models needs: their weights, and those of their bases."""
        needed: dict[str, None] = {}
        for name in models:
            if name in self.matrix.rounds.students:
                student, base = self.matrix.rounds.students[name], self.nodes.base(name)
                needed.update(dict.fromkeys(self.weights([base] if base else [])))
                needed[results(paths.students(student.run.name, student.round))] = None
                continue
            # A merge of one adapter is that adapter, and runs on its base: any of its parts may be the one.
            parts = self.matrix.ingredients(name) if is_made(name) else [name]
            bases = [base for part in parts if (base := self.nodes.base(part)) is not None]
            bases += parts if is_made(name) and self.matrix.is_trained(name) else []  # an adapter rests on one of them
            needed.update(dict.fromkeys(self.weights(dict.fromkeys(bases))))
            if is_made(name) or isinstance(self.nodes.entry(name), ZooModel):
                needed[results(paths.checkpoint(name))] = None
            elif self.nodes.tuned_from(name) is not None:
                needed[results(paths.tuned(name))] = None
        return list(needed)

    def questions_of(self, batch: Batch, *splits: str) -> list[str]:
        """Return the questions of a batch."""
        return [results(paths.questions(task, split)) for task in batch.tasks for split in splits]

    def references_of(self, batch: Batch, *splits: str) -> list[str]:
        """Return the references of a batch."""
        return [results(paths.references(task, split)) for task in batch.tasks for split in splits]

    def member_samples(self, pool: str, samples: int) -> list[tuple[str, int]]:
        """Return model and stored sample index of `samples` plain responses of every member of a pool."""
        members = pool_members(self.matrix.pool(pool).models)
        return [(member.model, member.sample(index)) for member in members for index in range(samples)]


def in_blocks(samples: Iterable[tuple[str, int]]) -> list[tuple[str, str]]:
    """Return models and blocks that hold these samples, each once."""
    return list(dict.fromkeys((model, paths.block_of(sample)) for model, sample in samples))


def declared(entry: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """Return a declaration without fields that do not matter to a stage."""
    return {name: value for name, value in entry.items() if name not in without}
