"""The report of a large study in a browser: it opens quickly, without errors, and fits a phone."""

import random
import re
import shutil
import subprocess
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from support.made_up import write_collected, write_replies
from support.plans import SKILLS

from moco.analysis.report import write_report
from moco.config.load import study_from
from moco.workflow.plan import Plan

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
METHODS, TASKS, MODELS, ITEMS = 30, 28, 10, 40
NAMES = (
    *("api_cascade", "api_prompt_routing", "control_best_single", "control_most_likely", "control_random"),
    *("control_self_consistency", "logit_logit_fusion", "text_majority_vote", "text_multiagent_refine"),
    *("text_slm_mux", "weight_greedy_soup"),
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]


def large_study() -> dict[str, Any]:
    """Return a study of 30 methods, 3 pools of 4 models, and 28 tasks in 4 domains."""
    models = {
        f"m{i}": {"kind": "zoo", "recipe": "add", "steps": 10, "seed": i, "description": "x"} for i in range(MODELS)
    }
    tasks = {
        f"task_of_words_{i}": {
            "source": {**SKILLS, "form": ["exact", "choice"][i % 2]},
            "domain": f"domain{i % 4}",
        }
        for i in range(TASKS)
    }
    return {
        "study": "large",
        "models": models,
        "pools": {f"pool{i}": [f"m{3 * i + j}" for j in range(4)] for i in range(3)},
        "tasks": tasks,
        "methods": {
            f"{name}-v{turn // len(NAMES)}": {"method": name}
            for turn, name in zip(range(METHODS), cycle(NAMES), strict=False)
        },
    }


@cache
def strength(pool: str, name: str, task: str) -> float:
    return random.Random(f"{pool} {name} {task}").uniform(0.2, 0.7 if pool else 0.5)


def mark(pool: str, name: str, task: str, item: int) -> float:
    return float(random.Random(f"{pool} {name} {task} {item}").random() < strength(pool, name, task))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("large")
    plan = Plan(study_from(large_study(), "large"))
    write_collected(plan, results, mark, ITEMS)
    write_replies(plan, results, mark, ITEMS)
    write_report(plan.report.slice(None), results, results / "report.html", {"by commit": "of nobody"}, "study: large")
    return results / "report.html"


def browser(page: str, *options: str) -> subprocess.CompletedProcess[str]:
    usual = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    usual.append("--allow-file-access-from-files")  # the frame is of another file
    return subprocess.run([str(CHROMIUM), *usual, *options, page], capture_output=True, text=True, check=True)


PROBE = """<script>addEventListener("load", () => setTimeout(() => {
const took = performance.getEntriesByType("navigation")[0];
console.log(`MEASURED ${document.documentElement.scrollWidth} ${took.domComplete / 1000} ENDED`);
}))</script>"""


def measured(report: Path, width: int) -> tuple[int, float]:
    """Return the width that the page takes in a window of some width, and the seconds until it is complete."""
    report.with_name("probe.html").write_text(report.read_text() + PROBE)
    # Windows are no narrower than 500, so that the page stands in a frame.
    frame = report.with_name("frame.html")
    frame.write_text(f'<body style="margin:0"><iframe src="probe.html" width="{width}" height="800"></iframe>')
    done = browser(frame.as_uri(), "--dump-dom", "--window-size=1500,900")
    (said,) = [line for line in done.stderr.splitlines() if "CONSOLE" in line]  # nothing else: no error, no warning
    taken, seconds = re.findall(r"MEASURED (\S+) (\S+) ENDED", said)[0]
    return int(taken), float(seconds)


def test_examples_of_a_large_study_are_files_of_their_own(report: Path):
    names = {path.name for path in (report.parent / "examples").iterdir()}
    assert names == {f"task_of_words_{i}.txt" for i in range(TASKS)}
    page = report.read_text()
    assert all(f'href="examples/{name}"' in page for name in names)
    assert "<pre>study: large</pre>" in page


@pytest.mark.parametrize("width", [1400, 400])
def test_it_opens_in_seconds_without_errors_and_fits_the_window(report: Path, width: int):
    found = [measured(report, width) for _ in range(3)]
    assert {taken for taken, _ in found} == {width}
    assert min(seconds for _, seconds in found) < 3
