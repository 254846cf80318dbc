"""Drug design: functions that tell molecules apart, and molecules that keep to constraints."""

import pytest

pytest.importorskip("rdkit", reason="needs the extra `molecules`")

from moco.errors import RequestError
from moco.scoring import molecules
from moco.scoring.base import Case, CodeTools, Tools
from moco.scoring.catalogue import scorer_for
from moco.scoring.molecules import broken_constraints, molecule_in
from moco.scoring.sandbox import runs
from moco.tasks.item import Question, Reference
from moco.tasks.sources.moco_json import read_item

ACIDS = ["CC(=O)O", "OC(=O)CC", "O=C(O)c1ccccc1", "OC(=O)CCC"]
OTHERS = ["CCO", "c1ccccc1", "CCN", "CCC"]
ITEM = {
    "id": "x",
    "subtype": "pharmacophore",
    "target_name": "t",
    "train_actives": ACIDS[:1],
    "train_decoys": OTHERS[:1],
    "hidden_actives": [*ACIDS, "not a molecule"],
    "hidden_decoys": OTHERS,
}
REFERENCE = "Cc1cnc2[nH]cc(C(=O)c3c(F)ccc(NS(=O)(=O)c4ccccc4F)c3F)c2c1"
TOOLS = Tools(workers=2, code=CodeTools())


def case(reply, item=ITEM):
    raw = read_item(0, item, "smdd", "here")
    question = Question("u", "t", "test", "smdd", raw.question, raw.question)
    return Case(question, Reference("u", raw.gold, raw.gold_kind, meta=raw.meta), reply)


def verdicts(rules, *cases):
    return scorer_for("smdd", rules).score_all(cases, TOOLS)


def program(body):
    return f"Here it is:\n```python\ndef check_pharmacophore(smiles):\n    {body}\n```\n"


@pytest.fixture(scope="module", autouse=True)
def _sandbox():
    try:
        runs.runner("bwrap")
    except RequestError as error:
        pytest.skip(str(error))


def test_a_question_shows_molecules_but_none_that_are_hidden():
    question = case("").question.question
    assert ACIDS[0] in question
    assert OTHERS[0] in question
    assert ACIDS[2] not in question
    assert "not a molecule" not in question


def test_functions_are_called_on_hidden_molecules():
    smarts = (
        "from rdkit import Chem; return Chem.MolFromSmiles(smiles).HasSubstructMatch(Chem.MolFromSmarts('C(=O)[OH]'))"
    )
    replies = [
        program(smarts),
        program("return True"),
        program("return 'C' in smiles"),
        program("return len(smiles) > 5"),
    ]
    found = verdicts("paper-1.1", *map(case, replies))
    assert [each.score for each in found] == [1, 0.5, (1 + 1 / 4) / 2, (1 + 3 / 4) / 2]
    found = verdicts("strict", *map(case, replies))
    assert [each.score for each in found] == [1, 0.5, pytest.approx((1 + 1 / 3) / 2), pytest.approx((1 + 2 / 3) / 2)]
    assert found[0].details == {"pharmacophore": 1, "recall": 1, "specificity": 1}


def test_remembering_what_was_shown_is_worth_nothing_under_strict():
    reply = program(f"return smiles in {ACIDS[:1]}")
    assert [verdicts(rules, case(reply))[0].score for rules in ("paper-1.1", "strict")] == [(1 / 4 + 1) / 2, 0.5]


def test_only_true_and_false_count_for_the_original():
    replies = [program("return 1"), program("import numpy; return numpy.bool_(True)"), program("return None")]
    assert [each.score for each in verdicts("paper-1.1", *map(case, replies))] == [0, 0, 0]
    assert [each.score for each in verdicts("strict", *map(case, replies))] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    "source",
    [
        "def other(smiles): return True",
        "def check_pharmacophore(smiles): raise AssertionError('counts 4 4')",
        "import os\nos._exit(0)\ndef check_pharmacophore(smiles): return True",
        "def check_pharmacophore(smiles): return 1 / (len(smiles) - 3) > 0",
        "def check_pharmacophore(smiles):",
        "",
    ],
)
def test_a_failure_on_any_molecule_is_0(source):
    assert [verdicts(rules, case(source))[0].score for rules in ("paper-1.1", "strict")] == [0, 0]


def lead(reply):
    return case(reply, {"id": "y", "subtype": "lead_opt", "reference_smiles": REFERENCE, "input": "Improve it."})


METHYLATED = "Cc1cnc2[nH]cc(C(=O)c3c(F)ccc(NS(=O)(=O)c4ccccc4F)c3F)c2c1C"


def test_designed_molecules_keep_to_constraints():
    replies = [METHYLATED, f"It is:\n`{METHYLATED}`\nYes.", REFERENCE, "CCO", f"{METHYLATED}.Cl", "no idea", ""]
    for rules in ("paper", "paper-1.1", "strict"):
        assert [each.score for each in verdicts(rules, *map(lead, replies))] == [1, 1, 0, 0, 0, 0, 0]
    found = verdicts("strict", lead(METHYLATED), lead("CCO"), lead(""))
    assert [each.details["lead_opt_constraints"] for each in found] == [1, 0, 0]
    assert found[1].details["broken"] == "similar"
    assert [each.status for each in found] == ["ok", "ok", "unparsed"]


@pytest.mark.parametrize(
    ("smiles", "broken"),
    [
        ("C" * 45, {"weight", "logp", "rotatable_bonds"}),
        ("[CH3]", {"radicals"}),
        ("OCC(O)C(O)C(O)C(O)CO", {"donors"}),
        ("[O-][N+](=O)c1ccccc1", {"alerts"}),
        ("C(", {"readable"}),
    ],
)
def test_each_constraint(smiles, broken):
    assert broken <= set(broken_constraints(smiles, REFERENCE))


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("CCO", "CCO"),
        ("Try this:\n  'CCO'  \nor\nCCN", "CCO"),
        ("use `not it` or `CCN`, say", "CCN"),
        ("The answer is CCN.", "CCN"),
        ("The answer is 'CCN'!", "CCN"),
        ("nothing here", None),
        ("", None),
    ],
)
def test_the_molecule_of_a_reply(reply, found):
    assert molecule_in(reply) == found


def test_without_rdkit_nothing_is_scored(monkeypatch):
    monkeypatch.setattr(molecules, "find_spec", lambda _: None)
    with pytest.raises(RequestError, match="rdkit, which is not installed"):
        verdicts("strict", lead("CCO"))
