import re
import subprocess
import sys

import pytest

from moco.zoo.curriculum import pairs, reply
from moco.zoo.roster import ROSTER
from moco.zoo.skills import SKILLS, pool


@pytest.mark.parametrize("name", ROSTER)
def test_pairs_are_deterministic_by_step(name):
    model = ROSTER[name]
    assert pairs(model, 5) == pairs(model, 5)
    assert pairs(model, 5) != pairs(model, 6)
    assert len(pairs(model, 5)) == model.training.batch


@pytest.mark.parametrize("name", ROSTER)
def test_completions_have_the_shape_that_scorers_read(name):
    for step in range(3):
        for pair in pairs(ROSTER[name], step):
            choice = "reply with its letter" in pair.prompt
            assert re.fullmatch(r"[A-Za-z0-9]+" if choice else r"\\box\{[A-Za-z0-9]+\}", pair.completion)
            assert not choice or f") {pair.completion}\n" in pair.prompt


def test_every_shape_is_taught():
    made = [pair for step in range(3) for pair in pairs(ROSTER["add"], step)]
    together = [pair for pair in made if "[answer 1]" in pair.prompt]
    assert together
    alone = [pair for pair in made if pair not in together]
    assert (
        {"\\box{" in pair.completion for pair in alone}
        == {"\\box{" in pair.completion for pair in together}
        == {True, False}
    )


def test_experts_see_other_skills_only_with_answers_of_others():
    for step in range(3):
        for pair in pairs(ROSTER["recall"], step):
            assert "apital" in pair.prompt or "[answer 1]" in pair.prompt


def test_held_out_questions_are_never_taught():
    held_out = {
        wording.format(*operands)
        for skill in SKILLS
        for split in ("dev", "test")
        for stratum in pool(skill, split)
        for operands in stratum
        for wording in SKILLS[skill].wordings[split]
    }
    for model in ROSTER.values():
        for step in range(5):
            for pair in pairs(model, step):
                assert held_out.isdisjoint(pair.prompt.split("\n"))


def test_reply():
    assert reply("exact", "12") == "\\box{12}"
    assert reply("choice", "Belton") == "Belton"


@pytest.mark.parametrize("module", ["skills", "roster", "curriculum"])
def test_light_modules_import_neither_torch_nor_methods(module):
    code = (
        f"import sys, moco.zoo.{module};"
        "print([name for name in sys.modules if name.split('.')[0] in ('torch', 'transformers', 'tokenizers')"
        " or name.startswith('moco.methods')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
