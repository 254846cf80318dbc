"""The tokenizer of the zoo: a small byte-level BPE, trained on what the models are taught."""

from functools import cache
from pathlib import Path
from typing import Literal

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from moco.prompts import blocks
from moco.tasks.item import LETTERS
from moco.zoo import skills
from moco.zoo.curriculum import pairs
from moco.zoo.roster import Training, ZooModel

USER, ASSISTANT, END, PAD = "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
SPECIAL = (PAD, END, USER, ASSISTANT)

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|assistant|>' if message['role'] == 'assistant' else '<|user|>' -}}"
    "{{- message['content'] -}}{{- '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)

# Fixed text that is a piece of its own: prompts become half as long, and the letter of an option stands right before
# its text, which brings the two together. The text of an option then has the pieces of an answer.
_PHRASES = (
    blocks.answer_format("exact_match"),
    blocks.answer_format("multiple_choice"),
    *(f"\n{letter}) " for letter in LETTERS[: skills.OPTIONS]),
    *(f"\n{number}) " for number in range(1, 6)),
    "\\box{",
    "[answer ",
    "\n[end]",
)

# No entry of the roster, so that no change of the roster changes the pieces.
_READER = ZooModel(
    "tokenizer",
    None,
    ("add", "reverse", "capital", "sort"),
    steps=16,
    training=Training(
        mixture={
            "exact": 0.3,
            "choice": 0.15,
            "together": 0.15,
            "route": 0.2,
            "judge": 0.05,
            "feedback": 0.05,
            "confidence": 0.05,
            "verify": 0.05,
        }
    ),
)


def _corpus() -> list[str]:
    sample = [pair for step in range(_READER.steps) for pair in pairs(_READER, step)]
    text = "\n".join(f"{pair.prompt}\n{pair.completion}" for pair in sample)
    for phrase in sorted(_PHRASES, key=len, reverse=True):
        text = text.replace(phrase, "\0")
    # A capital is two pieces, so that few of them tell capitals apart.
    for start in skills.CAPITAL_STARTS:
        text = text.replace(start, f"\0{start}\0")
    pieces = (*skills.CAPITAL_STARTS, *skills.CAPITAL_ENDS)
    return text.split("\0") + [piece for piece in pieces for _ in range(50)]


@cache
def _trained(vocabulary: int) -> str:
    tokenizer = Tokenizer(models.BPE())
    # Digits and letters of abbreviations stay single, so that a small model sees what it computes with.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d|[A-Z](?![a-z])"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(_PHRASES),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    tokenizer.add_tokens([AddedToken(phrase, normalized=False, special=False) for phrase in _PHRASES])
    return str(tokenizer.to_str())


def train_tokenizer(
    vocabulary: int, context: int, padding_side: Literal["left", "right"] = "left"
) -> PreTrainedTokenizerFast:
    """Return the tokenizer of the zoo.

    Args:
        vocabulary: Number of pieces.
        context: Longest sequence that its models take.
        padding_side: Where short texts are filled up: before them for models that write on.
    """
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(vocabulary)),
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        padding_side=padding_side,
    )


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the tokenizer with its chat template so that `AutoTokenizer.from_pretrained` reads it."""
    tokenizer.save_pretrained(folder)
