"""Tables and figures of the loop, on two rounds of made-up scores under two seeds, worked out by hand."""

from math import sqrt

import pytest

from moco import paths
from moco.analysis.evolution import Evolution
from moco.analysis.evolution_tables import evo_baselines, evo_domains, evo_main, evo_variants
from moco.analysis.figures import figures_of, make_figure
from moco.analysis.loop_expectations import of_loop, strategies_that_gain
from moco.analysis.render import Quantity
from moco.analysis.tables import make_table, tables_of
from moco.records import ALL_COSTS, ALL_SCORES, ALL_STUDENTS, Provenance, write_rows

BEFORE = {1: ([1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]), 2: ([0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0])}
AFTER = {1: ([1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0]), 2: ([0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0])}
"""By seed: scores of both models and of their system."""


class Course:
    """Writes what is collected of runs of one round, and describes them."""

    def __init__(self, folder):
        self.results, self.scores, self.costs, self.students = folder, [], [], []
        self.spec = {
            "study": "s",
            "configuration": "0" * 64,
            "scorer": "strict",
            "class": "exact",
            "seeds": [1, 2],
            "min_coverage": 1.0,
            "tasks": {},
            "evolution": {"runs": [], "baselines": []},
        }

    def task(self, name, type="exact_match", domain="zoo"):
        self.spec["tasks"][name] = {"type": type, "domain": domain, "decoding": "default"}

    def result(self, kind, pool, name, task, seed, items, level="text", flops=8.0):
        about = {"kind": kind, "pool": pool, "name": name, "level": level, "task": task, "seed": seed}
        for number, score in enumerate(items):
            row = {"uid": f"{task}/test/{number}", "answer": 0, "status": "ok", "score": score, "parsed": str(score)}
            row |= {"status": "failed", "reason": "x", "score": None, "parsed": None} if score == "failed" else {}
            self.scores.append({**about, "scorer": "strict", **row})
        self.cost(about, "answer", flops)

    def cost(self, about, stage, flops, **counts):
        row = {**about, "stage": stage, "scope": "task", "role": "member", "model": "m", "flops": flops}
        self.costs.append({**row, **counts})

    def run(self, task="t", entry="loop", variant="supervised", protocol="clean", before=BEFORE, after=AFTER):
        for seed in before:
            name = f"{entry}-vote-{task}-{variant}-s{seed}"
            pools = [{"pool": "p", "models": ["a", "b"]}]
            pools.append({"pool": f"{name}--r1", "models": [f"{name}--r1--1", f"{name}--r1--2"]})
            about = {"entry": entry, "run": name, "pool": "p", "method": "vote", "level": "text", "variant": variant}
            about |= {"task": task, "seed": seed, "protocol": protocol, "rounds": pools}
            self.spec["evolution"]["runs"].append(about)
            for made, scores in zip(pools, (before[seed], after[seed]), strict=True):
                if any(
                    row["pool"] == made["pool"] and row["task"] == task and row["seed"] == seed for row in self.scores
                ):
                    continue
                for model, items in zip(made["models"], scores[:2], strict=True):
                    self.result("single", made["pool"], model, task, seed, items, level="single")
                self.result("method", made["pool"], "vote", task, seed, scores[2], flops=20.0)
            for stage, flops in (("answer", 3e9), ("train", 7e9 * seed)):
                self.cost(
                    {
                        "kind": "round",
                        "pool": pools[1]["pool"],
                        "name": name,
                        "level": "round",
                        "task": task,
                        "seed": seed,
                    },
                    stage,
                    flops,
                    **({"items": 8, "calls": 2, "prompt_tokens": 100 * seed} if stage == "train" else {}),
                )
            for at, made in enumerate(pools):
                for model, value in zip(made["models"], (0.75, 0.25), strict=True):
                    row = {"pool": made["pool"], "name": name, "seed": seed, "task": task, "model": model}
                    row |= {"distance": value * seed / (1 + at)}
                    row |= {"held_out": 2, "loss_before": 4.0 * seed, "loss_after": 2.0 * seed} if at else {}
                    self.students.append(row)

    def written(self):
        collected = (ALL_SCORES, self.scores), (ALL_COSTS, self.costs), (ALL_STUDENTS, self.students)
        for name, (schema, rows) in zip(("scores", "costs", "students"), collected, strict=True):
            whole = [{**dict.fromkeys(schema.columns.names), **row} for row in rows]
            write_rows(self.results / paths.collected(paths.EVOLUTION, name), schema, whole, Provenance("collect"))
        return self.spec, self.results


@pytest.fixture
def made(tmp_path):
    """Return one course on task `t`."""
    course = Course(tmp_path)
    course.task("t")
    course.run()
    return course


def cells(table, **wanted):
    """Return the only row with these cells, by column."""
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    [row] = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return row


def means(row, *names):
    return [pytest.approx(row[name].mean) for name in names]


def test_single_and_multi_are_means_over_seeds_on_one_scale(made):
    table = evo_main(*made.written())
    single, multi = (cells(table, level=level) for level in ("single", "multi"))
    assert means(single, "round 0", "round 1", "gain") == [0.125, 0.4375, 0.3125]
    assert means(multi, "round 0", "round 1", "gain") == [0.25, 0.625, 0.375]
    assert (single["round 0"].n, single["round 0"].seeds, single["round 0"].percent) == (4, 2, True)
    assert single["sd over models (%)"] == pytest.approx(0.125 / sqrt(2))
    assert multi["sd over models (%)"] == "-"


def test_one_model_has_no_standard_deviation(made):
    for run in made.spec["evolution"]["runs"]:
        for each in run["rounds"]:
            del each["models"][1]
    found = Evolution(*made.written())
    assert found.spread(found.courses[0], 1) is None
    assert cells(evo_main(*made.written()), level="single")["sd over models (%)"] == "-"


def test_newly_solved_items_stand_beside_what_chance_gives(made):
    row = cells(evo_variants(*made.written()))
    assert means(row, "newly solved", "by chance", "lost") == [0.375, 0.25, 0.0]


def test_one_seed_says_nothing_of_chance(tmp_path):
    course = Course(tmp_path)
    course.task("t")
    course.run(before={1: BEFORE[1]}, after={1: AFTER[1]})
    row = cells(evo_variants(*course.written()))
    assert row["by chance"] == "-"
    assert means(row, "newly solved") == [0.5]


def test_agreement_is_that_of_pairs_and_what_cannot_be_read_agrees_with_none(made):
    spec, results = made.written()
    found = Evolution(spec, results)
    assert [found.agreement(found.courses[0], at).mean for at in (0, 1)] == [0.75, 0.625]
    for row in made.scores:
        row["parsed"] = None if row["uid"].endswith("3") else row["parsed"]
    found = Evolution(*made.written())
    assert found.agreement(found.courses[0], 0).mean == 0.5


def test_costs_of_rounds_are_means_over_seeds_and_counted_by_point_gained(made):
    table = evo_variants(*made.written())
    row = cells(table)
    assert row["learning GFLOPs"] == Quantity(3 + 7 * 1.5)
    assert row["GFLOPs per point multi"] == "-", "four items cannot tell the gain from none"
    for number in range(4, 40):  # many items of a gain of one half
        for run in made.spec["evolution"]["runs"]:
            for at, each in enumerate(run["rounds"]):
                for kind, name in (*(("single", model) for model in each["models"]), ("method", "vote")):
                    about = {
                        "kind": kind,
                        "pool": each["pool"],
                        "name": name,
                        "level": "x",
                        "task": "t",
                        "seed": run["seed"],
                    }
                    row = {"uid": f"t/test/{number}", "answer": 0, "status": "ok", "score": float(at and number % 2)}
                    if not any(
                        old["uid"] == row["uid"] and all(old[k] == v for k, v in about.items() if k != "level")
                        for old in made.scores
                    ):
                        made.scores.append({**about, "scorer": "strict", **row})
    row = cells(evo_variants(*made.written()))
    assert row["GFLOPs per point multi"].value == pytest.approx(13.5 / (100 * row["gain multi"].mean))


def test_averages_are_over_tasks_whose_scores_are_accuracies(made):
    made.task("u", domain="other")
    made.task("chat", type="reward_model")
    better = {seed: ([1, 1, 1, 1],) * 3 for seed in (1, 2)}
    made.run("u", after=better)
    made.run("chat", after={seed: ([9, 9, 9, 9],) * 3 for seed in (1, 2)})
    table = evo_main(*made.written())
    assert means(cells(table, task="average", level="multi"), "round 1") == [(0.625 + 1) / 2]
    assert cells(table, task="chat", level="multi")["round 1"].percent is False
    domains = evo_domains(*made.written())
    assert means(cells(domains, domain="other"), "multi", "gain multi") == [1.0, 0.75]
    assert cells(domains, domain="zoo")["tasks"] == 2
    assert means(cells(domains, domain="zoo"), "multi") == [0.625]


def test_a_failed_result_leaves_no_number_and_no_average(made):
    made.task("u")
    made.run("u", after={seed: (["failed"] * 4,) * 3 for seed in (1, 2)})
    table = evo_main(*made.written())
    assert cells(table, task="u", level="multi")["round 1"] == "-"
    assert cells(table, task="average", level="multi")["gain"] == "-"


def test_what_leaks_is_marked_and_stands_last(made):
    made.spec["evolution"]["runs"].reverse()
    made.run(entry="leak", protocol="upstream")
    made.spec["evolution"]["runs"].reverse()
    for make in (evo_main, evo_variants, evo_domains):
        table = make(*made.written())
        assert [row[2].endswith("(leaky)") for row in table.rows] == sorted(
            row[2].endswith("(leaky)") for row in table.rows
        )
        assert table.rows[-1][0] == "leak"
        assert any(note.startswith("leaky:") for note in table.notes)


def test_baselines_stand_beside_round_0_and_the_last_round(made):
    for seed, items in ((1, [1, 1, 0, 0]), (2, [1, 0, 0, 0])):
        made.result("method", "p", "debate", "t", seed, items, flops=40.0)
        about = {"kind": "method", "pool": "p", "name": "debate", "level": "text", "task": "t", "seed": seed}
        for _ in range(2):  # two models
            made.cost(about, "train", 1e9, items=4, calls=3, prompt_tokens=150)
    made.spec["evolution"]["baselines"] = [{"pool": "p", "method": "debate", "level": "text", "task": "t"}]
    table = evo_baselines(*made.written())
    assert [row[3] for row in table.rows] == [
        "mean single, round 0",
        "best single (test), round 0",
        "vote, round 0",
        "debate",
        "vote, supervised, round 1",
        "vote, supervised, round 1",
    ]
    debate = cells(table, system="debate")
    assert means(debate, "score", "gain over round 0") == [0.375, 0.25]
    assert debate["learning GFLOPs"] == Quantity(2.0)
    assert debate["GFLOPs/item"] == Quantity(10e-9)
    budget = ("learnt examples", "learnt steps", "learnt tokens", "of the loop")
    assert [debate[name] for name in budget] == [Quantity(8.0), Quantity(6.0), Quantity(300.0), Quantity(2.0)]
    loop = cells(table, system="vote, supervised, round 1", level="multi")
    assert [loop[name] for name in budget] == [Quantity(8.0), Quantity(2.0), Quantity(150.0), Quantity(1.0)]
    assert [cells(table, system="vote, round 0")[name] for name in budget] == ["-"] * 4
    assert means(cells(table, system="best single (test), round 0"), "score") == [0.25]
    multi = cells(table, system="vote, supervised, round 1", level="multi")
    assert means(multi, "score", "gain over round 0") == [0.625, 0.5]
    assert multi["GFLOPs/item"] == Quantity(5e-9)
    assert cells(table, system="vote, supervised, round 1", level="single")["GFLOPs/item"] == Quantity(2e-9)


def test_distances_are_means_over_models_and_seeds_and_missing_where_one_is(made):
    found = Evolution(*made.written())
    assert [found.distance(found.courses[0], at) for at in (0, 1)] == [0.75, 0.375]
    made.students[-1]["distance"] = None
    found = Evolution(*made.written())
    assert [found.distance(found.courses[0], at) for at in (0, 1)] == [0.75, None]


def test_losses_on_what_is_held_out_stand_beside_gains_where_they_were_measured(made):
    row = cells(evo_variants(*made.written()))
    assert (row["held-out loss before"], row["held-out loss after"]) == (Quantity(6.0), Quantity(3.0))
    for student in made.students:
        student |= {"loss_before": None, "loss_after": None}
    assert not any("held-out" in name for name in evo_variants(*made.written()).columns)


def test_a_study_without_the_loop_has_none_of_its_tables_and_figures(made):
    spec = {**made.spec, "also_score": []}
    assert {"evo_main", "evo_variants", "evo_baselines", "evo_domains"} < set(tables_of(spec))
    assert {"evo_rounds", "evo_single_multi", "evo_new_solved", "evo_diversity", "evo_training_curves"} < set(
        figures_of(spec)
    )
    del spec["evolution"]
    assert not [name for name in (*tables_of(spec), *figures_of(spec)) if name.startswith("evo_")]


@pytest.mark.parametrize("name", ["evo_rounds", "evo_single_multi", "evo_new_solved", "evo_diversity"])
def test_figures_are_the_same_bytes_whatever_the_order_of_rows(made, name):
    made.task("u")
    made.run("u")
    made.run(entry="leak", protocol="upstream", variant="multi_student")
    first = make_figure(name, *made.written())
    assert set(first.files) == {"pdf", "png"}
    made.scores.reverse()
    assert make_figure(name, *made.written()).files == first.files
    assert all(make_table(table, *made.written()).rows for table in ("evo_main", "evo_baselines"))


def test_what_is_expected_of_the_loop_is_said_of_every_course(made):
    made.run(entry="still", before=BEFORE, after=BEFORE)
    spec, results = made.written()
    found = [(each.what.partition(":")[0], each.found.mean, each.limit) for each in of_loop(Evolution(spec, results))]
    single, multi = "single models gain over the rounds", "the system is not below that of round 0"
    assert found == [
        (single, pytest.approx(0.3125), 0.0),
        (multi, pytest.approx(0.375), -0.03),
        (single, 0.0, 0.0),
        (multi, 0.0, -0.03),
    ]


def test_a_strategy_gains_where_some_course_of_it_does_with_its_whole_interval(tmp_path):
    course = Course(tmp_path)
    course.task("t")
    none, all_ = [0] * 40, [1] * 40
    course.run(before={1: (none, none, none)}, after={1: (all_, none, none)})
    assert strategies_that_gain(Evolution(*course.written())) == ["vote"]
    course = Course(tmp_path / "other")
    course.task("t")
    course.run(before={1: (none, none, none)}, after={1: (none, none, all_)})
    assert strategies_that_gain(Evolution(*course.written())) == []
