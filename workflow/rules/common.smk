from moco.workflow.start import start

PLAN = start(config, workflow)
TABLES = PLAN.planned_tables
FIGURES = PLAN.figures


def attempt(wildcards, attempt):
    return attempt


wildcard_constraints:
    table="|".join(TABLES),
    figure="|".join(FIGURES),
