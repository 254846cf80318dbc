"""Models that write in turn: what can be taken back, scored and written in a name, in any vocabulary."""

from collections import Counter
from dataclasses import dataclass
from math import log

import pytest
import torch
from support.scripted_steps import END, ScriptedModel, about, byte_tokenizer

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
    made = Session(models, [about("x", "first"), about("y", "second")]).in_turn(rows)
    made.models = models
    return made


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


def test_a_reply_that_ended_goes_on_when_its_end_is_taken_back(batch):
    one, two = batch.alive
    for _ in range(9):
        step(batch, 0, one)
    batch.end(two, "stop")
    assert (one.ended, two.ended) == ("length", "stop")
    batch.roll_back(one, 8)
    batch.roll_back(two, 0)
    assert list(batch.finished()) == []
    assert step(batch, 0, one, two) == ["a", "a"]
    assert [row.text for row in batch.finished()] == ["ababababa"]


def test_a_row_is_scored_with_several_texts_and_only_what_is_new_is_read(batch):
    one, two = batch.alive
    step(batch, 0, one, two)
    step(batch, 0, one, two)
    model = batch.models[0]
    model.reads.clear()
    found = batch.score(0, [two, one, two], ["az", "a", "zab"])
    assert found == [
        pytest.approx([log(0.75), log(0.25)]),
        pytest.approx([log(0.75)]),
        pytest.approx([log(0.25), -1e4, -1e4], rel=0.01),
    ]
    assert model.reads == [[1, 1]]
    assert step(batch, 0, one, two) == ["a", "a"]


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


DRAFT, TARGET = 0, 1


@dataclass(frozen=True)
class Speculative:
    """Decoding that is as if the target wrote alone (2211.17192): it checks what the draft model wrote some tokens ahead."""

    ahead: int = 2
    one_vocabulary = True

    def key(self):
        return ["speculative", self.ahead]

    def members(self, fingerprints):
        return list(range(len(fingerprints))), self

    def run(self, session, rows):
        batch = session.in_turn(rows)
        while batch.alive:
            starts = {reply: reply.pieces for reply in batch.alive}
            drafts = self._drafted(batch)
            for reply, start in starts.items():
                batch.roll_back(reply, start)
            checked, place = list(batch.alive), 0
            while checked:
                refused, left, going = [], [], []
                for reply, wanted in zip(checked, batch.probabilities(TARGET, checked), strict=True):
                    proposal, drawn_by = drafts[reply][place]
                    if batch.uniform(reply, "accept") * drawn_by[proposal.token] < wanted[proposal.token]:
                        batch.append(reply, proposal)
                        going += [reply] if place + 1 < len(drafts[reply]) else []
                    else:
                        refused.append(reply)
                        left.append((wanted - drawn_by).clamp(min=0))
                if refused:
                    drawn = batch.draw(TARGET, refused, torch.stack(left), "instead")
                    for reply, proposal in zip(refused, drawn, strict=True):
                        batch.append(reply, proposal)
                checked, place = going, place + 1
            yield from batch.finished()

    def _drafted(self, batch):
        drafts = {reply: [] for reply in batch.alive}
        for _ in range(self.ahead):
            writing = [reply for reply in batch.alive if reply.ended is None]
            if writing:
                chances = batch.probabilities(DRAFT, writing)
                for reply, own, proposal in zip(writing, chances, batch.propose(DRAFT, writing), strict=True):
                    drafts[reply].append((proposal, own))
                    batch.append(reply, proposal)
        return drafts


def pair_of_scripts():
    """A draft model and a target that differ in all places; both may end."""
    tokenizer = byte_tokenizer()
    draft = ScriptedModel(lambda _reply: {ord("a"): 0.5, ord("b"): 0.4, END: 0.1}, tokenizer)
    later = {ord("a"): 0.1, ord("b"): 0.3, ord("c"): 0.4, END: 0.2}
    target = ScriptedModel(lambda reply: later if reply.endswith(b"b") else {ord("a"): 0.7, ord("b"): 0.3}, tokenizer)
    return [draft, target]


def written(decoding, seeds, program=None):
    models = pair_of_scripts()
    prompt = models[0].tokenizer("p|", add_special_tokens=False)["input_ids"]
    rows = [Row(str(seed), prompt, decoding, seed, [prompt, prompt]) for seed in seeds]
    program = Speculative() if program is None else program
    done = list(Session(models, [about("x", "same"), about("y", "same")]).run(program, rows))
    assert sorted(row.key for row in done) == sorted(row.key for row in rows)
    return {row.key: row for row in done}


def chance(text, stopped):
    """Probability that the target alone writes a text of at most three tokens."""
    chance = 1.0
    for place, char in enumerate(text):
        after = {"a": 0.1, "b": 0.3, "c": 0.4} if text[:place].endswith("b") else {"a": 0.7, "b": 0.3}
        chance *= after.get(char, 0)
    return chance * (0.2 if text.endswith("b") else 0.0) if stopped else chance


def test_an_exact_rule_of_speculative_decoding_writes_with_the_probabilities_of_the_target():
    """What it writes is drawn from the target's distribution, however much the draft model's differs."""
    runs = 3000
    rows = written(Decoding(max_new_tokens=3, temperature=1.0, top_p=1.0), range(runs))
    counts = Counter((row.text, row.stopped) for row in rows.values())
    chances = {one: chance(*one) for one in counts}
    assert sum(chances.values()) == pytest.approx(1)
    distance = sum((count - runs * chances[one]) ** 2 / (runs * chances[one]) for one, count in counts.items())
    freedom = len(counts) - 1
    assert distance < freedom + 4 * (2 * freedom) ** 0.5
    authors = Counter(segment[0] for row in rows.values() for segment in row.segments)
    assert authors[DRAFT] > authors[TARGET] > runs // 4


def test_speculative_decoding_writes_the_same_alone_and_greedily_what_the_target_prefers():
    decoding = Decoding(max_new_tokens=3, temperature=1.0, top_p=0.9)
    together = written(decoding, range(20))
    for seed in (0, 7, 19):
        [alone] = written(decoding, [seed]).values()
        assert (alone.text, alone.segments) == (together[str(seed)].text, together[str(seed)].segments)
    [greedy] = written(Decoding(max_new_tokens=3, temperature=0), [None]).values()
    assert greedy.text == "aaa"


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
