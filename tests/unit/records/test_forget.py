"""`moco forget`: recorded failures, or files with all that was made from them, and nothing else."""

import re
from pathlib import Path

import pytest
from support.bundles import CONTENT, finished_study, results_of

from moco import paths
from moco.cli import main
from moco.config.load import load_study
from moco.records import ANSWERS, JOB_PERF, OPTION_LOGITS, SCORES, Provenance, Schema, write_json, write_rows
from moco.records.failures import forget_failures
from moco.workflow.downstream import RULES, job_of
from moco.workflow.plan import Plan

WORKFLOW = Path(__file__).parents[3] / "workflow/rules"
CHOSEN = {**CONTENT, "methods": {"control_random": {}, "control_best_single": {}}}


def files_of(results: Path) -> set[str]:
    return {path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file()}


def with_outputs(results: Path) -> set[str]:
    """Write something where tables, figures and the report are."""
    names = {"tables/x.csv", "figures/x.pdf", "report.html"}
    for name in names:
        (results / name).parent.mkdir(exist_ok=True)
        (results / name).write_text("made of all")
    return names


class Study:
    """A finished study of two models, one of whose methods has a fit."""

    def __init__(self, folder: Path) -> None:
        self.config = finished_study(folder, CHOSEN)
        self.results = results_of(self.config)
        (self.batch,) = Plan(load_study(self.config)).matrix.batches
        self.always = with_outputs(self.results) | {
            paths.collected("benchmark", name)
            for name in ("scores", "costs", "replies", "students", "curves", "jobs_perf")
        }

    def plain(self, model: str, split: str) -> set[str]:
        return self._measured(paths.generation(model, self.batch, split, 1, "s0"))

    def fitted(self) -> set[str]:
        folder = paths.fit_folder("pair", self.batch, "control_best_single", 1)
        inside = {f"{folder}/mixed/{name}" for name in ("fit.json", "calls.parquet", "costs.parquet")}
        return inside | {paths.job_perf(folder)}

    def answered(self, variant: str) -> set[str]:
        key = ("pair", self.batch, variant, 1, "test")
        answers = paths.answers(*key)
        return self._measured(answers) | {paths.calls(*key), paths.costs(*key)}

    def _measured(self, path: str) -> set[str]:
        return {path, paths.job_perf(path), paths.scores("strict", path)}

    def forget(self, *names: str) -> set[str]:
        """Return what is gone."""
        before = files_of(self.results)
        files = [str(self.results / name) for name in names]
        assert main(["forget", *files, "--config", str(self.config), "--results", str(self.results)]) == 0
        return before - files_of(self.results)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def there(study: Study, *sets: set[str]) -> set[str]:
    return set().union(study.always, *sets)


def test_a_test_response_goes_with_the_answers_that_read_it_but_not_with_fits(study: Study):
    name = paths.generation("add", study.batch, "test", 1, "s0")
    present = files_of(study.results)
    expected = there(
        study, study.plain("add", "test"), study.answered("control_random"), study.answered("control_best_single")
    )
    assert study.forget(name) == expected & present
    assert paths.scores("strict", name) in expected & present
    assert paths.generation("recall", study.batch, "test", 1, "s0") in files_of(study.results)
    assert study.fitted() & present <= files_of(study.results)


def test_a_dev_response_goes_with_fits_and_their_answers_but_not_with_methods_that_learn_nothing(study: Study):
    present = files_of(study.results)
    gone = study.forget(paths.generation("add", study.batch, "dev", 1, "s0"))
    expected = there(study, study.plain("add", "dev"), study.fitted(), study.answered("control_best_single"))
    assert gone == expected & present
    assert not (study.results / paths.fit_folder("pair", study.batch, "control_best_single", 1)).exists()
    assert study.answered("control_random") & present <= files_of(study.results)


def test_any_file_of_a_job_stands_for_the_job_and_may_be_missing(study: Study):
    present = files_of(study.results)
    inside = f"{paths.fit_folder('pair', study.batch, 'control_best_single', 1)}/mixed/fit.json"
    (study.results / inside).unlink()
    expected = there(study, study.fitted(), study.answered("control_best_single")) - {inside}
    assert study.forget(inside) == expected & present


def test_a_model_goes_with_everything_that_it_wrote(study: Study):
    study.forget(paths.model_json("add"))
    left = files_of(study.results)
    assert {name.split("/")[0] for name in left} == {"generations", "logits", "models", "scores", "tasks"}
    assert not [name for name in left if "/add/" in name and "logits" not in name]
    assert paths.scores("strict", paths.generation("recall", study.batch, "test", 1, "s0")) in left


def test_a_table_takes_only_what_is_made_last(study: Study):
    assert study.forget("tables/x.csv") == {"tables/x.csv", "figures/x.pdf", "report.html"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("generations/other/{batch}/test/seed1/s0.parquet", "is no file that study tiny makes"),
        ("generations/add/{batch}/test/seed2/s0.parquet", "is no file that study tiny makes"),
        ("logs/fit.log", "is no file that study tiny makes"),
        ("../../elsewhere.parquet", "is not below"),
    ],
)
def test_other_files_are_refused_and_nothing_is_removed(
    study: Study, name: str, expected: str, capsys: pytest.CaptureFixture[str]
):
    before = files_of(study.results)
    wrong = str((study.results / name.format(batch=study.batch)).resolve())
    right = str(study.results / paths.model_json("add"))
    assert main(["forget", right, wrong, "--config", str(study.config), "--results", str(study.results)]) == 2
    assert expected in capsys.readouterr().err
    assert files_of(study.results) == before


@pytest.mark.parametrize("arguments", [[], ["--failed", "x"]])
def test_files_and_failures_are_not_forgotten_at_once(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["forget", *arguments]) == 2
    assert "give either files or --failed" in capsys.readouterr().err


def rules_of_the_workflow() -> dict[str, tuple[set[str], list[str]]]:
    """Return for every stage that rules name the functions of their inputs and the paths of their outputs."""
    found: dict[str, tuple[set[str], list[str]]] = {}
    for path in sorted(WORKFLOW.glob("*.smk")):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            head = re.search(r"    input:\n(.*?)    output:\n(.*?)    log:", rule, flags=re.DOTALL)
            stage = re.search(r"results=PLAN\.(\w+)\.results", rule)
            if head and stage:
                inputs, outputs = found.setdefault(stage[1], (set(), []))
                inputs.update(re.findall(rf"PLAN\.{stage[1]}\.(\w+)", head[1]))
                outputs += re.findall(r"<results>/([^\"]+)", head[2])
    return found


def test_stages_have_the_inputs_and_outputs_of_the_rules():
    rules = rules_of_the_workflow()
    assert set(rules) - {"tabulate", "report"} == set(RULES)
    values = {
        "model": "a",
        "batch": "zoo-exact_match-13f54f",
        "split": "distill",
        "seed": "-1",
        "block": "s8-15",
        "kind": "options",
        "pool": "p--r1",
        "method": "refine-2",
        "task": "t",
        "part": "benchmark",
        "scorer": "strict",
        "run": "r",
        "round": "2",
        "replies": "answers/p/zoo-exact_match-13f54f/m/seed1/test",
    }
    for stage, (inputs, outputs) in rules.items():
        if stage not in RULES:
            continue
        outside = {"source", "files", "corpora"}  # of the user
        assert inputs - outside == set(RULES[stage][1]), stage
        for output in outputs:
            here = values | ({"model": "p--t--m--s1--soup"} if stage == "merge" else {})
            job = job_of(output.replace("{{", "{").replace("}}", "}").format(**here))
            assert job is not None, output
            assert job.stage == stage, output
            assert dict(job.wildcards).items() <= here.items(), output
            assert {name.strip("{}") for name in re.findall(r"\{\w+\}", output)} - {"split"} <= set(dict(job.wildcards))


ROWS = [{"task": "t", "uid": "t/test/0", "status": "ok"}, {"task": "u", "uid": "u/test/0", "status": "ok"}]
LOST = {"task": "u", "uid": "u/test/0", "status": "failed", "reason": "killed"}


def write(path: Path, schema: Schema, *rows: dict[str, str]) -> None:
    empty = dict.fromkeys(schema.columns.names)
    write_rows(path, schema, [{**empty, **row} for row in rows], Provenance("test"))


def test_recorded_failures_are_forgotten_and_nothing_else(tmp_path: Path):
    write(tmp_path / "scores/strict/bad.parquet", SCORES, ROWS[0], LOST)
    write(tmp_path / "scores/strict/good.parquet", SCORES, *ROWS)
    write(tmp_path / "answers/p/b/m/seed1/test.parquet", ANSWERS, ROWS[0], LOST)
    write(tmp_path / "logits/m/b/test/options.parquet", OPTION_LOGITS, LOST)
    write_json(tmp_path / "fits/p/b/m/seed1/t/fit.json", {})
    write_json(tmp_path / "fits/p/b/m/seed1/u/failed.json", {"reason": "x"})
    write_json(tmp_path / "fits/p/b/m/seed1/v/failed.json", {"reason": "x"})
    write(tmp_path / "fits/p/b/m/seed1_job_perf.parquet", JOB_PERF)
    write_json(tmp_path / "fits/p/b/m/seed2/t/fit.json", {})
    write(tmp_path / "fits/p/b/m/seed2_job_perf.parquet", JOB_PERF)
    write_json(tmp_path / "checkpoints/p--t--m--s1--x/failed.json", {"reason": "x"})
    write_json(tmp_path / "checkpoints/add/config.json", {})
    write_json(tmp_path / "evolution/run/r1/students/2/failed.json", {"reason": "x"})
    write_json(tmp_path / "evolution/run/r1/students/1/config.json", {})
    write_json(tmp_path / "models/a/model.json", {"failed": "x"})
    write_json(tmp_path / "models/b/model.json", {"name": "b"})
    outputs = with_outputs(tmp_path) | {"analysis/benchmark/scores.parquet"}
    write(tmp_path / "analysis/benchmark/scores.parquet", SCORES, *ROWS)
    removed = {path.relative_to(tmp_path).as_posix() for path in forget_failures(tmp_path)}
    assert removed == {
        "scores/strict/bad.parquet",
        "answers/p/b/m/seed1/test.parquet",
        "logits/m/b/test/options.parquet",
        "fits/p/b/m/seed1",
        "checkpoints/p--t--m--s1--x",
        "evolution/run/r1/students",
        "models/a/model.json",
    }
    kept = {
        "scores/strict/good.parquet",
        "fits/p/b/m/seed2/t/fit.json",
        "fits/p/b/m/seed2_job_perf.parquet",
        "checkpoints/add/config.json",
        "models/b/model.json",
    }
    assert files_of(tmp_path) == kept
    write(tmp_path / "analysis/benchmark/scores.parquet", SCORES, *ROWS)
    with_outputs(tmp_path)
    assert forget_failures(tmp_path) == []
    assert files_of(tmp_path) == kept | outputs


def test_failures_of_every_study_are_forgotten_unless_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    for study in ("one", "two"):
        write_json(Path(f"results/{study}/models/a/model.json"), {"failed": "x"})
    assert main(["forget", "--failed", "--results", "results/two"]) == 0
    assert files_of(Path("results")) == {"one/models/a/model.json"}
    assert main(["forget", "--failed"]) == 0
    assert "1 recorded failures removed; run snakemake again" in capsys.readouterr().out
    assert not files_of(Path("results"))
