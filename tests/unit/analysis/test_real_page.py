"""The page of a real model says what the study's files hold."""

import pandas as pd
import pytest
from support.studies import Study

from moco.analysis.comparison import Comparison
from moco.analysis.real import in_short, speed, tuned_models, tuning
from moco.config.load import study_from
from moco.records import write_json

HALF = [1.0, 0.0] * 20
TUNED = {"expert": ("base", ("learnt",))}


@pytest.fixture
def compared(tmp_path):
    study = Study(tmp_path)
    study.spec["pools"] = {"experts": ["expert", "other"]}
    for task, base, expert in (("learnt", HALF, [1.0] * 40), ("new", HALF, [1.0, 0.0] * 19 + [0.0, 0.0])):
        study.task(task)
        study.single("base", task, base)
        study.single("expert", task, expert)
        study.single("other", task, [0.0] * 40)
    study.method("experts", "bad", "text", "learnt", HALF, method="text_bad")
    study.method("experts", "good", "text", "new", [1.0] * 40, method="text_good")
    return Comparison(study.spec, study.results)


def test_what_tuning_did_is_told_apart_from_what_it_did_elsewhere(compared):
    lines = tuning(compared, TUNED).splitlines()
    learnt, new = (next(line for line in lines if f"| expert | {task} |" in line) for task in ("learnt", "new"))
    assert "| yes | 50.0 [" in learnt
    assert "| +50.0 [" in learnt
    assert learnt.endswith("| above |")
    assert "| no |" in new
    assert "| -2.5 [" in new
    assert new.endswith("| not separable |")


def test_in_short_names_who_is_above_and_below_and_what_a_constant_reply_gets(compared):
    learnt, new = in_short(compared, {"learnt": 0.4, "new": None}).splitlines()[2:]
    assert "`expert` is the best single model with 100.0 %; one constant reply would get 40.0 %." in learnt
    assert "above it: none; below it: `bad`; not separable: none." in learnt
    assert "with 47.5 %. With" in new
    assert "above it: `good`; below it: none;" in new


def test_speed_counts_what_was_not_in_the_store_and_tuning_by_what_it_read(tmp_path, monkeypatch):
    jobs = [
        {"part": "answer", "items": 4, "cached": 1, "read_tokens": 90, "made_tokens": 10, "seconds": 2.0},
        {"part": "answer", "items": 4, "cached": 0, "read_tokens": 100, "made_tokens": 0, "seconds": 3.0},
    ]
    monkeypatch.setattr("moco.analysis.real.load_jobs", lambda _results: pd.DataFrame(jobs))
    write_json(tmp_path / "tuned/expert/training.json", {"examples": 5, "tokens": 600})
    for path, row in (
        ("tune/expert", "20.0\t2048.0\t15.0"),
        ("answer/a/b", "-\t-\t-"),
        ("answer/c", "8.0\t512.0\t4.0"),
    ):
        file = tmp_path / "benchmarks" / f"{path}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\tmax_rss\tcpu_time\n{row}\n")
    text = speed(tmp_path, ["expert"])
    assert "| answer | 8 | 12.5 | 190 | 10 | 5 | 40 |" in text
    assert "| tuning expert | 5 | 0.0 | 600 | 0 | 20 | 30 |" in text
    assert "The largest job held 2 GiB." in text
    assert "| answer | 2 | 8 | 4 | 0.500 |" in text


def test_tuned_models_are_those_that_the_study_tunes():
    study = study_from(
        {
            "study": "s",
            "models": {"base": {"kind": "zoo"}, "expert": {"kind": "tuned", "base": "base", "tasks": ["t"]}},
            "pools": {"p": ["expert"]},
            "tasks": {"t": {"source": {"kind": "synthetic", "skills": ["add"]}}},
        },
        "s.yaml",
    )
    assert tuned_models(study.models) == {"expert": ("base", ("t",))}
