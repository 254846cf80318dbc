"""The file of what a round teaches: from files of replies and scores to pairs with their origin."""

import pytest

from moco import paths
from moco.errors import WorkError
from moco.jobs.mix import write_mixture
from moco.records import (
    ANSWERS,
    CALLS,
    GENERATIONS,
    MIXTURE,
    QUESTIONS,
    REFERENCES,
    SCORES,
    Provenance,
    read_rows,
    write_rows,
)

ITEMS = 8
ANSWERED, CALLED = "answers/p/b/m/seed1/distill.parquet", "answers/p/b/m/seed1/distill_calls.parquet"
MODELS = ("a", "b", "c")


def own(model, split):
    return paths.generation(model, "b", split, 1, "s0")


SPEC = {
    "task": "t",
    "protocol": "clean",
    "shares": {"teach": 1.0, "self": 0.5, "best": 0.5, "gold": 0.0},
    "filter": "none",
    "dedupe": False,
    "held_out": 0.0,
    "scorer": "strict",
    "seed": [1, "t", 1],
    "teaches_on": "distill",
    "answers": ANSWERED,
    "calls": CALLED,
    "own_split": "distill",
    "own": [[own(model, "distill"), 0] for model in MODELS],
    "chosen": [[own(model, "dev"), 0] for model in MODELS],
    "parents": list(MODELS),
    "students": [f"r--r1--{place}" for place in (1, 2, 3)],
}


def write(results, path, schema, rows):
    """Write rows with their other columns empty."""
    whole = [{**dict.fromkeys(schema.columns.names), **row} for row in rows]
    write_rows(results / path, schema, whole, Provenance("test"))


@pytest.fixture
def results(tmp_path):
    """Return a results folder in which `b` is the best model on dev, and another task shares the files."""
    for split in ("dev", "distill", "test"):
        uids = [f"t/{split}/{n}" for n in range(ITEMS)]
        asked = {"task": "t", "split": split, "type": "exact_match", "question": "q", "domain": ""}
        write(
            tmp_path, paths.questions("t", split), QUESTIONS, [{**asked, "uid": u, "prompt": f"ask {u}"} for u in uids]
        )
        gold = [{"uid": u, "gold_json": f'"g{n}"', "gold_kind": "text", "valid": True} for n, u in enumerate(uids)]
        write(
            tmp_path, paths.references("t", split), REFERENCES, [{**g, "src_id": "", "meta_json": "{}"} for g in gold]
        )
        for place, model in enumerate(MODELS):
            said = [
                {"task": "t", "uid": u, "sample": 0, "status": "ok", "text": f"{model} {u}", "key": f"{model}{u}"}
                for u in uids
            ]
            write(tmp_path, own(model, split), GENERATIONS, said)
            right = [0.25, 0.75, 0.5][place] * ITEMS
            scores = [
                {"task": "t", "uid": u, "sample": 0, "status": "ok", "score": float(n < right)}
                for n, u in enumerate(uids)
            ]
            write(tmp_path, paths.scores("strict", own(model, split)), SCORES, scores)
    uids = [f"t/distill/{n}" for n in range(ITEMS)]
    answers = [
        {"task": "t", "uid": u, "answer": 0, "status": "ok", "text": f"all {u}", "models": ["a", "c"]} for u in uids
    ]
    other = {"task": "other", "uid": "other/distill/0", "answer": 0, "status": "ok", "text": "x", "models": []}
    write(tmp_path, ANSWERED, ANSWERS, [*answers, other])
    calls = [{"task": "t", "uid": u, "key": key} for u in uids for key in (f"k{u}", f"l{u}", f"k{u}")]
    write(tmp_path, CALLED, CALLS, calls)
    scored = [{"task": "t", "uid": u, "answer": 0, "status": "ok", "score": float(n % 2)} for n, u in enumerate(uids)]
    write(tmp_path, paths.scores("strict", ANSWERED), SCORES, scored)
    return tmp_path


def mixed(results, **changes):
    path = results / "mix.parquet"
    counts = write_mixture(results, {**SPEC, **changes}, path)
    rows = read_rows(path, MIXTURE)
    learnt = [row["student"] for row in rows if not row["held_out"]]
    assert [learnt.count(name) for name in SPEC["students"]] == counts
    return rows


def test_every_line_says_where_it_comes_from(results):
    rows = [row for row in mixed(results) if row["student"] == "r--r1--1"]
    assert len(rows) == 8 + 4 + 4
    for row in rows:
        number = int(row["uid"].rpartition("/")[2])
        assert row["uid"].startswith("t/distill/")
        assert (row["task"], row["split"], row["prompt"]) == ("t", "distill", f"ask {row['uid']}")
        uid, who = row["uid"], {"self": "a", "best": "b"}.get(row["source"])
        if who is None:
            assert (row["completion"], row["models"], row["keys"]) == (f"all {uid}", ["a", "c"], [f"k{uid}", f"l{uid}"])
            assert row["score"] == number % 2
        else:
            assert (row["completion"], row["models"], row["keys"]) == (f"{who} {uid}", [who], [f"{who}{uid}"])
            assert row["score"] == float(number < {"a": 2, "b": 6}[who])


def test_the_best_student_is_chosen_on_dev_and_not_on_what_it_says_to_others(results):
    write(results, paths.scores("strict", own("a", "distill")), SCORES, [])
    write(results, paths.scores("strict", own("a", "test")), SCORES, [])
    assert {tuple(row["models"]) for row in mixed(results) if row["source"] == "best"} == {("b",)}


def test_the_same_seed_gives_the_same_bytes(results):
    first, again = results / "one.parquet", results / "two.parquet"
    write_mixture(results, SPEC, first)
    write_mixture(results, SPEC, again)
    assert first.read_bytes() == again.read_bytes()


def test_no_line_has_a_key_or_an_item_of_the_test_split(results):
    rows = mixed(results)
    of_test = {row["key"] for model in MODELS for row in read_rows(results / own(model, "test"), GENERATIONS)}
    assert not {key for row in rows for key in row["keys"]} & of_test
    assert not any("/test/" in row["uid"] for row in rows)


def test_correct_answers_alone_are_taught_where_the_filter_says_so(results):
    rows = mixed(results, shares={"teach": 1.0}, filter="correct")
    assert [row["uid"] for row in rows[:4]] == ["t/distill/1", "t/distill/3", "t/distill/5", "t/distill/7"]
    assert len(rows) == 3 * 4


def test_references_are_taught_in_the_form_that_the_task_asks_for(results):
    rows = mixed(results, shares={"gold": 1.0})
    assert (rows[0]["completion"], rows[0]["models"], rows[0]["keys"]) == ("\\box{g0}", [], [])
    assert len(rows) == 3 * 8


def test_an_answer_that_is_no_reply_is_taught_in_the_form_that_the_task_asks_for(results):
    """A vote gives the words of who won; a choice among options by their probabilities has none."""
    about = {"task": "t", "answer": 0, "status": "ok", "models": ["a"], "has_extracted": True}
    said = [("7", "7"), ("So it is \\box{7}.", "7"), ("7", None)]
    rows = [{**about, "uid": f"t/distill/{n}", "text": t, "extracted": e} for n, (t, e) in enumerate(said)]
    write(results, ANSWERED, ANSWERS, rows)
    taught = [row["completion"] for row in mixed(results, shares={"teach": 1.0})]
    assert taught[:3] == ["\\box{7}", "So it is \\box{7}.", "7"]


def test_failed_and_empty_replies_are_not_taught(results):
    rows = [
        {"task": "t", "uid": f"t/distill/{n}", "answer": 0, "status": status, "text": text, "models": ["a"]}
        for n, (status, text) in enumerate([("ok", "yes"), ("failed", None), ("ok", " \n")])
    ]
    write(results, ANSWERED, ANSWERS, rows)
    assert [row["completion"] for row in mixed(results, shares={"teach": 1.0})] == ["yes"] * 3


def test_a_student_with_nothing_to_learn_is_an_error_that_names_it(results):
    write(results, paths.scores("strict", ANSWERED), SCORES, [])
    with pytest.raises(WorkError, match="nothing can be taught") as error:
        mixed(results, shares={"teach": 1.0}, filter="correct")
    assert error.value.where == "r--r1--1"


def test_held_out_items_are_learnt_by_nobody_in_any_round_and_stand_beside_what_is(results):
    first, second = (mixed(results, held_out=0.25, seed=[1, "t", number]) for number in (1, 2))
    apart = {row["uid"] for row in first if row["held_out"]}
    assert len(apart) == 2
    assert {row["uid"] for row in second if row["held_out"]} == apart
    for rows in (first, second):
        assert apart.isdisjoint(row["uid"] for row in rows if not row["held_out"])
    mine = [row for row in first if row["student"] == "r--r1--1"]
    # Shares are counted in the items that are learnt from, and in those that are held out.
    for held_out, counts in ((False, [6, 3, 3]), (True, [2, 1, 1])):
        found = [row["source"] for row in mine if row["held_out"] is held_out]
        assert [found.count(source) for source in ("teach", "self", "best")] == counts
    assert {row["uid"] for row in mixed(results, held_out=0.25, seed=[2, "t", 1]) if row["held_out"]} != apart


def test_nothing_is_held_out_by_default(results):
    assert not any(row["held_out"] for row in mixed(results))
