"""The plan: what each rule of the workflow asks, as functions of the wildcards of its jobs.

Nothing here imports torch, pandas or pyarrow: Snakemake reads the plan again in every job.
"""

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from moco import paths
from moco.config.study import Study
from moco.tasks.paths import source_files
from moco.workflow.analysis import Collect, Report, Tabulate
from moco.workflow.collaboration import Answer, Fit
from moco.workflow.evolution import Distill, Mix
from moco.workflow.matrix import Matrix
from moco.workflow.models import Merge, Prepare, Resolve, Tune, Zoo
from moco.workflow.responses import Generate, Logits, ResponseLogits
from moco.workflow.scores import Score

WILDCARDS = {
    "task": r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*",
    "model": r"[A-Za-z0-9_]+(-{1,2}[A-Za-z0-9_]+)*",
    "pool": r"[A-Za-z0-9_]+(-{1,2}[A-Za-z0-9_]+)*",
    "batch": r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*",
    "method": r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*",
    "split": "train|dev|distill|test",
    "seed": r"-?[0-9]+",
    "block": r"s[0-9]+(-[0-9]+)?",
    "kind": "options|reference",
    "scorer": r"[a-z0-9.-]+",
    "part": r"[a-z]+",
    "run": r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*",
    "round": r"[1-9][0-9]*",
}
"""Wildcards are closed by their shape; a name that the study does not have fails where its inputs are asked for.

Names that users choose have no `--`, which joins the parts of names of made models and of pools of rounds.
"""


class Plan:
    """A study's rules: one stage for each, as an attribute that rules and verbs use by its name.

    Args:
        study: The study.

    Raises:
        RequestError: The study names something that does not exist.
    """

    bundle: Path | None = None
    """In a replay, the bundle that all files come from."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.matrix = Matrix(study)
        self.prepare, self.zoo = Prepare(self.matrix), Zoo(self.matrix)
        self.tune = Tune(self.matrix)
        self.merge, self.resolve = Merge(self.matrix), Resolve(self.matrix)
        self.generate = Generate(self.matrix)
        self.logits, self.response_logits = Logits(self.matrix), ResponseLogits(self.matrix)
        self.fit, self.answer = Fit(self.matrix), Answer(self.matrix)
        self.score = Score(self.matrix)
        self.mix, self.distill = Mix(self.matrix), Distill(self.matrix)
        self.collect = Collect(self.matrix)
        self.tabulate, self.report = Tabulate(self.matrix), Report(self.matrix)

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the study, each collected in files of its own."""
        return (paths.BENCHMARK, paths.EVOLUTION) if self.study.evolution else (paths.BENCHMARK,)

    @cached_property
    def kept_models(self) -> str:
        """Models made by fits whose checkpoints stay (`Matrix.kept`), as a wildcard pattern."""
        return alternatives(self.matrix.kept)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables of this study."""
        return self.tabulate.tables

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures."""
        return self.tabulate.figures

    @cached_property
    def zoo_models(self) -> str:
        """Models that the workflow trains itself, as a wildcard pattern."""
        from moco.config.models import ZooModel

        return alternatives(name for name in self.matrix.models if isinstance(self.matrix.nodes.entry(name), ZooModel))

    def build(self) -> None:
        """Work out what is compared, so that a mistake appears as one error and not inside a rule."""
        assert self.matrix.batches is not None
        for task in self.matrix.tasks.values():
            source_files(task.entry)


def alternatives(names: Iterable[object]) -> str:
    """Return a wildcard pattern that matches exactly these names, or nothing."""
    return "|".join(re.escape(str(name)) for name in dict.fromkeys(names)) or "(?!)"
