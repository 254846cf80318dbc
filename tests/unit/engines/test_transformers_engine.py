"""The embedded engine on tiny random models: exact, whatever the batch."""

import dataclasses
import json
import random
import shutil

import pytest
import torch

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.decoding import stepper
from moco.engines.base import TextRequest, TokenRequest
from moco.engines.transformers import TransformersEngine, load_model
from moco.models.info import ModelInfo

FAMILIES = ("llama", "gpt_neox")


def without_time(row):
    return dataclasses.replace(row, seconds=0.0)


def run(engine, requests) -> dict:
    return {row.key: row for row in engine.generate(requests)}


def prompts(count: int, seed: int = 5) -> list[tuple[int, ...]]:
    draw = random.Random(seed)
    return [tuple(draw.randrange(4, 500) for _ in range(draw.randrange(2, 40))) for _ in range(count)]


def mixed_requests() -> list[TokenRequest]:
    decodings = [
        Decoding(max_new_tokens=12, temperature=1.0, top_p=1.0),
        Decoding(max_new_tokens=7, temperature=0.7, top_p=0.9),
        Decoding(max_new_tokens=12, temperature=0),
        Decoding(max_new_tokens=9, temperature=1.5, top_k=5, top_p=1.0),
        Decoding(max_new_tokens=5, temperature=0.9, repetition_penalty=1.3),
        Decoding(max_new_tokens=1, temperature=0, repetition_penalty=1.2),
    ]
    chosen = [decodings[place % len(decodings)] for place in range(16)]
    return [
        TokenRequest(f"k{place:02d}", prompt, decoding, None if decoding.greedy else 1000 + place)
        for place, (prompt, decoding) in enumerate(zip(prompts(16), chosen, strict=True))
    ]


@pytest.fixture(scope="module")
def load(tiny_checkpoint, resolved):
    made: dict = {}

    def engine(family: str = "llama", **settings) -> TransformersEngine:
        key = (family, tuple(settings.items()))
        if key not in made:
            folder = tiny_checkpoint("base", family=family)
            made[key] = TransformersEngine(resolved(folder), folder.parent, EngineSettings(**settings))
        return made[key]

    return engine


@pytest.mark.parametrize("family", FAMILIES)
def test_replies_do_not_depend_on_batches_or_order(load, family):
    requests = mixed_requests()
    alone = {key: without_time(row) for key, row in run(load(family, batch_rows=1), requests).items()}
    assert len(alone) == 16
    assert len({tuple(row.tokens) for row in alone.values()}) > 12
    shuffled = random.Random(1).sample(requests, len(requests))
    for rows in (3, 16):
        for order in (requests, shuffled):
            found = run(load(family, batch_rows=rows), order)
            assert {key: without_time(row) for key, row in found.items()} == alone


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_replies_are_those_of_transformers(load, family):
    engine = load(family, batch_rows=8)
    decoding = Decoding(max_new_tokens=16, temperature=0)
    asked = [TokenRequest(f"k{place}", prompt, decoding, None) for place, prompt in enumerate(prompts(8))]
    found = run(engine, asked)
    for request in asked:
        output = engine.model.generate(
            torch.tensor([request.prompt]),
            attention_mask=torch.ones(1, len(request.prompt), dtype=torch.long),
            max_new_tokens=16,
            do_sample=False,
        )
        assert found[request.key].tokens == output[0, len(request.prompt) :].tolist()


def test_penalised_greedy_replies_are_those_of_transformers_even_when_neighbours_leave(load):
    engine = load(batch_rows=8)
    settings = [(1.02, 40), (1.4, 2), (1.02, 40), (1.1, 5), (1.1, 40), (1.0, 3), (1.3, 40), (1.02, 40)]
    asked = [
        TokenRequest(
            f"k{place}", prompt, Decoding(max_new_tokens=limit, temperature=0, repetition_penalty=penalty), None
        )
        for place, (prompt, (penalty, limit)) in enumerate(zip(prompts(8), settings, strict=True))
    ]
    # Requests with little to say stand before the others in the batch, so that rows move up when they leave.
    asked = [
        dataclasses.replace(item, prompt=(item.prompt * 60)[:100] if item.decoding.max_new_tokens < 40 else item.prompt)
        for item in asked
    ]
    found = run(engine, asked)
    for request in asked:
        output = engine.model.generate(
            torch.tensor([request.prompt]),
            attention_mask=torch.ones(1, len(request.prompt), dtype=torch.long),
            max_new_tokens=request.decoding.max_new_tokens,
            do_sample=False,
            repetition_penalty=request.decoding.repetition_penalty,
        )
        assert found[request.key].tokens == output[0, len(request.prompt) :].tolist()


def test_alternatives_and_tail_sum_to_one_and_hold_the_best(load):
    for row in run(load(batch_rows=16), mixed_requests()).values():
        assert row.top_k == 20
        assert len(row.top_ids) == len(row.top_logprobs) == 20 * len(row.tokens)
        assert len(row.logprobs) == len(row.tail) == len(row.tokens)
        for place, token in enumerate(row.tokens):
            ids = row.top_ids[20 * place : 20 * place + 20]
            logprobs = row.top_logprobs[20 * place : 20 * place + 20]
            mass = sum(torch.tensor(logprobs, dtype=torch.float64).exp().tolist())
            assert mass + row.tail[place] == pytest.approx(1, abs=2e-5)
            assert logprobs == sorted(logprobs, reverse=True)
            assert len(set(ids)) == 20
            if token in ids:
                assert row.logprobs[place] == logprobs[ids.index(token)]
            else:
                assert row.logprobs[place] <= logprobs[-1]


def test_log_probabilities_are_raw_whatever_the_temperature(load):
    prompt = prompts(1)[0]
    cold, hot = (
        run(load(), [TokenRequest("k", prompt, Decoding(max_new_tokens=1, temperature=t, top_k=1), 3)])["k"]
        for t in (0.2, 2.0)
    )
    assert cold.tokens == hot.tokens
    assert cold.logprobs == hot.logprobs
    assert cold.top_logprobs == hot.top_logprobs


def test_the_number_of_alternatives_changes_no_text(load):
    few, none, usual = (run(load(top_logprobs=count), mixed_requests()) for count in (3, 0, 20))
    for key, row in usual.items():
        assert (
            (few[key].tokens, few[key].logprobs) == (row.tokens, row.logprobs) == (none[key].tokens, none[key].logprobs)
        )
        assert (few[key].top_k, none[key].top_k, none[key].top_ids) == (3, 0, [])
        assert few[key].top_ids[:3] == row.top_ids[:3]


def test_every_row_keeps_its_own_limit(load):
    limits = [1, 2, 5, 9]
    asked = [
        TokenRequest(f"k{n}", prompt, Decoding(max_new_tokens=n, temperature=0), None)
        for n, prompt in zip(limits, prompts(4, seed=2), strict=True)
    ]
    found = run(load(batch_rows=16), asked)
    stop = load().stop_ids
    for n in limits:
        row = found[f"k{n}"]
        assert row.finish == ("stop" if row.tokens[-1] in stop else "length")
        assert len(row.tokens) == n or row.finish == "stop"
    assert any(row.finish == "length" for row in found.values())


@pytest.mark.parametrize("place", ["generation_config.json", "config.json"])
def test_a_reply_stops_at_every_end_token(tiny_checkpoint, resolved, tmp_path, place, load):
    prompt = prompts(1, seed=9)[0]
    decoding = Decoding(max_new_tokens=12, temperature=1.0, top_p=1.0)
    usual = run(load(), [TokenRequest("k", prompt, decoding, 11)])["k"]
    assert len(usual.tokens) == 12
    end = usual.tokens[4]
    folder = tmp_path / "model"
    shutil.copytree(tiny_checkpoint("base"), folder)
    content = json.loads((folder / place).read_text())
    (folder / place).write_text(json.dumps({**content, "eos_token_id": [1, end]}))
    engine = TransformersEngine(resolved(folder), tmp_path, EngineSettings())
    row = run(engine, [TokenRequest("k", prompt, decoding, 11)])["k"]
    assert row.tokens == usual.tokens[: usual.tokens.index(end) + 1]
    assert row.finish == "stop"
    assert row.logprobs == usual.logprobs[: len(row.tokens)]


def test_the_text_holds_no_special_tokens(load):
    engine = load()
    for row in run(engine, mixed_requests()).values():
        assert row.text == engine.tokenizer.decode(row.tokens, skip_special_tokens=True)
        assert "<|end|>" not in row.text


def text_scores(engine, requests) -> dict:
    return {row.key: row for row in engine.score_text(requests)}


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_of_a_text_are_its_stored_log_probabilities(load, family):
    engine = load(family)
    requests = mixed_requests()
    found = run(engine, requests)
    texts = [TextRequest(request.key, request.prompt, tuple(found[request.key].tokens)) for request in requests]
    scored = text_scores(engine, texts)
    for request in requests:
        row = scored[request.key]
        assert row.logprobs == pytest.approx(found[request.key].logprobs, abs=1.5e-6)
        assert (row.tokens, row.prompt_tokens) == (found[request.key].tokens, len(request.prompt))
        assert row.finish == "scored"


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_after_one_prompt_are_scored_as_if_alone(load, family):
    draw = random.Random(3)
    texts = [
        TextRequest(f"{place}-{length}", prompt, tuple(draw.randrange(4, 500) for _ in range(length)))
        for place, prompt in enumerate(prompts(6))
        for length in (1, 4, 2, 0)
    ]
    together = text_scores(load(family, batch_rows=16), texts)
    alone = load(family, batch_rows=1)
    for text in texts:
        (single,) = alone.score_text([text])
        assert without_time(together[text.key]) == without_time(single)
        assert len(single.logprobs) == len(text.continuation)
        ids = torch.tensor([[*text.prompt, *text.continuation]])
        with torch.inference_mode():
            whole = torch.log_softmax(alone.model(ids).logits[0], dim=-1)
        for place, token in enumerate(text.continuation):
            assert single.logprobs[place] == pytest.approx(float(whole[len(text.prompt) - 1 + place, token]), abs=1e-6)


def test_a_shared_prompt_is_read_once(load, monkeypatch):
    engine = load(batch_rows=8)
    prompt = prompts(1)[0]
    read = []
    real = engine.model.forward

    def forward(*arguments, **named):
        read.append(named["input_ids"].shape)
        return real(*arguments, **named)

    monkeypatch.setattr(engine.model, "forward", forward)
    list(engine.score_text([TextRequest(f"k{token}", prompt, (token,)) for token in range(10, 14)]))
    assert [tuple(shape) for shape in read] == [(1, len(prompt))]


def texts_after(prompt, count=7) -> list[TextRequest]:
    draw = random.Random(len(prompt))
    return [
        TextRequest(f"{len(prompt)}-{place}", prompt, tuple(draw.randrange(4, 500) for _ in range(1 + place % 4)))
        for place in range(count)
    ]


@pytest.mark.parametrize(("rows", "tokens"), [(3, 32_768), (256, 150)])
def test_more_texts_than_a_batch_takes_are_parted_by_prompt(load, monkeypatch, rows, tokens):
    asked = [text for prompt in prompts(3) for text in texts_after(prompt)]
    usual = {key: without_time(row) for key, row in text_scores(load(), asked).items()}
    engine = load(batch_rows=rows, batch_tokens=tokens)
    seen = []
    real = engine._score_batch

    def score(batch):
        seen.append([text for group in batch for text in group.texts])
        yield from real(batch)

    monkeypatch.setattr(engine, "_score_batch", score)
    shuffled = random.Random(2).sample(asked, len(asked))
    assert {key: without_time(row) for key, row in text_scores(engine, shuffled).items()} == usual
    assert sorted(text.key for batch in seen for text in batch) == sorted(text.key for text in asked)
    for batch in seen:
        assert len(batch) <= rows
        assert len(batch) * max(text.width for text in batch) <= tokens
    # Nobody's texts are parted more often than the batch needs.
    for prompt in prompts(3):
        parts = sum(any(text.prompt == prompt for text in batch) for batch in seen)
        room = min(rows, tokens // max(text.width for text in asked if text.prompt == prompt))
        assert parts == -(-7 // room)


def test_what_was_read_is_counted_as_it_was_read(load):
    """Prompts once, and of every text all but the last token, after which nothing is asked."""
    asked = [text for prompt in prompts(4) for text in texts_after(prompt)]
    lengths = [len(prompt) for prompt in prompts(4)]
    texts = sum(len(text.continuation) - 1 for text in asked)
    whole = load()
    before = whole.read_tokens
    text_scores(whole, asked)
    assert whole.read_tokens - before == sum(lengths) + texts
    parted = load(batch_rows=4)
    before = parted.read_tokens
    text_scores(parted, asked)
    assert parted.read_tokens - before == 2 * sum(lengths) + texts
    decoding = Decoding(max_new_tokens=3, temperature=1.0, top_p=1.0)
    before = whole.read_tokens
    run(whole, [TokenRequest(f"{place}", prompts(1)[0], decoding, place) for place in range(5)])
    assert whole.read_tokens - before == lengths[0]


@pytest.mark.parametrize("way", ["cached rows", "uncached rows"])
def test_models_without_batches_score_shared_prompts_as_bare_transformers_does(load, monkeypatch, way):
    asked = [text for prompt in prompts(3) for text in texts_after(prompt)]
    engine = load(batch_rows=4)
    monkeypatch.setattr(engine, "_steps", way)
    before = engine.read_tokens
    found = text_scores(engine, asked)
    read = engine.read_tokens - before
    for text in asked:
        with torch.inference_mode():
            ids = torch.tensor([[*text.prompt, *text.continuation]])
            whole = torch.log_softmax(engine.model(ids, use_cache=False).logits[0], dim=-1)
        picked = [float(whole[len(text.prompt) - 1 + place, token]) for place, token in enumerate(text.continuation)]
        assert found[text.key].logprobs == pytest.approx(picked, abs=1e-6)
    parts = 2 * sum(map(len, prompts(3)))
    if way == "cached rows":
        assert read == parts + sum(len(text.continuation) - 1 for text in asked)
    else:
        assert read == parts + sum(text.width for text in asked)


def test_equal_prompts_are_read_once_and_long_batches_in_pieces(load, monkeypatch):
    decoding = Decoding(max_new_tokens=6, temperature=1.0, top_p=1.0)
    asked = [
        TokenRequest(f"k{place}-{copy}", prompt, decoding, 10 * place + copy)
        for place, prompt in enumerate(prompts(6))
        for copy in range(3)
    ]
    alone = {key: without_time(row) for key, row in run(load(batch_rows=1), asked).items()}
    engine = load(batch_rows=18)
    monkeypatch.setitem(stepper._PIECE, "cpu", 2 * max(map(len, prompts(6))))
    read = []
    real = engine.model.forward

    def forward(*arguments, **named):
        read.append(tuple(named["input_ids"].shape))
        return real(*arguments, **named)

    monkeypatch.setattr(engine.model, "forward", forward)
    assert {key: without_time(row) for key, row in run(engine, asked).items()} == alone
    pieces = [shape for shape in read if shape[1] > 1]
    assert len(pieces) > 1
    assert sum(rows for rows, _ in pieces) == 6
    assert max(rows for rows, width in read if width == 1) == 18


def adapter_info(base: ModelInfo, adapter, root) -> ModelInfo:
    from moco.config.models import AdapterModel
    from moco.models.resolve import resolve

    entry = AdapterModel(kind="adapter", base="base", path=str(adapter))
    return resolve("lora", entry, EngineSettings(), root, base=base)


def test_a_merged_adapter_gives_what_peft_gives(tiny_checkpoint, tiny_adapter, resolved):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder, adapter = tiny_checkpoint("base"), tiny_adapter(1)
    info = adapter_info(resolved(folder, "base"), adapter, folder.parent)
    ours = load_model(info, folder.parent, EngineSettings(), torch.device("cpu"))
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    theirs = PeftModel.from_pretrained(base, adapter).to(torch.float64).eval()
    ids = torch.tensor([prompts(1)[0]])
    with torch.inference_mode():
        difference = (ours(ids).logits - theirs(ids).logits).abs().max().item()
        with theirs.disable_adapter():
            change = (theirs(ids).logits - ours(ids).logits).abs().max().item()
    assert difference < 1e-6
    assert change > 1e-2


def test_an_adapter_generates_with_the_tokenizer_of_its_base(tiny_checkpoint, tiny_adapter, resolved, load):
    folder = tiny_checkpoint("base")
    info = adapter_info(resolved(folder, "base"), tiny_adapter(1), folder.parent)
    engine = TransformersEngine(info, folder.parent, EngineSettings())
    assert engine.stop_ids == load().stop_ids
    request = mixed_requests()[2]
    assert run(engine, [request])[request.key].tokens != run(load(), [request])[request.key].tokens


def test_numbers_are_rounded_to_six_decimals(load):
    for row in run(load(), mixed_requests()).values():
        for value in (*row.logprobs, *row.top_logprobs, *row.tail):
            assert value == round(value, 6)


def test_float32_agrees_with_exact_mode_up_to_rounding(load):
    greedy = [
        TokenRequest(f"g{place}", prompt, Decoding(max_new_tokens=6, temperature=0), None)
        for place, prompt in enumerate(prompts(8))
    ]
    exact, single = run(load(), greedy), run(load(dtype="float32"), greedy)
    for key, row in exact.items():
        assert single[key].tokens == row.tokens
        assert single[key].logprobs == pytest.approx(row.logprobs, abs=1e-4)
        assert single[key].logprobs != row.logprobs or single[key].top_logprobs != row.top_logprobs
