"""Prompts: one user turn in the model's own template, cut only where the user's text begins."""

import json
import shutil
from pathlib import Path

import pytest

from moco.engines.render import Renderer
from moco.engines.thoughts import ReplyText, visible_text
from moco.errors import RequestError
from moco.models.info import ModelInfo


@pytest.fixture(scope="module")
def renderer(tiny_checkpoint, resolved):
    folder = tiny_checkpoint("base")

    def of(**changes) -> Renderer:
        info = resolved(folder)
        return Renderer(ModelInfo(**{**vars(info), **changes}), folder.parent)

    return of


def with_tokenizer(folder, target, change):
    """Copy a checkpoint with another tokenizer configuration."""
    shutil.copytree(folder, target)
    config = json.loads((target / "tokenizer_config.json").read_text())
    change(target, config)
    (target / "tokenizer_config.json").write_text(json.dumps(config))
    return target


def template(text):
    def change(folder, config):
        config.pop("chat_template", None)
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        if text is not None:
            (folder / "chat_template.jinja").write_text(text)

    return change


def text_of(renderer: Renderer, tokens) -> str:
    return renderer._tokenizer.decode(list(tokens))


def test_a_prompt_is_one_user_turn_in_the_template(renderer):
    rendered = renderer().render("What is 1 + 1?", 8)
    assert text_of(renderer(), rendered.tokens) == "<|user|>What is 1 + 1?<|end|><|assistant|>"
    assert (rendered.flag, rendered.thinking) == ("ok", False)


def test_a_template_that_begins_with_bos_gives_one_bos(tiny_checkpoint, resolved, tmp_path):
    def change(folder, config):
        template("<|pad|>{{ messages[0]['content'] }}")(folder, config)
        data = json.loads((folder / "tokenizer.json").read_text())
        bos = {"SpecialToken": {"id": "<|pad|>", "type_id": 0}}
        data["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<|pad|>": {"id": "<|pad|>", "ids": [0], "tokens": ["<|pad|>"]}},
        }
        (folder / "tokenizer.json").write_text(json.dumps(data))

    folder = with_tokenizer(tiny_checkpoint("base"), tmp_path / "bos", change)
    chat = Renderer(resolved(folder), tmp_path)
    assert chat._tokenizer("x")["input_ids"][0] == 0
    assert list(chat.render("hello", 4).tokens).count(0) == 1
    assert chat.render("hello", 4).tokens[0] == 0
    raw = Renderer(ModelInfo(**{**vars(resolved(folder)), "prompt_mode": "raw"}), tmp_path)
    assert list(raw.render("hello", 4).tokens).count(0) == 1


def test_without_a_template_the_prompt_is_raw(tiny_checkpoint, resolved, tmp_path):
    folder = with_tokenizer(tiny_checkpoint("base"), tmp_path / "raw", template(None))
    info = resolved(folder)
    assert info.prompt_mode == "raw"
    raw = Renderer(info, tmp_path)
    assert text_of(raw, raw.render("What?\n", 4).tokens) == "What?\n"


@pytest.mark.parametrize("mode", ["chat", "raw"])
def test_a_prompt_that_is_too_long_loses_its_beginning_and_is_flagged(renderer, mode):
    text = " ".join(f"word{number}" for number in range(200))
    small = renderer(context=60, prompt_mode=mode)
    rendered = small.render(text, 20)
    said = text_of(small, rendered.tokens)
    head, foot = ("<|user|>", "<|end|><|assistant|>") if mode == "chat" else ("", "")
    assert rendered.flag == "truncated"
    assert 35 <= len(rendered.tokens) <= 40
    assert said.startswith(head)
    assert said.endswith("word199" + foot)
    assert text.endswith(said.removeprefix(head).removesuffix(foot))


def test_a_prompt_that_just_fits_is_whole(renderer):
    text = "word " * 10
    length = len(renderer().render(text, 4).tokens)
    assert renderer(context=length + 4).render(text, 4).flag == "ok"
    assert renderer(context=length + 3).render(text, 4).flag == "truncated"


@pytest.mark.parametrize("reply", [60, 58, 100])
def test_a_reply_that_leaves_no_room_is_refused(renderer, reply):
    with pytest.raises(
        RequestError,
        match=rf"models\.tiny: context of 60 tokens leaves no room for a prompt with {reply} new tokens; lower max_new",
    ):
        renderer(context=60).render("word " * 100, reply)


def test_a_template_may_open_a_thought(tiny_checkpoint, resolved, tmp_path):
    opened = template("<|user|>{{ messages[0]['content'] }}<|assistant|><think>\n")
    folder = with_tokenizer(tiny_checkpoint("base"), tmp_path / "thinking", opened)
    thinking = Renderer(resolved(folder), tmp_path)
    assert thinking.render("why?", 4).thinking
    assert thinking.render("word " * 1000, 4).thinking
    assert not Renderer(resolved(tiny_checkpoint("base")), tiny_checkpoint("base").parent).render("<think>", 4).thinking


def test_an_adapter_without_a_tokenizer_uses_that_of_its_base(tiny_checkpoint, tiny_adapter, resolved):
    folder = tiny_checkpoint("base")
    info = resolved(folder)
    changes = {"location": str(tiny_adapter(1)), "base": {"location": info.location}}
    adapter = Renderer(ModelInfo(**{**vars(info), **changes}), folder.parent)
    assert adapter.render("x y", 4) == Renderer(info, folder.parent).render("x y", 4)


@pytest.mark.parametrize("day", ["2026-01-01", "2024-02-29"])
def test_templates_take_the_study_s_day_for_today(tiny_checkpoint, resolved, tmp_path, day):
    dated = template("{{ strftime_now('%d %b %Y') }} {{ messages[0]['content'] }} {{ strftime_now('%H:%M') }}")
    folder = with_tokenizer(tiny_checkpoint("base"), tmp_path / "dated", dated)
    info = ModelInfo(**{**vars(resolved(folder)), "template_date": day})
    said = {"2026-01-01": "01 Jan 2026", "2024-02-29": "29 Feb 2024"}[day]
    renderer = Renderer(info, tmp_path)
    assert text_of(renderer, renderer.render("hello", 4).tokens) == f"{said} hello 00:00"
    assert text_of(renderer, renderer.conversation("hello", "x", 100)) == f"{said} hello 00:00"


def with_tokens_around(folder: Path, target: Path, single: list[str]) -> Path:
    """Copy a checkpoint without a template whose tokenizer puts special tokens around every text; $A is the text."""

    def change(folder, config):
        template(None)(folder, config)
        config |= {"bos_token": "<|pad|>", "eos_token": "<|end|>"}
        data = json.loads((folder / "tokenizer.json").read_text())
        parts = [
            {"Sequence": {"id": "A", "type_id": 0}} if each == "$A" else {"SpecialToken": {"id": each, "type_id": 0}}
            for each in single
        ]
        ids = {"<|pad|>": 0, "<|end|>": 1}
        data["post_processor"] = {
            "type": "TemplateProcessing",
            "single": parts,
            "pair": [*parts, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in ids},
        }
        (folder / "tokenizer.json").write_text(json.dumps(data))

    return with_tokenizer(folder, target, change)


AROUND = {
    "an end": (["$A", "<|end|>"], "hello", ([], [])),
    "a beginning and an end": (["<|pad|>", "$A", "<|end|>"], "hello", ([0], [])),
    "a beginning": (["<|pad|>", "$A"], "hello", ([0], [])),
    "an end for a beginning": (["<|end|>", "$A"], "hello", ([1], [])),
    "a beginning of the prompt's own": (["<|pad|>", "$A", "<|end|>"], "<|pad|>hello", ([], [])),
    "an end of the prompt's own": (["<|pad|>", "$A", "<|end|>"], "hello<|end|>", ([0], [])),
    "nothing": (["<|pad|>", "$A", "<|end|>"], "", ([0], [])),
}


@pytest.mark.parametrize("name", AROUND)
def test_a_raw_prompt_keeps_its_beginning_and_has_no_end(tiny_checkpoint, resolved, tmp_path, name):
    single, prompt, (before, after) = AROUND[name]
    folder = with_tokens_around(tiny_checkpoint("base"), tmp_path / "around", single)
    raw = Renderer(resolved(folder), tmp_path)
    own = raw._tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert list(raw.render(prompt, 4).tokens) == [*before, *own, *after]
    if len(prompt) == len("hello"):
        long = raw.render("hello " * 1000, 4)
        assert list(long.tokens[: len(before)]) == before
        assert (long.flag, long.tokens[-1] in (0, 1)) == ("truncated", False)


@pytest.mark.parametrize(("opened", "closed"), [("<think>", "</think>"), ("[THINK]", "[/THINK]")])
@pytest.mark.parametrize("special", [True, False])
def test_marks_of_thoughts_that_are_tokens_stay_in_the_text(tiny_checkpoint, opened, closed, special):
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint("base"))
    marks = [AddedToken(mark, special=special) for mark in (opened, closed)]
    tokenizer.add_tokens(marks, special_tokens=special)
    ids = tokenizer(f"{opened}It is 3 + 4.{closed} 7<|end|>", add_special_tokens=False)["input_ids"]
    reply = ReplyText(tokenizer)
    assert visible_text(reply.of(ids)) == ("7", "closed")
    inside = ids[: ids.index(tokenizer.convert_tokens_to_ids(closed))]
    assert visible_text(reply.of(inside)) == ("", "unclosed")
    plain = tokenizer("no thought<|end|>", add_special_tokens=False)["input_ids"]
    assert reply.of(plain) == "no thought"
    assert reply.opens(f"say: {opened}\n")
    assert not reply.opens("say: ")


VISIBLE = {
    "no thought": (" 42\n", False, ("42", "none")),
    "empty": ("", False, ("", "none")),
    "closed": ("<think>a</think> b", False, ("b", "closed")),
    "closed without an answer": ("<think>a</think>", False, ("", "closed")),
    "nested": ("<think>a<think>b</think>c</think>d", False, ("d", "closed")),
    "two": ("<think>a</think>b<think>c</think>d", False, ("d", "closed")),
    "unclosed": ("b<think>a", False, ("", "unclosed")),
    "opened again and not closed": ("<think>a</think>b<think>c", False, ("", "unclosed")),
    "opened by the template and closed": ("a</think>b", True, ("b", "closed")),
    "opened by the template and not closed": ("a", True, ("", "unclosed")),
    "opened by the template and empty": ("", True, ("", "unclosed")),
    "closed without being opened": ("a</think>b", False, ("b", "closed")),
}


@pytest.mark.parametrize("name", VISIBLE)
def test_thoughts_are_removed(name):
    text, thinking, expected = VISIBLE[name]
    assert visible_text(text, thinking=thinking) == expected
