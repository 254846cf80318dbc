"""Tiny random models of many architectures, and what plain transformers says with them."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONTEXT = 128
WINDOW = 8

_COMMON = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}
_HEADS = {"head_dim": 8}
_UNGROUPED = {"num_key_value_heads": 4}
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}
_SLIDING_LAYERS = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": WINDOW}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
_MAMBA = {"mamba_d_state": 8, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_expand": 2}
_LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}

ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    # Attention, with rotary positions unless said.
    "llama": ("Llama", {}),
    "llama_tied": ("Llama", {"tie_word_embeddings": True, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
    "mistral": ("Mistral", {"sliding_window": WINDOW}),
    "ministral": ("Ministral", {**_HEADS, **_SLIDING_LAYERS}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen2_sliding": ("Qwen2", {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}),
    "qwen3": ("Qwen3", _HEADS),
    "gemma": ("Gemma", _HEADS),
    "gemma2": ("Gemma2", {**_HEADS, "sliding_window": WINDOW, "query_pre_attn_scalar": 8}),
    "gemma3_text": ("Gemma3Text", {**_HEADS, **_SLIDING_LAYERS, "query_pre_attn_scalar": 8}),
    "phi": ("Phi", _UNGROUPED),
    "phi3": ("Phi3", {"sliding_window": WINDOW}),
    "stablelm": ("StableLm", {}),
    "starcoder2": ("Starcoder2", {"sliding_window": WINDOW}),
    "cohere": ("Cohere", {}),
    "cohere2": ("Cohere2", {**_HEADS, **_SLIDING_LAYERS}),
    "olmo": ("Olmo", {}),
    "olmo2": ("Olmo2", {}),
    "olmo3": ("Olmo3", _SLIDING_LAYERS),
    "granite": ("Granite", {}),
    "glm": ("Glm", _HEADS),
    "glm4": ("Glm4", _HEADS),
    "nemotron": ("Nemotron", {}),
    "persimmon": ("Persimmon", _UNGROUPED),
    "ernie4_5": ("Ernie4_5", _HEADS),
    "smollm3": ("SmolLM3", {}),
    "helium": ("Helium", _HEADS),
    "exaone4": ("Exaone4", _SLIDING_LAYERS),
    "arcee": ("Arcee", {}),
    "apertus": ("Apertus", {}),
    "seed_oss": ("SeedOss", _HEADS),
    "diffllama": ("DiffLlama", _HEADS),
    "gpt_neox": ("GPTNeoX", {}),
    "gptj": ("GPTJ", {**_GPT, "rotary_dim": 4}),
    "codegen": ("CodeGen", {**_GPT, "rotary_dim": 4}),
    "falcon": ("Falcon", {"num_kv_heads": 2, "new_decoder_architecture": True}),
    # Absolute positions.
    "gpt2": ("GPT2", _GPT),
    "gpt_bigcode": ("GPTBigCode", _GPT),
    "gpt_neo": (
        "GPTNeo",
        {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
    ),
    "opt": ("OPT", {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "biogpt": ("BioGpt", {}),
    "xglm": ("XGLM", {"d_model": 32, "ffn_dim": 48, "num_layers": 2, "attention_heads": 4}),
    # Positions as a bias of attention.
    "bloom": ("Bloom", {"n_layer": 2, "n_head": 4, "tie_word_embeddings": False}),
    "mpt": ("Mpt", {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": CONTEXT, "expansion_ratio": 2}),
    "falcon_alibi": ("Falcon", {"alibi": True, "num_kv_heads": 4}),
    # Mixture of experts.
    "mixtral": ("Mixtral", {"num_local_experts": 4, "sliding_window": WINDOW}),
    "qwen2_moe": ("Qwen2Moe", {**_EXPERTS, "shared_expert_intermediate_size": 24}),
    "qwen3_moe": ("Qwen3Moe", {**_EXPERTS, **_HEADS}),
    "olmoe": ("Olmoe", _EXPERTS),
    "phimoe": ("Phimoe", {"num_local_experts": 4}),
    "granitemoe": ("GraniteMoe", {"num_local_experts": 4}),
    "deepseek_v3": (
        "DeepseekV3",
        {**_LATENT, **_UNGROUPED, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1}
        | {"moe_intermediate_size": 24, "first_k_dense_replace": 1},
    ),
    "gpt_oss": ("GptOss", {**_HEADS, **_SLIDING_LAYERS, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "dbrx": (
        "Dbrx",
        {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": CONTEXT}
        | {"attn_config": {"kv_n_heads": 2, "rope_theta": 10_000.0, "clip_qkv": 8.0}}
        | {"ffn_config": {"ffn_hidden_size": 24, "hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2}},
    ),
    # Memory that is no key-value cache, alone or beside attention.
    "mamba": ("Mamba", {"state_size": 8}),
    "mamba2": ("Mamba2", {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8}),
    "falcon_mamba": ("FalconMamba", {"state_size": 8}),
    "rwkv": ("Rwkv", {"attention_hidden_size": 32, "context_length": CONTEXT}),
    "recurrent_gemma": (
        "RecurrentGemma",
        {"num_hidden_layers": 3, "lru_width": 32, "attention_window_size": WINDOW, "num_key_value_heads": 1},
    ),
    "jamba": (
        "Jamba",
        {"num_hidden_layers": 3, "num_experts": 2, "attn_layer_period": 3, "attn_layer_offset": 1}
        | {"expert_layer_period": 2, "mamba_d_state": 8, "mamba_dt_rank": 4, "use_mamba_kernels": False},
    ),
    "bamba": ("Bamba", {**_MAMBA, "attn_layer_indices": [1], "mamba_chunk_size": 8}),
    "falcon_h1": ("FalconH1", {**_MAMBA, **_HEADS, "mamba_d_ssm": 64, "mamba_chunk_size": 8}),
    "zamba2": (
        "Zamba2",
        {**_UNGROUPED, "num_hidden_layers": 3, "layers_block_type": ["mamba", "hybrid", "mamba"], "n_mamba_heads": 8}
        | {"mamba_d_state": 8, "mamba_ngroups": 1, "chunk_size": 8, "num_mem_blocks": 1, "adapter_rank": 8}
        | {"use_mem_eff_path": False, "mamba_headdim": 8},
    ),
    "lfm2": ("Lfm2", {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False}),
    "qwen3_next": (
        "Qwen3Next",
        {**_HEADS, **_LINEAR, **_EXPERTS, "shared_expert_intermediate_size": 24}
        | {"layer_types": ["linear_attention", "full_attention"]},
    ),
    # They read with an encoder, which a prompt alone does not feed.
    "t5": ("T5", {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}),
    "bart": (
        "Bart",
        {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48}
        | {"decoder_ffn_dim": 48, "encoder_attention_heads": 4, "decoder_attention_heads": 4},
    ),
}
"""By name: the configuration's class, without `Config`, and what it is given besides the common sizes."""


def random_model(name: str, tokenizer: Any) -> Any:
    """Return a model whose replies depend on all of a prompt, and whose probabilities are not flat."""
    import torch
    import transformers

    start, changes = ARCHITECTURES[name]
    ids = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = getattr(transformers, f"{start}Config")(**_COMMON | changes | ids, vocab_size=len(tokenizer))
    auto = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
    draw = torch.Generator().manual_seed(7)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = auto.from_config(config)
    for weight in model.parameters():
        if weight.dim() >= 2 and weight.shape[0] > 1:
            weight.data = torch.randn(weight.shape, generator=draw) * 0.2
        elif weight.dim() == 1:
            weight.data = weight.data + torch.randn(weight.shape, generator=draw) * 0.05
    if model.get_output_embeddings().weight is model.get_input_embeddings().weight:
        # A model that compares what it read last with all tokens would repeat it for ever.
        model.get_input_embeddings().weight.data *= 0.2
    return model


def generated(
    folder: Path, prompts: Sequence[Sequence[int]], tokens: int, stop: Sequence[int]
) -> list[tuple[list[int], list[float]]]:
    """Return tokens and log-probabilities of transformers' own `generate`, greedy in float64, each prompt alone."""
    import torch
    from transformers import AutoModelForCausalLM

    # Experts in float64 have one implementation; architectures without experts take no notice.
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, experts_implementation="eager").eval()
    settings = {"do_sample": False, "max_new_tokens": tokens, "pad_token_id": 0, "eos_token_id": list(stop)}
    replies = []
    for prompt in prompts:
        ids = torch.tensor([list(prompt)])
        # A copy, since some models keep what they read last in themselves.
        made = copy.deepcopy(model).generate(ids, **settings, output_logits=True, return_dict_in_generate=True)
        reply = made.sequences[0, len(prompt) :].tolist()
        logprobs = [
            float(torch.log_softmax(logits[0].double(), dim=-1)[token])
            for logits, token in zip(made.logits, reply, strict=True)
        ]
        replies.append((reply, logprobs))
    return replies
