"""How long a prompt and a reply may be, as configurations of many architectures say it."""

import json
import logging
import shutil

import pytest

from moco.config.engine import EngineSettings
from moco.config.models import LocalModel
from moco.errors import RequestError
from moco.models.context import context_of
from moco.models.resolve import resolve


def rope(**settings) -> dict:
    return {"model_type": "llama", "max_position_embeddings": 2048, "rope_scaling": settings}


STATED = {
    "positions": ({"model_type": "llama", "max_position_embeddings": 512}, 512),
    "gpt2": ({"model_type": "gpt2", "n_positions": 1024, "n_ctx": 1024}, 1024),
    "codegen, by its other name": ({"n_ctx": 700}, 700),
    "mpt": ({"model_type": "mpt", "max_seq_len": 4096}, 4096),
    "bloom and chatglm": ({"model_type": "chatglm", "seq_length": 8192}, 8192),
    "text model within": ({"model_type": "gemma3", "text_config": {"max_position_embeddings": 131072}}, 131072),
    "text model beside a vision model": (
        {"vision_config": {"max_position_embeddings": 64}, "text_config": {"max_position_embeddings": 900}}, 900
    ),
    "the class's default": ({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}}, 131072),
    "the class's default by its own name": ({"model_type": "gpt2"}, 1024),
    "linear": (rope(type="linear", factor=2.0), 4096),
    "dynamic": (rope(rope_type="dynamic", factor=4), 8192),
    "yarn": (rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=2048), 8192),
    "yarn, stated stretched": (rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=512), 2048),
    "llama3 states the stretched number": (
        rope(rope_type="llama3", factor=8.0, original_max_position_embeddings=256), 2048
    ),
    "longrope too": (rope(rope_type="longrope", original_max_position_embeddings=256), 2048),
    "positions behind a padding token": (
        {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STATED)
def test_the_configuration_decides(tmp_path, name):
    config, expected = STATED[name]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
    found = context_of(tmp_path, config)
    assert (found.tokens, found.source) == (expected, "config.json")


@pytest.mark.parametrize("kind", ["mamba", "mamba2", "falcon_mamba"])
def test_without_positions_the_tokenizer_decides(tmp_path, kind):
    assert context_of(tmp_path, {"model_type": kind}).source == "assumed"
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({"model_max_length": 10**30}))
    assert context_of(tmp_path, {"model_type": kind}).source == "assumed"
    path.write_text(json.dumps({"model_max_length": 1500}))
    found = context_of(tmp_path, {"model_type": kind})
    assert (found.tokens, found.source) == (1500, "tokenizer_config.json")


@pytest.fixture
def describe(tiny_checkpoint, tmp_path):
    def of(config: dict, **declared):
        folder = shutil.copytree(tiny_checkpoint("base"), tmp_path / "model", dirs_exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
        tokenizer.pop("model_max_length", None)
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        entry = LocalModel(kind="local", path=str(folder), **declared)
        return resolve("m", entry, EngineSettings(), tmp_path)

    return of


@pytest.mark.parametrize("name", ["gpt2", "text model within", "yarn"])
def test_the_truth_may_be_declared_and_no_more(describe, name):
    config, longest = STATED[name]
    assert describe(config).context == longest
    for declared in (longest, longest - 1):
        info = describe(config, context=declared)
        assert (info.context, info.context_source) == (declared, "declared")
    said = f"models.m.context: context is declared as {longest + 1}, the model has {longest}; correct the declaration"
    with pytest.raises(RequestError) as caught:
        describe(config, context=longest + 1)
    assert str(caught.value) == said


def test_a_context_that_nobody_states_is_said_and_may_be_declared(describe, caplog):
    config = {"model_type": "mamba"}
    with caplog.at_level(logging.WARNING, "moco"):
        info = describe(config)
    assert (info.context, info.context_source) == (2048, "assumed")
    assert caplog.messages == [
        "models.m: neither its configuration nor its tokenizer states a context; 2048 tokens are assumed;"
        " declare `context`"
    ]
    caplog.clear()
    assert describe(config, context=100_000).context == 100_000
    assert not caplog.messages
