"""Adapters that vLLM would refuse or compute wrongly are refused before it starts."""

import json

import pytest
import torch
from safetensors.torch import save_file

from moco.engines.vllm.engine import Extent
from moco.errors import RequestError

LAYER = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture
def extent(tiny_checkpoint, resolved, tmp_path):
    base = resolved(tiny_checkpoint("base"))

    def of(*, tied=False, tensors=(LAYER,), **settings) -> Extent:
        folder = tmp_path / "lora"
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"r": 4, "bias": "none", **settings}))
        save_file({name: torch.zeros(4, 4) for name in tensors}, folder / "adapter_model.safetensors")
        location = tiny_checkpoint("base")
        if tied:
            location = tmp_path / "tied"
            location.mkdir()
            save_file({"model.embed_tokens.weight": torch.zeros(4, 4)}, location / "model.safetensors")
        info = type(base)(
            **{**vars(base), "name": "lora", "location": str(folder), "base": {"location": str(location)}}
        )
        return Extent.of([info], tmp_path)

    return of


BEYOND = {
    "use_dora": {"use_dora": True},
    "modules_to_save": {"modules_to_save": ["norm"]},
    "rank_pattern": {"rank_pattern": {"q_proj": 8}},
    "alpha_pattern": {"alpha_pattern": {"q_proj": 8}},
    "trainable_token_indices": {"trainable_token_indices": [3]},
    "init_lora_weights: pissa_niter_4": {"init_lora_weights": "pissa_niter_4"},
    "init_lora_weights: olora": {"init_lora_weights": "olora"},
    "bias: all": {"bias": "all"},
    "the whole layer base_model.model.lm_head.weight": {"tensors": (LAYER, "base_model.model.lm_head.weight")},
    "a change of tied embeddings": {"tied": True, "tensors": ("base_model.model.lm_head.lora_A.weight",)},
}


@pytest.mark.parametrize("name", BEYOND)
def test_what_vllm_does_not_honour_is_one_line(extent, name):
    with pytest.raises(RequestError) as caught:
        extent(**BEYOND[name])
    assert str(caught.value).startswith(f"models.lora: adapter with {name}")
    assert str(caught.value).endswith(
        ", which vllm does not take into account; give this model engine: {kind: transformers}"
    )


@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, {"init_lora_weights": True}, {"rank_pattern": {}}])
def test_what_it_honours_is_served(extent, settings):
    assert extent(**settings).rank == 8


def test_an_output_layer_of_its_own_may_be_changed(extent):
    assert extent(tensors=("base_model.model.lm_head.lora_A.weight",)).rank == 8
