"""Adapters after loading, against PEFT with the adapter beside its base, both in float64."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.config.models import AdapterModel, LocalModel
from moco.engines.base import TokenRequest
from moco.engines.transformers import TransformersEngine, load_model
from moco.errors import RequestError
from moco.merging.build import build_merge
from moco.models.info import ModelInfo
from moco.models.recipes import Recipe
from moco.models.resolve import resolve

CPU = torch.device("cpu")
PROMPT = torch.tensor([[5, 17, 33, 60, 101, 7, 250, 301, 12]])

VARIANTS = {
    "plain": {},
    "rank-stabilised": {"use_rslora": True, "lora_alpha": 16},
    "ranks and alphas by pattern": {
        "target_modules": ["q_proj", "v_proj"],
        "rank_pattern": {"v_proj": 7},
        "alpha_pattern": {"q_proj": 3},
    },
    "dora": {"use_dora": True, "target_modules": ["q_proj", "down_proj"]},
    "dora on embeddings": {"use_dora": True, "target_modules": ["embed_tokens"]},
    "output layer": {"target_modules": ["lm_head"]},
    "embeddings": {"target_modules": ["embed_tokens"]},
    "both": {"target_modules": ["embed_tokens", "lm_head"]},
    "both, tied adapters": {"target_modules": ["embed_tokens", "lm_head"], "ensure_weight_tying": True},
    "saved output layer": {"modules_to_save": ["lm_head"]},
    "saved embeddings": {"modules_to_save": ["embed_tokens"]},
    "saved norms": {"modules_to_save": ["norm"]},
    "trained tokens": {"trainable_token_indices": [3, 17, 101]},
    "bias of the adapter": {"lora_bias": True},
    "replicated layers": {"layer_replication": [[0, 2], [1, 2]]},
    "parameters": {"target_modules": [], "target_parameters": ["mlp.up_proj.weight"]},
    "pissa": {"init_lora_weights": "pissa"},
    "pissa on the output layer": {"init_lora_weights": "pissa", "target_modules": ["lm_head"]},
    "olora": {"init_lora_weights": "olora"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
}


def make_base(source: Path, folder: Path, *, tied: bool, dtype: torch.dtype) -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(source)
    config.tie_word_embeddings = tied
    with torch.random.fork_rng():
        torch.manual_seed(3)
        AutoModelForCausalLM.from_config(config).to(dtype).save_pretrained(folder)
    for path in source.glob("tokenizer*"):
        shutil.copy(path, folder)
    return folder


def train(base: Path, folder: Path, tokens: int | None = None, **settings):
    """Save a random adapter on a base, and return PEFT's model with the adapter beside the base."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    if tokens is not None:
        model.resize_token_embeddings(tokens, mean_resizing=False)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        config = {"r": 4, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM", **settings}
        wrapped = get_peft_model(model, LoraConfig(**config))
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.data += torch.randn(parameter.shape).to(parameter.dtype) * 0.1
    wrapped.save_pretrained(folder)
    return wrapped.double().eval()


def adapter(base: Path, folder: Path, dtype: str = "float64") -> ModelInfo:
    engine = EngineSettings(dtype=dtype)
    described = resolve("base", LocalModel(kind="local", path=str(base)), engine, base.parent)
    entry = AdapterModel(kind="adapter", base="base", path=str(folder))
    return resolve("lora", entry, engine, base.parent, base=described)


def loaded_logits(info: ModelInfo, root: Path, dtype: str = "float64") -> torch.Tensor:
    model = load_model(info, root, EngineSettings(dtype=dtype), CPU)
    with torch.inference_mode():
        return model(input_ids=PROMPT).logits


def logits_of(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=PROMPT).logits


@pytest.fixture
def bases(tiny_checkpoint, tmp_path) -> Callable[..., Path]:
    return lambda tied=False, dtype=torch.float32: make_base(
        tiny_checkpoint("base"), tmp_path / "base", tied=tied, dtype=dtype
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_adapter_computes_what_peft_does(bases, tmp_path, variant, tied):
    # bfloat16 in the file and float64 in memory is the harder case of the two.
    base = bases(tied, torch.bfloat16 if len(variant) % 2 else torch.float32)
    wanted = logits_of(train(base, tmp_path / "lora", **VARIANTS[variant]))
    info = adapter(base, tmp_path / "lora")
    found = loaded_logits(info, tmp_path)
    assert (wanted - logits_of(load_model(adapter_base(info), tmp_path, EngineSettings(), CPU))).abs().max() > 1e-3
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12 * float(wanted.abs().max()))


def adapter_base(info: ModelInfo) -> ModelInfo:
    return ModelInfo(**{**vars(info), "location": info.base["location"], "base": None})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("settings", [{"modules_to_save": ["embed_tokens", "lm_head"]}, {}], ids=["trained", "saved"])
@pytest.mark.parametrize("further", [1, 3, -200])
def test_embeddings_have_the_rows_of_the_adapter(bases, tmp_path, settings, tied, further):
    base = bases(tied)
    rows = json.loads((base / "config.json").read_text())["vocab_size"] + further
    wanted = logits_of(train(base, tmp_path / "lora", rows, **settings))
    info = adapter(base, tmp_path / "lora")
    found = loaded_logits(info, tmp_path)
    assert found.shape[-1] == rows
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12 * float(wanted.abs().max()))
    # The model as it is loaded, tied weights counted once, and the adapter's own two matrices in each layer.
    model = load_model(info, tmp_path, EngineSettings(), CPU)
    assert info.parameters == model.num_parameters() + 2 * 2 * 4 * 64


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("variant", ["plain", "pissa", "saved embeddings"])
def test_other_types_are_rounded_once(bases, tmp_path, variant):
    base = bases(dtype=torch.bfloat16)
    wanted = logits_of(train(base, tmp_path / "lora", **VARIANTS[variant]))
    single = loaded_logits(adapter(base, tmp_path / "lora", "float32"), tmp_path, "float32")
    assert (single - wanted).abs().max() < 1e-4 * wanted.abs().max()
    half = load_model(adapter(base, tmp_path / "lora", "bfloat16"), tmp_path, EngineSettings(dtype="bfloat16"), CPU)
    double = load_model(adapter(base, tmp_path / "lora"), tmp_path, EngineSettings(), CPU)
    for mine, exact in zip(half.parameters(), double.parameters(), strict=True):
        assert torch.equal(mine, exact.to(torch.bfloat16))


REFUSED = {
    "pissa_niter": ({"init_lora_weights": "pissa_niter_4"}, {}, "cannot be repeated; convert it with PEFT"),
    "activated": ({"alora_invocation_tokens": [5]}, {}, "aLoRA does not support safe merging; merge it"),
    "another base": ({}, {"hidden_size": 32}, "the adapter cannot be put on its base: size mismatch"),
    "a layer more": ({"target_modules": ["q_proj", "v_proj"]}, {"left": "v_proj"}, "v_proj.* is not in both"),
    "no rows for new tokens": ({"target_modules": ["embed_tokens"]}, {"tokens": 520}, "lacks the further rows"),
    "not a number": ({}, {"nan": True}, "NaNs detected"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_agree_is_one_line(bases, tmp_path, name):
    settings, change, said = REFUSED[name]
    base = bases()
    train(base, tmp_path / "lora", change.get("tokens"), **settings)
    from safetensors.torch import load_file, save_file

    file = tmp_path / "lora/adapter_model.safetensors"
    content = load_file(file)
    if "hidden_size" in change:
        content = {key: value[..., :32].contiguous() if "lora_A" in key else value for key, value in content.items()}
    if "left" in change:
        path = tmp_path / "lora/adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"target_modules": ["q_proj"]}))
    if "nan" in change:
        next(iter(content.values())).view(-1)[0] = float("nan")
    save_file(content, file)
    info = adapter(base, tmp_path / "lora")
    with pytest.raises(RequestError, match=said) as caught:
        load_model(info, tmp_path, EngineSettings(), CPU)
    assert str(caught.value).startswith("models.lora: ")
    assert "\n" not in str(caught.value)


def test_a_token_without_an_embedding_is_one_line(tiny_checkpoint, resolved):
    folder = tiny_checkpoint("base")
    engine = TransformersEngine(resolved(folder), folder.parent, EngineSettings())
    with pytest.raises(
        RequestError, match=r"models\.tiny: its tokenizer knows token 100000 .* embeddings for \d+ tokens"
    ):
        list(engine.generate([TokenRequest("k", (1, 100_000), Decoding(temperature=0, max_new_tokens=2), None)]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_soup_of_one_adapter_is_that_adapter(bases, tmp_path, dtype):
    base = bases(dtype=dtype)
    train(base, tmp_path / "lora")
    info = adapter(base, tmp_path / "lora")
    soup = build_merge("soup", Recipe("linear", (info.fingerprint,), (1.0,)), [info], tmp_path / "soup", tmp_path)
    assert (soup.fingerprint, soup.base, soup.kind) == (info.fingerprint, info.base, "merge")
    assert torch.equal(loaded_logits(soup, tmp_path), loaded_logits(info, tmp_path))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_a_soup_of_adapters_is_summed_before_it_is_rounded(bases, tmp_path, tied):
    from safetensors.torch import load_file

    base = bases(tied, torch.bfloat16)
    infos = []
    for name, target in (("one", "lm_head"), ("two", "q_proj")):
        train(base, tmp_path / name, target_modules=[target])
        infos.append(adapter(base, tmp_path / name))
    recipe = Recipe("linear", tuple(info.fingerprint for info in infos), (0.25, 0.75))
    soup = build_merge("soup", recipe, infos, tmp_path / "soup", tmp_path)
    exact = [load_model(info, tmp_path, EngineSettings(), CPU).state_dict() for info in infos]
    merged = load_file(tmp_path / "soup/model.safetensors")
    assert "lm_head.weight" in merged
    assert json.loads((tmp_path / "soup/config.json").read_text())["dtype"] == "bfloat16"
    for name, value in merged.items():
        wanted = 0.25 * exact[0][name] + 0.75 * exact[1][name]
        assert value.dtype == torch.bfloat16
        # Once through float32 and once to bfloat16: at most one unit in the last place, and that seldom.
        assert (value != wanted.to(torch.bfloat16)).float().mean() < 1e-3, name
    model = load_model(soup, tmp_path, EngineSettings(), CPU)
    assert torch.equal(model.lm_head.weight, merged["lm_head.weight"].double())
    assert torch.equal(model.model.embed_tokens.weight, merged["model.embed_tokens.weight"].double())


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_that_needs_another_architecture_is_not_merged_into_files(bases, tmp_path):
    base = bases()
    train(base, tmp_path / "lora", lora_bias=True)
    info = adapter(base, tmp_path / "lora")
    recipe = Recipe("linear", (info.fingerprint,) * 2, (0.5, 0.5))
    with pytest.raises(RequestError, match=r"models\.lora: the adapter adds model\.layers\.0\.self_attn\.q_proj\.bias"):
        build_merge("soup", recipe, [info], tmp_path / "soup", tmp_path)
