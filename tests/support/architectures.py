"""Tiny random models of many architectures, small enough that their windows and chunks are shorter than a prompt."""

from pathlib import Path
from typing import Any

VOCABULARY = 512

_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "n_positions": 256,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 2,
    "n_inner": 48,
    "n_layers": 2,
    "n_heads": 2,
    "d_model": 32,
    "max_seq_len": 256,
    "num_layers": 2,
    "ffn_dim": 48,
    "attention_heads": 2,
    "word_embed_proj_dim": 32,
    "sliding_window": 8,
    "attention_window_size": 8,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "rotary_dim": 8,
    "state_size": 8,
    "attention_hidden_size": 32,
    "context_length": 256,
}
"""What architectures call their sizes; one takes those that it knows."""

SPECIAL: dict[str, dict[str, Any]] = {
    "mistral": {"use_sliding_window": True},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 1},
    "gpt_neo": {"hidden_size": 32, "num_heads": 2, "attention_types": [[["global", "local"], 1]], "window_size": 8},
    "mamba2": {"num_heads": 8, "head_dim": 8, "expand": 2, "n_groups": 1, "chunk_size": 8},
    "bamba": {
        "attn_layer_indices": [1],
        "mamba_n_heads": 4,
        "mamba_d_head": 16,
        "mamba_expand": 2,
        "mamba_n_groups": 1,
        "mamba_d_state": 8,
    },
    "jamba": {"num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2},
    "recurrent_gemma": {"num_hidden_layers": 3, "lru_width": 32},
    "diffllama": {"num_key_value_heads": 2},
    "gemma3_text": {"layer_types": ["sliding_attention", "full_attention"]},
    "cohere2": {"layer_types": ["sliding_attention", "full_attention"]},
    "exaone4": {"layer_types": ["sliding_attention", "full_attention"]},
    "codegen": {"num_attention_heads": 4, "hidden_size": 64},
    "falcon_h1": {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_ssm": 64, "mamba_n_groups": 1, "mamba_d_state": 8},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "minimax": {"layer_types": ["linear_attention", "full_attention"], "block_size": 8},
}


def tiny_model(kind: str, folder: Path, **changes: Any) -> Path:
    """Save a random model of an architecture with a tokenizer, and return its folder.

    Args:
        kind: `model_type` of the architecture.
        folder: Receives the checkpoint.
        changes: Settings that differ from the usual small ones.
    """
    import inspect

    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from moco.zoo.tokenizer import save_tokenizer, train_tokenizer

    tokenizer = train_tokenizer(VOCABULARY, 256)
    made = CONFIG_MAPPING[kind]
    known = {*getattr(made, "__dataclass_fields__", {}), *inspect.signature(made.__init__).parameters}
    known |= set(getattr(made, "attribute_map", {}))
    sizes = {name: value for name, value in _SIZES.items() if name in known}
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    config = made(**{**sizes, "vocab_size": len(tokenizer), **ids, **SPECIAL.get(kind, {}), **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).float()
        for name, weight in model.named_parameters():
            # Wide enough that replies depend on the whole prompt; what decides how a state decays stays as it is.
            if weight.dim() >= 2 and not any(part in name for part in ("A_log", "time_", "conv", "rg_lru", "slope")):
                torch.nn.init.normal_(weight, std=0.25)
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder
