"""The table of a dry run: jobs by kind, what lies there already, what is made and why."""

import os
from collections.abc import Mapping
from pathlib import Path

from moco.home import STUDY

STAGE_OF = {"judge": "score", "score_answers": "score", "judge_answers": "score", "merge_member": "merge"}
"""Rules that share a stage of the plan with another, which has the same outputs."""
LAST = ("tabulate", "plot", "report")


def dry_run_table(planned: Mapping[str, int], reasons: Mapping[str, str]) -> list[str]:
    """Return the lines of the table.

    Args:
        planned: Jobs that would run, by rule.
        reasons: Why, by rule; rules without a reason that anybody told are left out.
    """
    from moco.cli import VERBS

    kinds = _kinds() if "bundle" not in planned else {}
    rows = [("kind", "in all", "stored", "to make", "what, and why")]
    order = list(dict.fromkeys([*kinds, *sorted(planned)]))
    for kind in order:
        rules = [rule for rule in planned if rule == kind or (STAGE_OF.get(rule) == kind and kind in kinds)]
        made = sum(planned[rule] for rule in rules)
        if kind == "all" or (STAGE_OF.get(kind) in kinds) or (not made and not kinds.get(kind, (0, 0))[0]):
            continue
        total, stored = kinds.get(kind, (made, 0))
        told = "; ".join(dict.fromkeys(reasons[rule] for rule in rules if reasons.get(rule)))
        what = VERBS.get("logits" if kind == "response_logits" else kind, "")
        if made and told:
            what = f"{what}: {told}" if what else told
        rows.append((kind, str(total), str(stored), str(made), what))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}  {row[4]}"
        for row in rows
    ]
    made = sum(count for rule, count in planned.items() if rule != "all")
    return [*lines, f"{made} jobs would run. Kinds are rules; --printshellcmds lists each job with its command."]


def _kinds() -> dict[str, tuple[int, int]]:
    """Return for every kind of job of this process's study how many there are, and of how many files lie there."""
    from moco.config.runtime import current_study
    from moco.workflow.downstream import job_of, planned_jobs
    from moco.workflow.plan import Plan

    study = current_study() if os.environ.get(STUDY) else None
    if study is None:
        return {}
    plan, results = Plan(study), Path("results") / study.study
    jobs = planned_jobs(plan)
    stored = {job_of(path.relative_to(results).as_posix()) for path in results.rglob("*")}
    counts: dict[str, tuple[int, int]] = {}
    for job in jobs:
        total, there = counts.get(job.stage, (0, 0))
        counts[job.stage] = (total + 1, there + (job in stored))
    for kind, names, pattern in (
        ("tabulate", plan.tables, "tables/*.md"),
        ("plot", plan.figures, "figures/*.pdf"),
        ("report", ("report",), "report.html"),
    ):
        counts[kind] = (len(names), sum(path.stem.split(".")[0] in names for path in results.glob(pattern)))
    return counts
