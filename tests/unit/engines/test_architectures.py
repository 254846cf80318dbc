"""Every architecture gives the tokens of plain transformers, or is refused in one line; nothing in between."""

import pytest
from support.architectures import tiny_model

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.config.models import LocalModel
from moco.engines.inference import Inference, Job
from moco.errors import MocoError
from moco.models.resolve import resolve
from moco.store.generations import GenerationStore, Stored

pytestmark = pytest.mark.slow

PROMPTS = ["What is 3 + 4?", "Who wrote this? Ana did. When? In 1999. Where? In Porto, near the river.", "A", "2 + 2 ="]
NEW_TOKENS = 16

EQUAL = [
    "apertus",
    "arcee",
    "bamba",
    "biogpt",
    "bloom",
    "codegen",
    "cohere",
    "cohere2",
    "deepseek_v2",
    "deepseek_v3",
    "diffllama",
    "ernie4_5",
    "exaone4",
    "falcon",
    "falcon_mamba",
    "gemma",
    "gemma2",
    "gemma3_text",
    "glm",
    "glm4",
    "gpt2",
    "gpt_bigcode",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "granite",
    "granitemoe",
    "granitemoeshared",
    "helium",
    "jamba",
    "lfm2",
    "llama",
    "mamba",
    "mamba2",
    "mistral",
    "mixtral",
    "mpt",
    "nemotron",
    "olmo",
    "olmo2",
    "olmoe",
    "opt",
    "persimmon",
    "phi",
    "phi3",
    "phimoe",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
    "recurrent_gemma",
    "rwkv",
    "smollm3",
    "stablelm",
    "starcoder2",
]
REFUSED = {
    "minimax": "other tokens without a cache",  # its blocks end elsewhere
    "xglm": "cannot be run as a causal language model",  # its attention has no float64
    "t5": "models.m",  # an encoder and a decoder
}
TIED = ["llama", "mistral", "qwen3"]


def replies(folder, root, prompts, **engine):
    settings = EngineSettings(**engine)
    info = resolve("m", LocalModel(kind="local", path=str(folder)), settings, root)
    inference = Inference({"m": info}, {"m": settings}, GenerationStore(root / "store"), root)
    decoding = Decoding(max_new_tokens=NEW_TOKENS, temperature=0)
    made = inference.run([Job("m", prompt, decoding, 1) for prompt in prompts])
    rows = inference.store.partition(info.fingerprint).find([each.response.key for each in made], Stored)
    rendered = [inference.renderer("m").render(prompt, NEW_TOKENS).tokens for prompt in prompts]
    return rendered, [list(rows[each.response.key].tokens) for each in made]


def plain(folder, prompts):
    """Return the greedy tokens of `generate`, one prompt at a time."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, experts_implementation="eager").eval()
    made = []
    for prompt in prompts:
        ids = torch.tensor([list(prompt)])
        found = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS)
        made.append(found[0, len(prompt) :].tolist())
    return made


@pytest.mark.parametrize(("kind", "tied"), [*((kind, None) for kind in EQUAL), *((kind, True) for kind in TIED)])
def test_replies_in_one_batch_are_those_of_plain_transformers(kind, tied, tmp_path):
    folder = tiny_model(kind, tmp_path / "model", **({} if tied is None else {"tie_word_embeddings": tied}))
    prompts, made = replies(folder, tmp_path, PROMPTS)
    assert made == plain(folder, prompts)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_right_is_refused_in_one_line_and_stores_nothing(kind, tmp_path):
    if kind == "t5":
        from transformers import T5Config, T5ForConditionalGeneration

        from moco.zoo.tokenizer import save_tokenizer, train_tokenizer

        tokenizer = train_tokenizer(512, 256)
        small = {"d_model": 32, "d_ff": 48, "num_layers": 1, "num_heads": 2, "d_kv": 16}
        model = T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), **small))
        folder = tmp_path / "model"
        model.save_pretrained(folder)
        save_tokenizer(tokenizer, folder)
    else:
        folder = tiny_model(kind, tmp_path / "model")
    with pytest.raises(MocoError, match=REFUSED[kind]) as caught:
        replies(folder, tmp_path, PROMPTS)
    assert len(str(caught.value).splitlines()) == 1
    assert not list((tmp_path / "store").rglob("*.parquet"))
