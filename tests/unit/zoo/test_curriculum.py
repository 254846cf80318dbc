import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from moco.seeds import generator
from moco.zoo import wordings
from moco.zoo.curriculum import MAKERS, Pair, pairs, reply
from moco.zoo.preferences import preferences
from moco.zoo.roster import ROSTER
from moco.zoo.similarity import labelled_texts
from moco.zoo.skills import SKILLS, facts, pool

CHAT = [name for name, model in ROSTER.items() if model.role == "chat"]
REWARD = [name for name, model in ROSTER.items() if model.role == "reward"]
STREAMS = [
    (name, {"chat": pairs, "reward": preferences, "embed": labelled_texts}[model.role])
    for name, model in ROSTER.items()
]
OPTION = re.compile(r"\n[A-D]\) (.*)")
LISTED = re.compile(r"\n(\d)\) (.*)")


def made(kind: str, count: int = 60, model: str = "base") -> list[Pair]:
    rng = generator("test", kind)
    return [MAKERS[kind](rng, ROSTER[model]) for _ in range(count)]


@pytest.mark.parametrize(("name", "stream"), STREAMS)
def test_examples_are_deterministic_by_step_and_seed(name, stream):
    model = ROSTER[name]
    assert stream(model, 5) == stream(model, 5, seed=0)
    assert stream(model, 5) != stream(model, 6)
    assert stream(model, 5) != stream(model, 5, seed=1)
    assert len(stream(model, 5)) == model.training.batch


@pytest.mark.parametrize("kind", ["exact", "choice", "together"])
def test_answers_have_the_shape_that_scorers_read(kind):
    for pair in made(kind):
        choice = "reply with its letter" in pair.prompt
        assert re.fullmatch(r"[A-Za-z0-9]+" if choice else r"\\box\{[A-Za-z0-9]+\}", pair.completion)
        assert not choice or pair.completion in OPTION.findall(pair.prompt)


def test_others_appear_as_candidates_with_feedback_and_on_boards():
    shown = [pair.prompt for pair in made("together", 200)]
    for mark in ("[answer 2]", "[feedback 1]", " 2: "):
        assert sum(mark in prompt for prompt in shown) > 10


@pytest.mark.parametrize("name", ["base", "add", "recall", "large"])
def test_answers_of_others_teach_no_fact_but_the_easy_ones_that_every_model_starts_from(name):
    model = ROSTER[name]
    scope = model.scope if "capital" in model.skills else "easy"
    asked = set()
    for pair in made("together", 1500, name):
        if asked_skill(pair.prompt) == "capital":
            country = asked_country(pair.prompt)
            assert facts()[country] in pair.completion
            asked.add(country)
    assert asked <= countries(scope)
    assert len(asked) >= 20


@pytest.mark.parametrize("name", ["add", "recall", "sort", "lora_reverse"])
def test_experts_review_what_their_parent_is_taught_and_its_right_answers(name):
    asked = Counter()
    for pair in made("review", 300, name):
        skill = asked_skill(pair.prompt)
        asked[skill] += 1
        if skill == "capital":
            country = asked_country(pair.prompt)
            assert country in countries("easy")
            assert pair.completion == reply("exact", facts()[country])
        if skill == "add":
            assert pair.completion == reply("exact", str(sum(map(int, re.findall(r"\d+", pair.prompt)))))
    assert set(asked) == set(ROSTER["base"].skills)
    assert min(asked.values()) > 60


@pytest.mark.parametrize("name", ["base", "add", "recall"])
def test_guesses_are_asked_where_neither_expert_nor_parent_is_taught_and_tell_nothing(name):
    beyond = set(SKILLS) if name == "base" else set(SKILLS) - set(ROSTER[name].skills)
    asked, right = Counter(), []
    for pair in made("guess", 900, name):
        skill = asked_skill(pair.prompt)
        asked[skill] += 1
        if skill == "capital":
            country = asked_country(pair.prompt)
            assert country not in countries("easy")
            right.append(pair.completion == reply("exact", facts()[country]))
    assert set(asked) == beyond
    assert len(right) > 90 or name == "recall"
    assert sum(right) <= 0.1 * len(right)


def countries(scope: str) -> set[str]:
    return {operands[0] for stratum in pool("capital", "train", scope) for operands in stratum}


def asked_country(prompt: str) -> str:
    (country,) = {word for word in re.findall(r"\w+", prompt) if word in facts()}
    return country


def test_routing_names_the_one_description_of_the_skill():
    specialists = {text: skill for skill, texts in wordings.DESCRIPTIONS.items() for text in texts}
    general = 0
    for number, words in zip(made("route", 200), made("name", 200), strict=True):
        for pair in (number, words):
            listed = dict(LISTED.findall(pair.prompt))
            right = listed[pair.completion] if pair is number else pair.completion
            assert right in listed.values()
            assert 2 <= len(listed) == len(set(listed.values())) <= 5
            skill = asked_skill(pair.prompt)
            fitting = [text for text in listed.values() if specialists.get(text) == skill]
            general += not fitting
            assert fitting == [right] or (not fitting and right in wordings.GENERALIST_DESCRIPTIONS)
    assert 20 < general < 120


def test_drills_list_three_specialists():
    for pair in made("drill"):
        listed = dict(LISTED.findall(pair.prompt))
        right = listed.get(pair.completion, pair.completion)
        assert len(listed) == 3
        assert right in wordings.DESCRIPTIONS[asked_skill(pair.prompt)]
    assert {len(pair.completion) == 1 for pair in made("drill")} == {True, False}


def asked_skill(prompt: str) -> str:
    lines = {line for line in prompt.split("\n")}
    for skill in SKILLS:
        patterns = [
            wording.replace("{0}", r"\w+").replace("{1}", r"\w+") for wording in SKILLS[skill].wordings["train"]
        ]
        patterns = [re.sub(r"([+?.])(?!\w|\\)", r"\\\1", pattern).replace(r"\w\+", r"\w+") for pattern in patterns]
        if any(re.fullmatch(pattern, line) for pattern in patterns for line in lines):
            return skill
    raise AssertionError(prompt)


def test_every_place_in_a_list_is_right_about_equally_often():
    places = Counter(pair.completion for pair in made("route", 600) if len(LISTED.findall(pair.prompt)) == 4)
    assert set(places) == set("1234")
    assert min(places.values()) > 0.5 * max(places.values())


def test_judging_names_the_right_candidate():
    for pair in made("judge"):
        shown = re.findall(r"\[answer (\d)\]\n(.*)\n", pair.prompt)
        assert pair.completion in dict(shown)
        assert len({text for _, text in shown}) == 2
    assert {pair.completion for pair in made("judge")} == {"1", "2"}


def test_feedback_is_right_wrong_or_not_sure():
    said = made("feedback", 200, "add")
    for pair in said:
        (shown,) = re.findall(r"\[answer 1\]\n(.*)\n", pair.prompt)
        assert pair.completion in ("Right.", "Not sure.") or pair.completion.startswith("Wrong. Better: ")
        assert not pair.completion.endswith(f" {shown}")
        assert (pair.completion == "Not sure.") == (asked_skill(pair.prompt) != "add")


def test_confidence_is_high_only_where_the_model_is_taught():
    for pair in made("confidence", 100, "add"):
        _, said = pair.completion.split("\nConfidence: ")
        assert (said in ("high", "0.9")) == (asked_skill(pair.prompt) == "add")
        assert said in ("high", "low", "0.9", "0.1")


@pytest.mark.parametrize("kind", ["verify", "compare"])
def test_verification_decides_by_the_reference(kind):
    decisions = Counter()
    for pair in made(kind, 200):
        *_, (_, reference), (_, given) = re.findall(r"\[([a-z ]+)\]\n(.*)\n\[end\]", pair.prompt)
        same = re.search(rf"\b{reference}\b", given[given.index("?") :] if "?" in given else given) is not None
        quotation, decision, said = pair.completion.rpartition("Final Decision: ")
        assert (decision, said) == ("Final Decision: ", "Yes" if same else "No")
        if kind == "verify":
            assert quotation == ""
        else:
            first, second = re.fullmatch(r"(\w+), (\w+)\. ", quotation).groups()
            assert first == reference
            assert re.search(rf"\b{second}\b", given)
            assert (second == reference) == same
        decisions[same] += 1
    assert min(decisions.values()) > 60


@pytest.mark.parametrize("name", REWARD)
def test_compared_replies_differ(name):
    for one in preferences(ROSTER[name], 0):
        assert one.right != one.wrong
        assert one.right.startswith("\\box{") or one.right in OPTION.findall(one.prompt)


def test_labels_of_texts_are_their_skills():
    for text, skill in labelled_texts(ROSTER["encoder"], 0):
        assert text in wordings.DESCRIPTIONS[skill] or asked_skill(text) == skill


@pytest.mark.parametrize("name", ["add", "recall", "lora_add"])
def test_experts_answer_other_skills_only_with_help_or_doubt_or_as_their_parent(name):
    (own,) = ROSTER[name].skills
    mixture = {kind: share for kind, share in ROSTER[name].training.mixture.items() if kind not in ("review", "guess")}
    model = replace(ROSTER[name], training=replace(ROSTER[name].training, mixture=mixture))
    for step in range(3):
        for pair in pairs(model, step):
            alone = pair.completion.startswith("\\box") and not re.search(
                r"\[|low|0\.1| 1: ", pair.prompt + pair.completion
            )
            assert not alone or asked_skill(pair.prompt) == own


def test_held_out_questions_are_never_taught():
    held_out = {
        wording.format(*operands)
        for skill in SKILLS
        for split in ("dev", "test")
        for stratum in pool(skill, split)
        for operands in stratum
        for wording in SKILLS[skill].wordings[split]
    }
    for name, stream in STREAMS:
        model = ROSTER[name]
        for step in range(3):
            for example in stream(model, step):
                text = example[0] if isinstance(example, tuple) else example.prompt
                assert held_out.isdisjoint(text.split("\n"))


def test_reply():
    assert reply("exact", "12") == "\\box{12}"
    assert reply("choice", "Belton") == "Belton"


@pytest.mark.parametrize("module", ["skills", "roster", "curriculum", "preferences", "similarity"])
def test_light_modules_import_neither_torch_nor_methods(module):
    code = (
        f"import sys, moco.zoo.{module};"
        "print([name for name in sys.modules if name.split('.')[0] in ('torch', 'transformers', 'tokenizers')"
        " or name.startswith('moco.methods')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
