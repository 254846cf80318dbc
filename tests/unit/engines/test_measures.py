"""Rewards and vectors: as transformers gives them alone, whatever the batch."""

import dataclasses
import random

import pytest
import torch
from support.checkpoints import judge_checkpoints

from moco.config.engine import EngineSettings
from moco.config.models import LocalModel
from moco.engines.base import MeasureRequest
from moco.engines.measures import RewardModel, TextEncoder
from moco.engines.render import Renderer
from moco.errors import RequestError
from moco.models.resolve import resolve

CONTEXT = 96
WORDS = ("red", "green", "two + 3", "Reverse FISH.", "é", "\n")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Random checkpoints: a classifier with one logit, and an encoder with absolute positions."""
    return judge_checkpoints(tmp_path_factory.mktemp("judges"), CONTEXT)


def info_of(folder, purpose, root=None):
    entry = LocalModel(kind="local", path=str(folder), purpose=purpose)
    return resolve(purpose, entry, EngineSettings(), root or folder.parents[1])


@pytest.fixture(scope="module")
def load(folders):
    makers = {"reward": RewardModel, "embed": TextEncoder}

    def of(purpose, **settings):
        folder = folders[purpose]
        return makers[purpose](info_of(folder, purpose), folder.parents[1], EngineSettings(**settings))

    return of


def texts(count=17):
    draw = random.Random(4)
    return [" ".join(draw.choices(WORDS, k=draw.randrange(1, 9))) for _ in range(count)]


def conversations(folders):
    renderer = Renderer(info_of(folders["reward"], "reward"), folders["reward"].parents[1])
    return [renderer.conversation(text, text[::-1], CONTEXT) for text in texts()]


def by_key(rows):
    return {row.key: dataclasses.replace(row, seconds=0.0) for row in rows}


def test_a_reward_is_the_logit_that_transformers_gives_the_two_turns(load, folders):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders["reward"])
    network = AutoModelForSequenceClassification.from_pretrained(folders["reward"], dtype=torch.float64).eval()
    requests = [MeasureRequest(f"k{place}", tokens) for place, tokens in enumerate(conversations(folders))]
    found = by_key(load("reward", batch_rows=5).reward(requests))
    for place, text in enumerate(texts()):
        turns = [{"role": "user", "content": text}, {"role": "assistant", "content": text[::-1]}]
        ids = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            alone = network(input_ids=ids).logits.item()
        assert found[f"k{place}"].values == [round(alone, 6)]
        assert found[f"k{place}"].tokens == ids.shape[1]
    assert len({row.values[0] for row in found.values()}) == len(found)


@pytest.mark.parametrize("pooling", ["mask", "padded"])
def test_a_vector_is_the_mean_over_the_text_or_over_all_positions(load, folders, pooling):
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders["embed"])
    network = AutoModel.from_pretrained(folders["embed"], dtype=torch.float64).eval()
    positions = CONTEXT if pooling == "padded" else 0
    requests = [
        MeasureRequest(text, tuple(tokenizer(text)["input_ids"]), pooling, positions) for text in dict.fromkeys(texts())
    ]
    for row in load("embed", batch_rows=4).embed(requests):
        padding = {"padding": "max_length", "max_length": CONTEXT, "padding_side": "right"} if positions else {}
        with torch.inference_mode():
            hidden = network(**tokenizer(row.key, return_tensors="pt", return_token_type_ids=False, **padding))
        expected = hidden.last_hidden_state[0].mean(0)
        assert row.values == pytest.approx(expected.tolist(), abs=1.1e-6)


@pytest.mark.parametrize("purpose", ["reward", "embed"])
def test_neither_batches_nor_order_change_a_bit(load, folders, purpose):
    pooling = None if purpose == "reward" else "mask"
    requests = [MeasureRequest(f"k{place}", tokens, pooling) for place, tokens in enumerate(conversations(folders))]
    engine = load(purpose)
    together = by_key(getattr(engine, purpose)(requests))
    shuffled = random.Random(1).sample(requests, len(requests))
    for rows, tokens in ((1, 10_000), (3, 10_000), (64, 100)):
        other = load(purpose, batch_rows=rows, batch_tokens=tokens)
        assert by_key(getattr(other, purpose)(shuffled)) == together


def test_a_text_without_tokens_has_a_vector(load):
    [row] = load("embed").embed([MeasureRequest("k", (), "mask")])
    assert all(value == value for value in row.values)


def test_a_checkpoint_without_a_trained_head_is_no_reward_model(tiny_checkpoint, resolved):
    folder = tiny_checkpoint("base")
    with pytest.raises(RequestError, match="no reward model"):
        RewardModel(resolved(folder), folder.parent, EngineSettings())


def test_a_long_conversation_loses_the_beginning_of_the_prompt_and_then_the_end_of_the_reply(folders):
    renderer = Renderer(info_of(folders["reward"], "reward"), folders["reward"].parents[1])
    read = renderer._tokenizer.decode
    prompt, reply = "first " * 20 + "last", "begin" + " more" * 10 + " end"
    whole = renderer.conversation(prompt, reply, CONTEXT * 10)
    assert read(whole) == f"<|user|>{prompt}<|end|><|assistant|>{reply}<|end|>"
    cut = renderer.conversation(prompt, reply, len(whole) - 9)
    assert len(cut) <= len(whole) - 9
    assert read(cut).endswith(f"last<|end|><|assistant|>{reply}<|end|>")
    bare = len(renderer.conversation("", reply, CONTEXT))
    short = read(renderer.conversation(prompt, reply, bare - 6))
    assert short.startswith("<|user|><|end|><|assistant|>begin")
    assert short.endswith("<|end|>")
    assert " end<" not in short
    with pytest.raises(RequestError, match="leave no room"):
        renderer.conversation(prompt, reply, 3)
