"""Architectures of transformers, tiny and random: its greedy replies, prompts of any length in one batch, or one line."""

import re

import pytest
from support.architectures import ARCHITECTURES, CONTEXT, generated, random_model
from support.documents import rows

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.engines.agreement import WAYS
from moco.engines.base import TokenRequest
from moco.engines.transformers import TransformersEngine
from moco.errors import MocoError
from moco.records import read_json
from moco.zoo.tokenizer import save_tokenizer, train_tokenizer

pytestmark = pytest.mark.slow

TOKENS = 16
REFUSED = {
    "xglm": "cannot be run as a causal language model",  # Its mask holds a number that only float32 has.
    "recurrent_gemma": "gives other tokens",  # Its own `generate` begins a prompt of one token where the last one ended.
    "t5": "reads with an encoder",
    "bart": "reads with an encoder",
}
BATCHED = ("llama", "mistral", "gemma3_text", "gpt2", "falcon_alibi", "mixtral")
"""Some that must not become slow."""


def plain(name: str) -> str:
    return re.sub(r"\W", "", name).lower()


def documented() -> dict[str, str]:
    """Return the way of every architecture that docs/performance.md names, by its name here."""
    ways = {}
    for way, _, instances in rows("docs/performance.md", "Way | What it costs | For instance"):
        for name in instances.partition(";")[0].split(", "):
            known = [key for key, (cls, _) in ARCHITECTURES.items() if plain(cls).startswith(plain(name))]
            assert known, name
            ways[min(known, key=len)] = way.strip("`")
    return ways


DOCUMENTED = documented()


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(512, CONTEXT)


@pytest.fixture
def build(tokenizer, resolved, tmp_path):
    def engine(name: str) -> TransformersEngine:
        folder = tmp_path / name
        random_model(name, tokenizer).save_pretrained(folder)
        save_tokenizer(tokenizer, folder)
        return TransformersEngine(resolved(folder, name, context=CONTEXT), tmp_path, EngineSettings())

    return engine


def test_the_page_names_every_way():
    assert list(dict.fromkeys(DOCUMENTED.values())) == list(WAYS)
    assert set(BATCHED) - {"falcon_alibi"} <= {name for name, way in DOCUMENTED.items() if way == "batched"}


def test_there_are_enough_of_them():
    assert len(ARCHITECTURES) - len(REFUSED) >= 60


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in REFUSED])
def test_replies_are_those_of_transformers(build, tmp_path, name):
    engine = build(name)
    vocabulary = len(engine.tokenizer) - 4
    prompts = [
        tuple(4 + (row * 37 + place * 53) % vocabulary for place in range(length))
        for row, length in enumerate((3, 11, 30, 1, 19))
    ]
    decoding = Decoding(max_new_tokens=TOKENS, temperature=0)
    requests = [TokenRequest(f"k{place}", prompt, decoding, None) for place, prompt in enumerate(prompts)]
    found = {row.key: row for row in engine.generate(requests)}
    for request, (tokens, logprobs) in zip(
        requests, generated(tmp_path / name, prompts, TOKENS, sorted(engine.stop_ids)), strict=True
    ):
        assert found[request.key].tokens == tokens
        assert found[request.key].logprobs == pytest.approx(logprobs, abs=1e-4)
    assert len({token for row in found.values() for token in row.tokens}) > TOKENS
    (known,) = (tmp_path / ".moco" / "checks").iterdir()
    assert read_json(known)["way"] in (
        ["batched"] if name in BATCHED else [DOCUMENTED[name]] if name in DOCUMENTED else WAYS
    )


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_one_line(build, name):
    with pytest.raises(MocoError, match=REFUSED[name]) as error:
        build(name)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"models.{name} (")
