"""Models of a few lines that can be stepped: what comes next is a function of the reply so far."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from moco.decoding.pieces import Pieces

END, PAD = "<|end|>", "<|pad|>"
MARK = "|"
"""The last character of a prompt."""
Piece = int | str
"""A byte, or a word or special token of the vocabulary."""
Script = Callable[[bytes], Mapping[Piece, float]]
"""From the reply so far to probabilities of what comes next."""


def byte_tokenizer(words: Sequence[str] = ()) -> Any:
    """Return a tokenizer of single bytes and some whole words, each of which every text is cut into where it stands."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({PAD: 0, END: 1} | {char: 2 + place for place, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in words])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END)


class ScriptedModel:
    """An engine whose model is a script.

    Args:
        script: What it says.
        tokenizer: Of its vocabulary.

    Attributes:
        reads: Number of tokens of each row that were read at each step, prompts left out.
    """

    top_logprobs = 5

    def __init__(self, script: Script, tokenizer: Any) -> None:
        self.tokenizer, self.stop_ids = tokenizer, frozenset({tokenizer.eos_token_id})
        self.reads: list[list[int]] = []
        self._script, self._pieces = script, Pieces(tokenizer)
        self._bytes = {self._pieces.of(token)[0]: token for token in range(2, 258)}

    def stepper(self, prompts: Sequence[Sequence[int]]) -> "_Steps":
        """Return the state over a batch of prompts."""
        return _Steps(self, [list(prompt) for prompt in prompts])

    def row(self, tokens: list[int]) -> torch.Tensor:
        """Return the logits after some tokens."""
        mark = self.id_of(ord(MARK))
        start = tokens.index(mark) + 1 if mark in tokens else len(tokens)
        chances = self._script(b"".join(map(self._pieces.of, tokens[start:])))
        logits = torch.full((len(self.tokenizer),), -1e4, dtype=torch.float64)
        for piece, chance in chances.items():
            logits[self.id_of(piece)] = torch.tensor(chance, dtype=torch.float64).log()
        return logits

    def id_of(self, piece: Piece) -> int:
        """Return the token of a piece."""
        return self._bytes[piece] if isinstance(piece, int) else int(self.tokenizer.convert_tokens_to_ids(piece))


class _Steps:
    def __init__(self, model: ScriptedModel, rows: list[list[int]]) -> None:
        self._model, self._rows = model, rows

    def __deepcopy__(self, _memo: dict[int, Any]) -> "_Steps":
        return _Steps(self._model, [list(row) for row in self._rows])

    @property
    def logits(self) -> torch.Tensor:
        return torch.stack([self._model.row(row) for row in self._rows])

    def feed(self, tokens: torch.Tensor, rows: torch.Tensor | None = None) -> None:
        if rows is not None:
            self.keep(rows)
        for row, token in zip(self._rows, tokens.tolist(), strict=True):
            row.append(token)

    def keep(self, rows: torch.Tensor) -> None:
        self._rows = [list(self._rows[row]) for row in rows.tolist()]

    def splice(self, cut: Sequence[int], added: Sequence[Sequence[int]]) -> None:
        self._model.reads.append([len(each) for each in added])
        self._rows = [
            [*row[: len(row) - count], *each] for row, count, each in zip(self._rows, cut, added, strict=True)
        ]

    def score(self, continuations: Sequence[Sequence[int]], rows: Sequence[int] | None = None) -> list[list[float]]:
        scored = []
        follows = self._rows if rows is None else [self._rows[row] for row in rows]
        for row, each in zip(follows, continuations, strict=True):
            steps = [torch.log_softmax(self._model.row([*row, *each[:n]]), -1)[each[n]] for n in range(len(each))]
            scored.append([float(step) for step in steps])
        return scored


def about(name: str, tokenizer: str, context: int = 4096) -> Any:
    """Return what a session needs to know of a model."""
    return SimpleNamespace(name=name, tokenizer=tokenizer, context=context)


def save_random_model(tokenizer: Any, folder: Path, seed: int, context: int = 512) -> Path:
    """Write a small random Llama with a tokenizer, whose chat template is a turn's bare text and a mark."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.2,
        max_position_embeddings=context,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    # Only ASCII is likely, so that a greedy reply is cut into the same tokens again, and blanks are.
    pieces = Pieces(tokenizer)
    for token in range(len(tokenizer)):
        data = pieces.of(token)
        model.lm_head.weight.data[token] *= 0 if not data or data[0] > 126 else 3 if data == b" " else 1
    model.save_pretrained(folder)
    tokenizer.chat_template = "{{- messages[0]['content'] -}}{%- if add_generation_prompt -%}{{- '\n>' -}}{%- endif -%}"
    tokenizer.save_pretrained(folder)
    return folder
