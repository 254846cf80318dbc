"""Prompts that are too long: what may shrink is cut evenly, what may not stays whole, and what fits is untouched."""

import copy
import pickle
import re

import pytest
from support.items import questions

from moco.engines.render import Renderer, for_server
from moco.models.info import ModelInfo
from moco.prompts import blocks
from moco.prompts.budget import MARK, shortened
from moco.prompts.prompt import Part, Prompt, parts_of

INSTRUCTION, QUESTION, REQUEST = "Improve your answer.", "What is 7 + 8?", "Write a number."


def words(count, name="w"):
    return " ".join(f"{name}{number}" for number in range(count))


def asked(*answers):
    shown = (blocks.candidate(number, text) for number, text in enumerate(answers, 1))
    return blocks.compose(blocks.instruction(INSTRUCTION), QUESTION, *shown, blocks.instruction(REQUEST))


def by_words(prompt, room, count=None):
    """Shorten where every word is a token, as is every mark."""

    def length(text):
        if count is not None:
            count.append(text)
        return len(text.split())

    def ends(texts):
        found = []
        for text in texts:
            at, own = 0, []
            for word in text.split():
                at = text.index(word, at) + len(word)
                own.append(at)
            found.append(own)
        return found

    return shortened(prompt, room, length, ends)


def bodies(text):
    return re.findall(r"^\[[^\]]+\]\n(.*?)\n\[end\]$", text, re.DOTALL | re.MULTILINE)


def test_a_prompt_is_its_text_wherever_nobody_shortens_it():
    prompt = asked("one", "two")
    plain = f"{INSTRUCTION}\n\n{QUESTION}\n\n[answer 1]\none\n[end]\n\n[answer 2]\ntwo\n[end]\n\n{REQUEST}"
    assert prompt == plain
    assert hash(prompt) == hash(plain)
    for same in (copy.deepcopy(prompt), pickle.loads(pickle.dumps(prompt))):
        assert (same, parts_of(same)) == (plain, prompt.parts)
    assert [part.text for part in prompt.parts if part.shrinks] == ["one", "two"]


def test_composing_prompts_keeps_what_may_shrink_and_strips_only_outside():
    inner = Prompt((Part("\n a "), Part(" b \n", shrinks=True), Part(" \n")))
    made = blocks.compose("", inner, " c ", blocks.compose())
    assert made == "a  b\n\nc"
    assert [part.text for part in made.parts if part.shrinks] == [" b"]
    assert blocks.listed(["x", "y\nz"]) == "1) x\n2) y\nz"


def test_questions_in_blocks_never_shrink():
    assert not any(part.shrinks for part in blocks.block("question", QUESTION, shrinks=False).parts)


def test_all_longer_parts_are_cut_to_one_length_and_shorter_ones_stay_whole():
    answers = (words(40, "a"), words(5, "b"), words(20, "c"), "")
    whole = len(asked(*answers).split())
    found = by_words(asked(*answers), whole - 30)
    # 40 and 20 become 15 each, of which one word is the mark; the one of 5 is below that.
    assert bodies(found.text) == [words(14, "a") + MARK, words(5, "b"), words(14, "c") + MARK, ""]
    assert found.left_out == (40 - 14) + (20 - 14)
    assert len(found.text.split()) == whole - 30


@pytest.mark.parametrize("room", range(21, 90))
def test_a_shortened_prompt_fits_and_leaves_less_room_than_one_token_per_part(room):
    answers = (words(40, "a"), words(5, "b"), words(20, "c"))
    prompt = asked(*answers)
    found = by_words(prompt, room)
    length = len(found.text.split())
    assert length <= max(room, len(asked("x", "x", "x").split()))
    assert length > room - 3 or found.text == prompt
    for text in (INSTRUCTION, QUESTION, REQUEST, "[answer 3]\n"):
        assert text in found.text


def test_what_cannot_fit_keeps_its_fixed_parts_and_marks():
    found = by_words(asked(words(9), words(9)), 3)
    assert found.text == asked(MARK.strip(), MARK.strip())
    assert found.left_out == 18
    assert by_words(QUESTION, 1).text == QUESTION


def test_few_lengths_are_taken_however_long_the_prompt():
    taken = []
    by_words(asked(*(words(500, f"n{number}x") for number in range(16))), 3000, taken)
    assert len(taken) <= 3


@pytest.fixture(scope="module")
def renderer(tiny_checkpoint, resolved):
    folder = tiny_checkpoint("base")

    def of(**changes) -> Renderer:
        return Renderer(ModelInfo(**{**vars(resolved(folder)), **changes}), folder.parent)

    return of


@pytest.mark.parametrize("mode", ["chat", "raw"])
def test_a_renderer_shortens_by_its_own_tokens_and_says_what_it_sent(renderer, mode):
    item = questions(1, "multiple_choice")[0]
    texts = [words(number, f"é{number}x") for number in (300, 10, 200, 150)]
    prompt = blocks.compose(
        INSTRUCTION, blocks.question(item), *map(blocks.candidate, range(1, 5), texts), blocks.answer_format(item.type)
    )
    small = renderer(context=1000, prompt_mode=mode)
    rendered = small.render(prompt, 50)
    assert rendered.flag == "shortened"
    assert 950 - 20 <= len(rendered.tokens) <= 950
    assert rendered.text in small._tokenizer.decode(list(rendered.tokens))
    assert rendered.text.startswith(f"{INSTRUCTION}\n\n{blocks.question(item)}\n\n[answer 1]\n")
    assert rendered.text.endswith(f"[end]\n\n{blocks.answer_format(item.type)}")
    whole = len(renderer(context=10**6, prompt_mode=mode).render(prompt, 50).tokens)
    assert whole - len(rendered.tokens) <= rendered.left_out <= whole - len(rendered.tokens) + 20 + 4 * len(MARK)
    assert rendered == small.render(prompt, 50)
    kept = [body.removesuffix(MARK) for body in bodies(rendered.text.split("\n\n", 2)[2])]
    assert all(text.startswith(body) for text, body in zip(texts, kept, strict=True))
    assert kept[1] == texts[1]
    sizes = [len(small._tokenizer(body, add_special_tokens=False)["input_ids"]) for body in kept]
    cut = [size for body, text, size in zip(kept, texts, sizes, strict=True) if body != text]
    assert max(cut) - min(cut) <= 2


@pytest.mark.parametrize("mode", ["chat", "raw"])
def test_what_fits_has_the_tokens_of_its_plain_text(renderer, mode):
    prompt = asked(words(30), words(20))
    plain = renderer(prompt_mode=mode).render(str(prompt), 8)
    length = len(plain.tokens)
    assert renderer(prompt_mode=mode, context=length + 8).render(prompt, 8) == plain
    assert (plain.flag, plain.left_out) == ("ok", 0)
    assert renderer(prompt_mode=mode, context=length + 7).render(prompt, 8).flag == "shortened"


def test_fixed_parts_lose_their_beginning_only_when_they_alone_do_not_fit(renderer):
    prompt = blocks.compose(words(100, "q"), blocks.candidate(1, words(200, "a")), REQUEST)
    rendered = renderer(context=120).render(prompt, 20)
    assert rendered.flag == "truncated"
    assert len(rendered.tokens) <= 100
    assert rendered.text.endswith(f"[answer 1]\n{MARK.strip()}\n[end]\n\n{REQUEST}")
    assert str(blocks.compose(words(100, "q"), blocks.candidate(1, MARK), REQUEST)).endswith(rendered.text)
    assert rendered.left_out > 200


def test_served_models_are_shortened_by_four_characters_a_token():
    prompt = asked("x" * 4000, "y" * 400, "z" * 4000)
    sent = for_server(prompt, 1000, 200)
    assert 800 * 4 - 8 <= len(sent.text) <= 800 * 4
    assert bodies(sent.text)[1] == "y" * 400
    assert sent.left_out > 0
    assert for_server(prompt, 0, 200).text == prompt
    assert for_server(prompt, 10_000, 200).text == prompt
    assert for_server("x" * 9000, 1000, 200).text == "x" * 9000
