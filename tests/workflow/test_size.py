"""Large studies are planned in seconds and little memory, with as many jobs as a formula says."""

import subprocess
import sys
from dataclasses import dataclass
from itertools import count, cycle, islice
from pathlib import Path

import pytest
import yaml
from support.loop_jobs import count_jobs
from support.made_up import write_collected
from support.plans import SKILLS
from support.projects import BIN, Planned, Project, new_project

from moco.config.load import study_from
from moco.config.runtime import write_study_file
from moco.workflow.plan import Plan

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MODELS, TASKS, BATCHES = 10, 29, 6
LEARNING = (
    "api_cascade",
    "api_prompt_routing",
    "control_best_single",
    "control_most_likely",
    "control_self_consistency",
    "text_multiagent_refine",
    "text_slm_mux",
    "weight_greedy_soup",
)
OTHERS = ("control_random", "logit_logit_fusion", "text_majority_vote")
VARIANTS = {f"{name}-v{turn // 11}": name for turn, name in zip(range(31), cycle(sorted(LEARNING + OTHERS)))}
# Linux counts the memory of the process that starts another one as the other's, so a small process starts snakemake.
MEASURED = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(status)
"""
POOLS = {"p0": range(4), "p1": range(3, 7), "p2": range(6, 10)}


@dataclass
class DryRun:
    """What a dry run planned, and took: CPU seconds, whatever else this machine did, and bytes."""

    planned: Planned
    seconds: float
    memory: int


def big_study() -> dict:
    """Return a study of 31 variants, 3 pools of 10 models, and 29 tasks in 6 batches."""
    models = {
        f"m{i}": {"kind": "zoo", "recipe": "add", "steps": 10, "seed": i, "description": "x"} for i in range(MODELS)
    }
    tasks = {
        # A domain has tasks of one form.
        f"task_{i}": {"source": {**SKILLS, "form": ["exact", "choice"][i % 2]}, "domain": f"domain{i % BATCHES}"}
        for i in range(TASKS)
    }
    return {
        "study": "big",
        "models": models,
        "pools": {name: [f"m{i}" for i in members] for name, members in POOLS.items()},
        "tasks": tasks,
        "methods": {variant: {"method": name} for variant, name in VARIANTS.items()},
    }


def dry_run(tmp_path, content: dict) -> tuple[Project, DryRun]:
    project = new_project(tmp_path / "project", tmp_path / "cache")
    (project.folder / "config/config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    command = [str(BIN / "snakemake"), "--cores", "2", "--dry-run", "--printshellcmds", "--quiet", "rules"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    output, _, used = done.stdout.strip().rpartition("\n")
    seconds, kilobytes = used.split()
    return project, DryRun(Planned(output + "\n" + done.stderr), float(seconds), int(kilobytes) * 1024)


def test_a_study_of_31_variants_3_pools_and_29_tasks(tmp_path, warm):
    project, ran = dry_run(tmp_path, big_study())
    learning = sum(name in LEARNING for name in VARIANTS.values())
    merged = len(POOLS) * TASKS * sum(name == "weight_greedy_soup" for name in VARIANTS.values())
    per_batch = MODELS * BATCHES
    answers = len(VARIANTS) * len(POOLS) * BATCHES
    assert ran.planned.stages() == {
        "prepare": TASKS,
        "zoo": MODELS,
        "merge": merged,
        "resolve": MODELS + merged,
        "generate": 3 * per_batch + merged,  # dev, test, and further samples of test
        "response_logits": 2 * per_batch,  # dev and test
        "fit": learning * len(POOLS) * BATCHES,
        "answer": answers,
        "score": answers + 2 * per_batch,
    }
    assert ran.memory < 0.6e9
    assert ran.seconds < 60
    project.warm = warm
    check_tables(project)


def check_tables(project: Project) -> None:
    """Check that the tables of collected results can be made; two models and methods answer in turn."""
    content = yaml.safe_load((project.folder / "config/config.yaml").read_text())
    project.study, plan = "big", Plan(study_from(content, "big"))
    numbers = count()
    write_collected(plan, project.results, lambda *_: float(next(numbers) % 3 == 0))
    study = str(write_study_file(content, project.folder))
    for table in set(plan.tables) - {"data_quality"}:
        project.run("moco", "tabulate", table, "--results", str(project.results), MOCO_STUDY=study)
    lines = (project.results / "tables/moco_main.csv").read_text().splitlines()
    for pool in POOLS:
        assert {line.split(",")[1] for line in lines if line.startswith(f"{pool},")} >= set(VARIANTS)


def test_a_study_of_945_pools_of_rounds(tmp_path):
    entries, rounds, tasks, members = 3, 3, 15, 3
    teaching = ("control_best_single", "control_random", "logit_logit_fusion", "text_majority_vote")
    teaching += ("text_multiagent_refine", "weight_greedy_soup")
    teachers = list(islice((variant for variant, name in VARIANTS.items() if name in teaching), 7))
    study = big_study()
    for task in study["tasks"].values():
        task["distill"] = 0.5
    study |= {
        "pools": {"p0": [f"m{i}" for i in range(members)]},
        "compare": [{"pools": ["p0"], "tasks": ["task_0"], "methods": ["control_best_single-v0"]}],
        "evolution": {
            f"loop{steps}": {
                "pool": "p0",
                "methods": teachers,
                "tasks": [f"task_{i}" for i in range(tasks)],
                "rounds": rounds,
                "training": {"steps": 10 + steps},
            }
            for steps in range(entries)
        },
    }
    _, ran = dry_run(tmp_path, study)
    assert ran.planned.stages() == {
        **count_jobs(study, study["pools"]["p0"], lambda task: (task,)),
        "zoo": members,
    }
    assert ran.planned.counts["collect"] == 2
    assert len(teachers) * entries * tasks * rounds == 945
    assert ran.memory < 1e9
    assert ran.seconds < 120


def test_the_papers_loop(tmp_path):
    """All of config/paper/evolution.yaml, with made-up items in the place of its datasets."""
    study = yaml.safe_load((ROOT / "config/paper/evolution.yaml").read_text())
    for model in study["models"].values():
        model["revision"] = "0" * 40
    for name, entry in study["tasks"].items():
        about = yaml.safe_load((ROOT / f"moco/config/registry/{entry['source']}.yaml").read_text())
        form = "choice" if about["type"] == "multiple_choice" else "exact"
        study["tasks"][name] = {"source": {**SKILLS, "form": form}, "type": about["type"], "domain": about["domain"]}
        study["tasks"][name] |= {"distill": 0.5}
    _, ran = dry_run(tmp_path, study)

    together: dict[tuple[str, str], list[str]] = {}
    for name, entry in study["tasks"].items():
        together.setdefault((entry["domain"], entry["type"]), []).append(name)
    batches = {name: tuple(names) for names in together.values() for name in names}
    counts = ran.planned.stages()
    counts["score"] += counts.pop("judge")  # of the task that a reward model scores
    assert counts == count_jobs(study, list(study["models"]), batches.__getitem__)
    # Four methods with both pools, debates on 14 tasks, and two methods with the pool of one vocabulary, on policy too.
    runs = 4 * 2 * 15 * 2 + 2 * 14 * 2 + 2 * 15 * 3
    assert counts["mix"] == counts["distill"] == 3 * runs
    assert ran.memory < 1.5e9
    assert ran.seconds < 120
