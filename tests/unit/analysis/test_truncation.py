"""Replies that reached the token limit are counted, once each, for models and methods alike."""

from support.studies import call

from moco.analysis.render import to_csv
from moco.analysis.tables import make_table, tables_of


def counted(study):
    table = make_table("moco_truncated", study.spec, study.results)
    return {(row[1], row[3]): dict(zip(table.columns[4:], row[4:], strict=True)) for row in table.rows}


def counts(replies, cut, share, answers, unreadable, prompts, shortened=0, left_out=0):
    return dict(zip(COLUMNS, (replies, cut, share, answers, unreadable, prompts, shortened, left_out), strict=True))


COLUMNS = (
    *("replies", "cut replies", "share of cut replies (%)"),
    *("answers that read one (%)", "of these unreadable"),
    *("cut prompts", "shortened prompts", "prompt tokens left out"),
)


def test_replies_of_single_models_over_seeds(study):
    study.task("t")
    study.spec["pools"] = {"p": ["a", "b"]}
    study.single("a", "t", [1, "unparsed", 0, 0], ["unparsed", 1, "failed gone", 0], cut=(0, 1))
    study.single("b", "t", [1, 1])
    found = counted(study)
    # The failed item has no reply; of four cut ones, the second of the first seed and the first of the second are unread.
    assert found["a", "t"] == counts(7, 4, 4 / 7, 4 / 7, 2, 0)
    assert found["b", "t"] == counts(2, 0, 0.0, 0.0, 0, 0)


def test_replies_that_a_method_reads(study):
    study.task("t")
    study.spec["pools"] = {"p": ["a", "b"]}
    uids = [f"t/test/{number}" for number in range(4)]
    calls = [
        call(uids[0], finish="length"),
        call(
            uids[0], call=1, kind="own", round=0, key="x", finish="length", prompt_flag="truncated", prompt_cut_tokens=7
        ),
        # Two models write one joint reply.
        call(uids[1], kind="joint", round=0, key="j", model="a", finish="length"),
        call(uids[1], call=1, kind="joint", round=0, key="j", model="b", finish="length"),
        # The same reply read in another round is read twice.
        call(uids[2], kind="own", round=0, key="y", prompt_flag="shortened", prompt_cut_tokens=30),
        call(uids[2], call=1, kind="own", round=1, key="y"),
        # Logits of a given text are no reply.
        call(uids[3], kind="logits", finish="scored"),
        call(uids[3], call=1),
    ]
    study.method("p", "m", "text", "t", ["unparsed", 1, "unparsed", 0], calls=calls)
    assert counted(study)["m", "t"] == counts(6, 3, 1 / 2, 2 / 4, 1, 1, 1, 37)


def test_the_table_is_one_of_the_study_and_plain_csv(zoo):
    assert "moco_truncated" in tables_of(zoo.spec)
    lines = to_csv(make_table("moco_truncated", zoo.spec, zoo.results)).splitlines()
    assert lines[0] == (
        "pool,system,level,task,replies,cut replies,share of cut replies,answers that read one,of these unreadable,"
        "cut prompts,shortened prompts,prompt tokens left out"
    )


def test_nothing_answered_has_no_share(study):
    study.task("t")
    study.spec["pools"] = {"p": ["a"]}
    study.single("a", "t", ["failed gone"])
    assert counted(study)["a", "t"] == counts(0, 0, "-", "-", 0, 0)
