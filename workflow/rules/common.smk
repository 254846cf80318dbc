from moco.workflow.forks import fork_jobs
from moco.workflow.plan import WILDCARDS
from moco.workflow.start import name_report, start

SPLITS = ("train", "dev", "distill", "test")
# What rules ask: PLAN.{rule}.{name} is a function of the wildcards (moco/workflow/plan.py).
PLAN = start(config, workflow)


# Made models have a -- in their names; those that stay have a rule of their own, merge_member.
MADE_BY_FITS = rf"(?!({PLAN.kept_models})$)[A-Za-z0-9_-]+--[A-Za-z0-9_-]+"


def attempt(wildcards, attempt):
    return attempt


wildcard_constraints:
    **WILDCARDS,
    table="|".join(PLAN.tables),
    figure="|".join(PLAN.figures),
