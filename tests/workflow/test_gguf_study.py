"""A study on a GGUF file, from the file to its tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from support.projects import new_project
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.convert_slow_tokenizer import bytes_to_unicode

from moco.records import GENERATIONS, QUESTIONS, read_frame

pytestmark = pytest.mark.slow

PIECES = [*bytes_to_unicode().values(), "Ġt", "<|end|>", "<|user|>", "<|assistant|>"]
END, USER, ASSISTANT = (len(PIECES) - 3 + place for place in range(3))
NEW_TOKENS = 8
TEMPLATE = (
    "{% for message in messages %}{{ '<|user|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_attention_layernorm": "ffn_norm",
    "input_layernorm": "attn_norm",
    "model.layers": "blk",
}


def network() -> Any:
    config = LlamaConfig(
        vocab_size=len(PIECES),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        initializer_range=0.3,
        tie_word_embeddings=False,
        eos_token_id=END,
        bos_token_id=None,
        pad_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return LlamaForCausalLM(config).eval()


def write_gguf(model: Any, path: Path) -> None:
    """Write a Llama as llama.cpp's converter does: names of its own, and rotary halves of queries and keys interleaved."""
    gguf = pytest.importorskip("gguf")
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(len(PIECES))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(PIECES)
    writer.add_token_types([3 if piece.startswith("<|") else 1 for piece in PIECES])
    writer.add_token_merges(["Ġ t"])
    writer.add_eos_token_id(END)
    writer.add_pad_token_id(END)
    writer.add_chat_template(TEMPLATE)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        for ours, theirs in NAMES.items():
            name = name.replace(ours, theirs)
        values = tensor.numpy().astype(np.float32)
        count = next((heads[kind] for kind in heads if f".{kind}." in name), None)
        if count:
            halves = values.reshape(count, 2, values.shape[0] // count // 2, values.shape[1])
            values = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def prompt_ids(text: str) -> list[int]:
    letters = bytes_to_unicode()
    known = {piece: place for place, piece in enumerate(PIECES)}
    ids = [known[letters[byte]] for byte in text.replace(" t", "\0").encode()]
    # The one merge: a blank before a t is read with it.
    return [USER, *(known["Ġt"] if piece == known[letters[0]] else piece for piece in ids), END, ASSISTANT]


def greedy(model: Any, ids: list[int]) -> tuple[str, int]:
    """Return a reply with its number of tokens, each the likeliest after all before it, read anew every time."""
    new: list[int] = []
    while len(new) < NEW_TOKENS and END not in new:
        with torch.inference_mode():
            new.append(int(model(torch.tensor([ids + new])).logits[0, -1].argmax()))
    back = {letter: byte for byte, letter in bytes_to_unicode().items()}
    raw = b"".join(bytes(back[letter] for letter in PIECES[token]) for token in new if token < END)
    return raw.decode("utf-8", errors="replace"), len(new)


def test_a_study_on_a_gguf_file_gives_the_replies_of_the_model_that_was_written_to_it(tmp_path, zoo_cache, warm):
    model = network()
    write_gguf(model, tmp_path / "tiny.gguf")
    study = {
        "study": "gguf",
        "models": {
            "tiny": {"kind": "local", "path": str(tmp_path / "tiny.gguf"), "family": "llama", "parameters": 1e5}
        },
        "pools": {"copies": ["tiny", "tiny"]},
        "tasks": {"sums": {"source": {"kind": "synthetic", "skills": ["add"], "items": {"dev": 2, "test": 4}}}},
        "methods": {"text_majority_vote": {}, "weight_greedy_soup": {}},
        "decoding": {"default": {"max_new_tokens": NEW_TOKENS, "temperature": 0}},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    project = new_project(tmp_path / "project", zoo_cache, str(tmp_path / "study.yaml"), warm)
    project.snakemake(MOCO_CACHE=str(tmp_path / "cache"))
    questions = read_frame(project.results / "tasks/sums/test/questions.parquet", QUESTIONS).set_index("uid")
    (file,) = project.results.glob("generations/tiny/*/test/seed1/s0.parquet")
    replies = read_frame(file, GENERATIONS).set_index("uid")
    exact = model.double()
    expected = {uid: greedy(exact, prompt_ids(prompt)) for uid, prompt in questions["prompt"].items()}
    assert {uid: (row["text"], row["completion_tokens"]) for uid, row in replies.iterrows()} == expected
    table = pd.read_csv(project.results / "tables/moco_main.csv")
    assert {"tiny", "text_majority_vote", "weight_greedy_soup"} <= set(table["system"])
    assert "failed" not in table.to_string()
