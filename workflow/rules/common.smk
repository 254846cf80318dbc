from moco.workflow.plan import WILDCARDS
from moco.workflow.start import start

SPLITS = ("train", "dev", "distill", "test")
PLAN = start(config, workflow)


MADE_BY_FITS = rf"(?!({PLAN.kept_models})$)[A-Za-z0-9_-]+--[A-Za-z0-9_-]+"


def attempt(wildcards, attempt):
    return attempt


wildcard_constraints:
    **WILDCARDS,
    table="|".join(PLAN.tables),
    figure="|".join(PLAN.figures),
