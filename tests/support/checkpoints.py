"""Tiny random checkpoints of models that judge."""

from pathlib import Path


def judge_checkpoints(folder: Path, context: int) -> dict[str, Path]:
    """Return a classifier with one logit (`reward`) and an encoder with absolute positions (`embed`).

    Args:
        folder: Receives them below `checkpoints`.
        context: Positions that they read.
    """
    import torch
    from transformers import DistilBertConfig, DistilBertModel, LlamaConfig, LlamaForSequenceClassification

    from moco.zoo.tokenizer import save_tokenizer, train_tokenizer

    tokenizer = train_tokenizer(512, context)
    common = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.2,
        "max_position_embeddings": context,
    }
    llama = LlamaConfig(
        **common,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_labels=1,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    bert = DistilBertConfig(**common, dim=64, hidden_dim=96, n_layers=2, n_heads=2)
    made = {}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for name, network in (("reward", LlamaForSequenceClassification(llama)), ("embed", DistilBertModel(bert))):
            made[name] = folder / "checkpoints" / name
            network.save_pretrained(made[name])
            save_tokenizer(tokenizer, made[name])
    return made
