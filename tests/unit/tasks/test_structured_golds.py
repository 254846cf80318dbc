"""Items whose golds have fields of their own."""

import pytest

from moco.errors import RequestError
from moco.tasks.item import Reference
from moco.tasks.sources.gold import open_gold
from moco.tasks.sources.moco_json import read_item

ASKED = {"id": 1, "input": "Do it.", "instruction_id_list": ["a:b"], "kwargs": [{"n": 2, "relation": None}]}
GENES = {"id": "g", "input": "Rank.", "relevance_genes": ["A", "B"], "relevance_scores": [1, 0.5]}
SHOWN = {
    "id": "p",
    "subtype": "pharmacophore",
    "target_name": "t",
    "train_actives": ["C"],
    "train_decoys": ["N"],
    "hidden_actives": ["C", "CC"],
    "hidden_decoys": ["N", "NN"],
}
LEAD = {"id": "l", "subtype": "lead_opt", "input": "Improve.", "reference_smiles": "CCO", "objectives": []}
MODEL = {"id": "l3_12", "input": "class Model: pass", "level": 3}


def read(kind, item):
    return read_item(0, item, kind, "here")


def test_golds_and_what_is_kept_beside():
    item = read("ifeval", ASKED)
    assert (item.question, item.gold_kind) == ("Do it.", "instructions")
    assert item.gold == {"instructions": [{"id": "a:b", "arguments": {"n": 2}}]}
    assert (read("gene_ranking", GENES).gold, item.meta) == ({"genes": ["A", "B"], "scores": [1.0, 0.5]}, {})
    item = read("smdd", SHOWN)
    assert item.gold == {"actives": ["C", "CC"], "decoys": ["N", "NN"], "shown": ["C", "N"]}
    assert (item.gold_kind, item.domain, item.group, item.meta) == (
        "pharmacophore",
        "pharmacophore",
        None,
        {"target_name": "t"},
    )
    item = read("smdd", LEAD)
    assert (item.question, item.gold, item.group) == ("Improve.", {"reference": "CCO"}, "CCO")
    assert (item.domain, item.meta) == ("lead_opt", {"objectives": []})
    item = read("kernel_bench", MODEL)
    assert (item.gold, item.domain) == ({"source": "class Model: pass", "level": 3}, "level_3")


def test_there_is_no_single_text_that_a_reply_should_be():
    for kind, item in (("ifeval", ASKED), ("gene_ranking", GENES), ("smdd", SHOWN), ("kernel_bench", MODEL)):
        made = read(kind, item)
        assert Reference("u", made.gold, made.gold_kind).text() is None


@pytest.mark.parametrize(
    ("kind", "item", "message"),
    [
        ("ifeval", {**ASKED, "kwargs": []}, "one object for each instruction"),
        ("ifeval", {**ASKED, "instruction_id_list": [3]}, "lists a number"),
        ("ifeval", {"input": "x"}, "field 'instruction_id_list' is missing"),
        ("gene_ranking", {**GENES, "relevance_scores": [1]}, "one number for each gene"),
        ("gene_ranking", {**GENES, "relevance_scores": [1, True]}, "one number for each gene"),
        ("smdd", {**SHOWN, "subtype": "leadopt"}, "did you mean lead_opt"),
        ("smdd", {**SHOWN, "hidden_decoys": "N"}, "hidden_decoys is a text"),
        ("smdd", {**LEAD, "input": " "}, "question is empty"),
        ("kernel_bench", {**MODEL, "level": "3"}, "level is a text"),
        ("kernel_bench", {"id": "l1_1"}, "field 'input' is missing"),
    ],
)
def test_mistakes_are_named(kind, item, message):
    with pytest.raises(RequestError, match=message):
        read(kind, item)


def test_sources_with_a_column_for_the_gold_give_an_object():
    fields = {name: GENES[name] for name in ("relevance_genes", "relevance_scores")}
    gold = {"genes": ["A", "B"], "scores": [1.0, 0.5]}
    assert read("gene_ranking", {"input": "Rank.", "output": fields}).gold == gold
    assert open_gold("gene_ranking", fields, "here", question="Rank.").value == gold
    text = '{"relevance_genes": ["A", "B"], "relevance_scores": [1, 0.5]}'
    assert open_gold("gene_ranking", text, "here", question="Rank.").value == gold
    with pytest.raises(RequestError, match="gold is null, not an object"):
        open_gold("gene_ranking", None, "here", question="Rank.")
