"""The plan: every rule of the workflow as data. The rule files only loop over it.

Nothing here imports torch, pandas or pyarrow: Snakemake reads the plan again in every job.
"""

from pathlib import Path

from moco.workflow.score_stage import ScoreStage
from moco.workflow.slugs import claim_slugs


class Plan(ScoreStage):
    """All rules of a study; each stage builds on the one before."""

    tables = ("moco_main", "moco_cost", "moco_paid_perf", "data_quality")
    figures = ("moco_win_rate", "moco_cost_frontier")

    bundle: Path | None = None
    """In a replay, the bundle that all files come from."""

    @property
    def planned_tables(self) -> tuple[str, ...]:
        """Names of the tables of this study; only one with several rule sets compares them."""
        return self.tables + (("scorer_difference",) if self.further_scores else ())

    def build(self) -> None:
        """Work out all rules, so that a mistake appears as one error and not inside a rule."""
        for rules in (
            self.generate_rules,
            self.fitted_generate_rules,
            self.logits_rules,
            self.fit_rules,
            self.answer_rules,
        ):
            rules()
        for task in self.matrix.tasks:
            self.prepare_inputs(task)

    def claim(self) -> None:
        """Note in the results folder which names this study uses for what."""
        claim_slugs(self.study, Path("results"))
