"""Rules as data: what the rule files cannot know, and the words they are named and closed with."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moco import paths
from moco.methods.base import Needs

NEVER = "(?!)"
"""A wildcard pattern that matches nothing."""

Wildcards = Any
Inputs = Callable[[Wildcards], dict[str, list[str]]]


def alternatives(names: Iterable[object]) -> str:
    """Return a wildcard pattern that matches exactly these names."""
    return "|".join(re.escape(str(name)) for name in dict.fromkeys(names)) or NEVER


def results(path: str) -> str:
    """Return a path below the results folder, as rules write it."""
    return f"<results>/{path}"


@dataclass(frozen=True)
class Rule:
    """One rule: what the rule files cannot know.

    Attributes:
        name: Of the rule; GPU twins end in `_gpu<n>`.
        inputs: Inputs by name, as a function of the wildcards.
        outputs: Output paths.
        wildcards: Patterns that close the wildcards.
        spec: The job's slice of the configuration as canonical JSON, as a function of the wildcards.
        gpus: GPUs of every job of the rule.
        words: Values for the command line, or functions of the wildcards that give them.
        folders: Output folders.
        local: Its jobs take moments and run where Snakemake runs.
    """

    name: str
    inputs: Inputs
    outputs: list[str]
    wildcards: Mapping[str, str]
    spec: Callable[[Wildcards], str]
    gpus: int
    words: Mapping[str, Any]
    folders: Sequence[str] = ()
    local: bool = False

    @property
    def job(self) -> str:
        """What tells the rule's jobs apart, as names of their logs do."""
        return ".".join(f"{{{name}}}" if name in ("model", "method") else f"{name}{{{name}}}" for name in self.wildcards)


@dataclass(frozen=True)
class Group:
    """Method variants of one pool and batch whose jobs have the same shape, and so share a rule.

    Attributes:
        pool: Pool.
        batch: Batch.
        needs: Needs of the first variant; the others differ in nothing that shapes a rule.
        gpus: GPUs of every job.
        variants: Method variants.
    """

    pool: str
    batch: str
    needs: Needs
    gpus: int
    variants: list[str]

    def rule_name(self, stage: str) -> str:
        """Return the name of the rule of a stage."""
        parts = [stage, self.pool, self.batch, *self.needs.models]
        if stage == "answer" and self.needs.fit is None:
            parts.append("unfitted")
        return word("_".join(parts)) + twin(self.gpus)


@dataclass(frozen=True)
class Derived:
    """A model that a fit makes."""

    pool: str
    task: str
    variant: str
    seed: int
    name: str


def block_of(sample: int) -> tuple[int, int]:
    """Return first and last sample of the block that a sample is made in."""
    for first, last in paths.BLOCKS:
        if first <= sample <= last:
            return first, last
    raise ValueError(f"sample {sample} is beyond the last block")


def word(slug: str) -> str:
    """Return a slug as part of a rule name, which has no dashes."""
    return slug.replace("-", "_")


def twin(gpus: int) -> str:
    """Return how a rule's name ends by its number of GPUs."""
    return f"_gpu{gpus}" if gpus else ""
