"""The plan: every rule of the workflow as data. The rule files only loop over it.

Nothing here imports torch, pandas or pyarrow: Snakemake reads the plan again in every job.
"""

from pathlib import Path

from moco.workflow.rule import Rule
from moco.workflow.score_stage import ScoreStage
from moco.workflow.slugs import claim_slugs


class Plan(ScoreStage):
    """All rules of a study; each stage builds on the one before."""

    tables = ("moco_main", "moco_cost", "moco_paid_perf", "moco_jobs_perf", "moco_truncated", "data_quality")
    figures = ("moco_win_rate", "moco_cost_frontier")

    bundle: Path | None = None
    """In a replay, the bundle that all files come from."""

    @property
    def planned_tables(self) -> tuple[str, ...]:
        """Names of the tables of this study; only one with several rule sets compares them."""
        return self.tables + (("scorer_difference",) if self.further_scores else ())

    def rules(self) -> list[Rule]:
        """Return all rules whose names and outputs depend on the study, from plain responses to scores."""
        stages = (
            self.generate_rules,
            self.fitted_generate_rules,
            self.logits_rules,
            self.fit_rules,
            self.answer_rules,
            self.score_plain_rules,
            self.score_answers_rules,
        )
        return [rule for rules in stages for rule in rules()]

    def build(self) -> None:
        """Work out all rules, so that a mistake appears as one error and not inside a rule."""
        self.rules()
        for task in self.matrix.tasks:
            self.prepare_inputs(task)

    def claim(self) -> None:
        """Note in the results folder which names this study uses for what."""
        claim_slugs(self.study, Path("results"))
