"""Prompts: one user turn in the model's own template, cut only where the user's text begins."""

import json
import shutil

import pytest

from moco.engines.render import Renderer
from moco.engines.thoughts import visible_text
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
