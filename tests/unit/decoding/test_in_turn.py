"""Models that write in turn: what can be taken back, scored and written in a name, in any vocabulary."""

from math import log

import pytest
import torch
from support.scripted_steps import ScriptedModel, about, byte_tokenizer

from moco.config.decoding import Decoding
from moco.decoding.loop import Row
from moco.decoding.pieces import Pieces, complete
from moco.decoding.reader import reads_gaps
from moco.decoding.session import Session
from moco.decoding.stepper import Stepper


@pytest.fixture
def batch():
    """Two models; the first says `a` after an even number of bytes, else `b`; the second counts in tens."""
    models = [
        ScriptedModel(lambda reply: {ord("ab"[len(reply) % 2]): 0.75, ord("z"): 0.25}, byte_tokenizer()),
        ScriptedModel(lambda reply: {ord("0") + len(reply) % 10: 1.0}, byte_tokenizer(("ab",))),
    ]
    rows = []
    for name in ("one", "two"):
        ids = [model.tokenizer(f"{name}|", add_special_tokens=False)["input_ids"] for model in models]
        rows.append(Row(name, ids[0], Decoding(max_new_tokens=9, temperature=0), None, ids))
    return Session(models, [about("x", "first"), about("y", "second")]).in_turn(rows)


def step(batch, member, *replies):
    proposals = batch.propose(member, replies)
    for reply, proposal in zip(replies, proposals, strict=True):
        batch.append(reply, proposal)
    return [proposal.text for proposal in proposals]


def test_what_is_taken_back_was_never_written(batch):
    one, two = batch.alive
    for _ in range(3):
        step(batch, 0, one, two)
    assert step(batch, 1, one, two) == ["3", "3"]
    batch.roll_back(one, 1)
    assert (one.text, two.text) == ("a", "aba3")
    # Each goes on from its own text, and is read by the model of the other vocabulary.
    assert step(batch, 1, one) == ["1"]
    assert step(batch, 0, one, two) == ["a", "a"]
    batch.roll_back(two, 0)
    assert step(batch, 0, two) == ["a"]
    assert (one.text, two.text, one.author) == ("a1a", "a", 0)


def test_a_text_is_scored_where_it_would_stand_and_changes_nothing(batch):
    one, two = batch.alive
    step(batch, 0, one)
    found = batch.score(0, [one, two], ["ba", "bb"])
    assert found[0] == pytest.approx([log(0.75)] * 2)
    assert found[1][0] < -1000
    assert found[1][1] == pytest.approx(log(0.75))
    assert step(batch, 0, one, two) == ["b", "a"]


def test_a_row_that_ends_leaves_and_the_others_go_on(batch):
    one, two = batch.alive
    step(batch, 0, one, two)
    batch.append_text(two, 1, "xyz")
    batch.end(one, "stop")
    [row] = batch.finished()
    assert (row.key, row.text, row.stopped, row.segments) == ("one", "a", True, [(0, 0, 1, round(log(0.75), 6))])
    assert batch.alive == [two]
    assert step(batch, 1, two) == ["4"]
    for _ in range(6):
        step(batch, 0, two)
    [row] = batch.finished()
    assert (row.text, row.stopped) == ("axyz4bababa", False)
    assert [(place, row.text[start:end]) for place, start, end, _ in row.segments[:3]] == [
        (0, "a"),
        (1, "xyz"),
        (1, "4"),
    ]


def test_bytes_of_pieces_make_any_text_again():
    pieces = Pieces(byte_tokenizer(("word",)))
    for text in ("word é 😀\n\u3000x", "<|end|> is text here", ""):
        assert b"".join(map(pieces.of, pieces.encode(text))).decode() == text
    data = "a😀".encode()
    assert [complete(data[:length]) for length in range(6)] == [0, 1, 1, 1, 1, 5]
    assert complete(b"\xff") == 1


def test_gaps_in_a_batch_are_tried_before_they_are_relied_on():
    from transformers import GPTNeoConfig, GPTNeoForCausalLM, LlamaConfig, LlamaForCausalLM

    sizes = {"vocab_size": 60, "hidden_size": 32, "initializer_range": 0.4}
    torch.manual_seed(0)
    llama = LlamaForCausalLM(
        LlamaConfig(**sizes, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2)
    ).double()
    # Its local attention counts a window in places of the batch.
    window = GPTNeoForCausalLM(
        GPTNeoConfig(**sizes, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]], window_size=8)
    ).double()
    with torch.inference_mode():
        for model, good in ((llama.eval(), True), (window.eval(), False)):

            def start(prompts, model=model):
                return Stepper(model, torch.device("cpu"), prompts)

            assert reads_gaps(start) is good
