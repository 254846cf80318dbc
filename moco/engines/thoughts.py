"""Thoughts of models that think before they answer: their marks in token ids and in text."""

from collections.abc import Sequence
from typing import Any

OPEN_THOUGHT, CLOSE_THOUGHT = "<think>", "</think>"
"""The marks in stored replies, whatever a model's own are."""

_OWN_MARKS = (
    (OPEN_THOUGHT, CLOSE_THOUGHT),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("◁think▷", "◁/think▷"),
)


class ReplyText:
    """From the token ids of replies to their text, without special tokens but with the marks of thoughts.

    Marks that are tokens of their own are kept where they are special tokens too, since what stands between them would
    pass for the answer without them.

    Args:
        tokenizer: Of the model.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = getattr(tokenizer, "added_tokens_decoder", {})
        known = {mark: plain for pair in _OWN_MARKS for mark, plain in zip(pair, _OWN_MARKS[0], strict=True)}
        self._special = {number for number, token in added.items() if token.special}
        self._special |= set(getattr(tokenizer, "all_special_ids", ()))
        # A mark that is plain text already needs nothing.
        self._marks = {
            number: (token.content, known[token.content])
            for number, token in added.items()
            if token.content in known and (number in self._special or token.content != known[token.content])
        }
        self._opening = tuple(
            mark for mark, plain in self._marks.values() if plain == OPEN_THOUGHT and mark != OPEN_THOUGHT
        )

    def of(self, tokens: Sequence[int]) -> str:
        """Return the text of a reply."""
        if self._marks.keys().isdisjoint(tokens):
            return str(self._tokenizer.decode(tokens, skip_special_tokens=True))
        kept = [token for token in tokens if token not in self._special or token in self._marks]
        text = str(self._tokenizer.decode(kept, skip_special_tokens=False))
        for mark, plain in self._marks.values():
            text = text.replace(mark, plain)
        return text

    def opens(self, prompt: str) -> bool:
        """Return whether a prompt ends in a thought that the reply will close."""
        return prompt.rstrip().endswith((OPEN_THOUGHT, *self._opening))


def visible_text(text: str, *, thinking: bool = False) -> tuple[str, str]:
    """Return the reply without its thinking text, and the state of the thought.

    Args:
        text: Whole reply.
        thinking: The prompt already opened a thought.

    Returns:
        Visible text, stripped, and `none`, `closed` or `unclosed`; an unclosed thought leaves an empty text.
    """
    _, close, after = text.rpartition(CLOSE_THOUGHT)
    if OPEN_THOUGHT in after or (thinking and not close):
        return "", "unclosed"
    return after.strip(), "closed" if close else "none"
