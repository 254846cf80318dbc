"""Fingerprints follow content, and only content that decides what a model says."""

import json
import os
import shutil

import pytest

from moco.errors import RequestError
from moco.models.fingerprint import checkpoint_digest
from moco.models.vocabulary import tokenizer_digest
from moco.models.weights import count_parameters, tensor_headers


@pytest.fixture
def folder(tiny_checkpoint, tmp_path):
    return shutil.copytree(tiny_checkpoint("base"), tmp_path / "model")


def edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_equal_content_has_one_fingerprint_wherever_and_whenever(folder, tiny_checkpoint):
    os.utime(folder / "model.safetensors", (1, 1))
    assert checkpoint_digest(folder) == checkpoint_digest(tiny_checkpoint("base"))


@pytest.mark.parametrize("name", ["README.md", "zoo.json", "recipe.json", "training.log", ".gitattributes", "x.bin"])
def test_files_that_no_model_reads_do_not_count(folder, name):
    before = checkpoint_digest(folder)
    (folder / name).write_text("{}")
    assert checkpoint_digest(folder) == before


@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
)
def test_files_that_a_model_reads_count(folder, name):
    before = checkpoint_digest(folder)
    (folder / name).write_text((folder / name).read_text() + " ")
    assert checkpoint_digest(folder) != before


def test_weights_and_code_count(folder):
    before = checkpoint_digest(folder)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    changed = checkpoint_digest(folder)
    (folder / "modeling_x.py").write_text("x = 1")
    assert len({before, changed, checkpoint_digest(folder)}) == 3


def test_names_of_files_count(folder):
    before = checkpoint_digest(folder)
    (folder / "chat_template.jinja").rename(folder / "other.jinja")
    assert checkpoint_digest(folder) != before


def test_a_tokenizer_is_known_by_its_vocabulary_not_by_its_template(folder):
    before = tokenizer_digest(folder)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    edit_json(folder / "tokenizer_config.json", lambda content: content.update(model_max_length=7))
    assert tokenizer_digest(folder) == before
    edit_json(folder / "tokenizer.json", lambda content: content["model"]["merges"].pop())
    without_merge = tokenizer_digest(folder)
    edit_json(folder / "tokenizer.json", lambda content: content["added_tokens"][-1].update(content="other"))
    assert len({before, without_merge, tokenizer_digest(folder)}) == 3


def test_a_tokenizer_without_a_fast_file_is_known_by_its_own_files(tmp_path):
    (tmp_path / "vocab.json").write_text("{}")
    one = tokenizer_digest(tmp_path)
    (tmp_path / "merges.txt").write_text("a b")
    assert tokenizer_digest(tmp_path) != one
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="no tokenizer files; save the tokenizer beside the weights"):
        tokenizer_digest(tmp_path / "empty")


def test_parameters_are_counted_from_headers_however_weights_are_cut(tiny_checkpoint, tmp_path):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint("base"))
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert count_parameters(tmp_path) == count_parameters(tiny_checkpoint("base")) == model.num_parameters()
    assert tensor_headers(tmp_path).keys() == tensor_headers(tiny_checkpoint("base")).keys()


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 8, b"\x05" + b"\0" * 7 + b"nojsn"])
def test_a_damaged_weight_file_is_one_line(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(RequestError, match=r"model\.safetensors: is not a safetensors file; download it again"):
        count_parameters(folder)


def test_a_folder_without_safetensors_is_one_line(tmp_path):
    with pytest.raises(RequestError, match="no safetensors weights; convert the checkpoint to safetensors"):
        count_parameters(tmp_path)


COPIES = {
    "consolidated.safetensors": "weights",
    "pytorch_model.bin": "weights",
    "model-00009-of-00009.safetensors": "weights",
    "pytorch_model.bin.index.json": "{}",
    "params.json": "{}",
}


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("name", COPIES)
def test_copies_that_transformers_does_not_load_count_nowhere(tiny_checkpoint, tmp_path, name, sharded):
    from transformers import AutoModelForCausalLM

    folder = shutil.copytree(tiny_checkpoint("base"), tmp_path / "model")
    if sharded:
        (folder / "model.safetensors").unlink()
        AutoModelForCausalLM.from_pretrained(tiny_checkpoint("base")).save_pretrained(folder, max_shard_size="100KB")
    before = checkpoint_digest(folder), count_parameters(folder)
    if COPIES[name] == "weights":
        shutil.copy(tiny_checkpoint("base") / "model.safetensors", folder / name)
    else:
        (folder / name).write_text(COPIES[name])
    (folder / "original").mkdir()
    shutil.copy(tiny_checkpoint("base") / "model.safetensors", folder / "original")
    assert (checkpoint_digest(folder), count_parameters(folder)) == before


def test_a_part_that_the_index_names_must_be_there(tiny_checkpoint, tmp_path):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint("base"))
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    next(iter(sorted(tmp_path.glob("*.safetensors")))).unlink()
    with pytest.raises(RequestError, match=r"model-00001-of-\d+\.safetensors, which the index .* is missing; download"):
        count_parameters(tmp_path)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("equal", [True, False])
def test_a_stored_copy_of_tied_embeddings_and_buffers_are_no_parameters(folder, tied, equal):
    """As transformers has it: an output layer that is stored and differs is not tied, whatever the configuration says."""
    import torch
    from safetensors.torch import load_file, save_file

    before = count_parameters(folder)
    edit_json(folder / "config.json", lambda content: content.update(tie_word_embeddings=tied))
    content = load_file(folder / "model.safetensors")
    content["lm_head.weight"] = content["model.embed_tokens.weight"].clone() if equal else content["lm_head.weight"]
    content["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(16)
    save_file(content, folder / "model.safetensors", metadata={"format": "pt"})
    head = content["lm_head.weight"].numel()
    assert count_parameters(folder) == before - (head if tied and equal else 0)
