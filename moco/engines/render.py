"""From one user turn to token ids, the same way for every method and engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from moco.engines.thoughts import ReplyText
from moco.errors import RequestError
from moco.models.info import ModelInfo
from moco.models.tokenizer import load_tokenizer
from moco.prompts.budget import Shortened, shortened

CHARACTERS_PER_TOKEN = 4
"""About as many has a token of a model whose tokenizer is not at hand."""


@dataclass(frozen=True)
class Rendered:
    """A prompt as token ids.

    Attributes:
        tokens: Token ids, template included.
        flag: `ok`; `shortened` when parts that may shrink were cut to fit the context; `truncated` when even so the
            beginning of the user's text had to be.
        thinking: The template has opened a thought that the reply will close.
        text: The user's text as it is sent.
        left_out: Tokens of the user's text that are not in it.
    """

    tokens: tuple[int, ...]
    flag: str
    thinking: bool
    text: str
    left_out: int = 0


class Renderer:
    """Renders prompts for one model; loads its tokenizer, not its weights.

    Args:
        info: The model.
        root: Folder that holds `results`.
    """

    def __init__(self, info: ModelInfo, root: Path) -> None:
        folder = info.tokenizer_folder(root)
        self._info = info
        self._tokenizer = load_tokenizer(folder, trust_remote_code=info.trust_remote_code)
        self._thoughts = ReplyText(self._tokenizer)
        self._today = datetime.fromisoformat(info.template_date)
        ends = (self._tokenizer.eos_token_id, self._tokenizer.sep_token_id)
        self._ends = {number for number in ends if number is not None}

    def _ids(self, prompt: str) -> tuple[list[int], bool]:
        if self._info.prompt_mode == "raw":
            return self._raw(prompt), False
        text = self._templated([{"role": "user", "content": prompt}], add_generation_prompt=True)
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return list(ids), self._thoughts.opens(text)

    def _templated(self, turns: list[dict[str, str]], *, add_generation_prompt: bool = False) -> str:
        """Return turns in the chat template, in which today is the day that the study says."""
        # The template's environment is where it finds a clock: transformers hands it no functions of the caller.
        from transformers.utils.chat_template_utils import _compile_jinja_template

        template = self._tokenizer.get_chat_template()
        _compile_jinja_template(template).environment.globals["strftime_now"] = self._today.strftime
        text: str = self._tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return text

    def _raw(self, prompt: str) -> list[int]:
        """Return a prompt that the reply goes on with: with the tokens put before a text, without those put after it.

        A tokenizer that ends every text, as for training, would have the model answer after the end; and one that
        begins every text needs no second beginning where the prompt has its own.
        """
        ids = list(self._tokenizer(prompt)["input_ids"])
        own = list(self._tokenizer(prompt, add_special_tokens=False)["input_ids"])
        begin = self._tokenizer.bos_token_id
        added = len(ids) - len(own)
        before = next((place for place in range(added + 1) if own and ids[place : place + len(own)] == own), None)
        if before is None:
            before, own = int(bool(ids) and ids[0] == begin), []
        while len(ids) > before + len(own) and ids[-1] in self._ends:
            ids.pop()
        return ids[1:] if before and own and ids[:2] == [begin, begin] else ids

    def continuation(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a text that follows a prompt."""
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    @cached_property
    def end(self) -> int:
        """The token that ends a reply: the first special one that the chat template puts after it, else that of the text."""
        last: int = self._tokenizer.eos_token_id
        if self._info.prompt_mode == "raw":
            return last
        turn, reply = {"role": "user", "content": "1"}, "A reply."
        text = self._templated([turn, {"role": "assistant", "content": reply}])
        after = self._tokenizer(text[text.rfind(reply) + len(reply) :], add_special_tokens=False)["input_ids"]
        special = set(self._tokenizer.all_special_ids) | {
            number for number, token in self._tokenizer.added_tokens_decoder.items() if token.special
        }
        return next((number for number in after if number in special), last)

    def render(self, prompt: str, max_new_tokens: int) -> Rendered:
        """Return the token ids of a prompt with room for the reply.

        In a prompt that is too long the parts that may shrink are shortened evenly. Where the others alone are too long,
        it loses the beginning of the user's text, never the template. Both are flagged.

        Args:
            prompt: The user's text.
            max_new_tokens: Tokens of the reply.

        Raises:
            RequestError: The reply alone leaves no room for a prompt.
        """
        ids, thinking = self._ids(prompt)
        room = self._info.context - max_new_tokens
        if len(ids) <= room:
            return Rendered(tuple(ids), "ok", thinking, prompt)
        short = shortened(prompt, room, lambda text: len(self._ids(text)[0]), self._ends_of_tokens)
        if short.left_out:
            ids, thinking = self._ids(short.text)
            if len(ids) <= room:
                return Rendered(tuple(ids), "shortened", thinking, short.text, short.left_out)
        body = self._tokenizer(short.text, add_special_tokens=False)["input_ids"]
        cut = len(ids) - room
        while cut < len(body):
            text = self._tokenizer.decode(body[cut:])
            ids, thinking = self._ids(text)
            if len(ids) <= room:
                return Rendered(tuple(ids), "truncated", thinking, text, short.left_out + cut)
            cut += max(1, len(ids) - room)
        raise RequestError(
            f"context of {self._info.context} tokens leaves no room for a prompt with {max_new_tokens} new tokens",
            where=f"models.{self._info.name}",
            remedy="lower max_new_tokens",
        )

    def _ends_of_tokens(self, texts: Sequence[str]) -> list[list[int]]:
        if self._tokenizer.is_fast:
            found = self._tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)
            return [[end for _, end in offsets] for offsets in found["offset_mapping"]]
        # Tokenizers in Python do not say where a token ends.
        ids = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [_spread(len(text), len(own)) for text, own in zip(texts, ids, strict=True)]

    def text(self, text: str, limit: int) -> tuple[int, ...]:
        """Return the first `limit` token ids of a text, with the special tokens that its encoder expects."""
        limit = min(limit, self._tokenizer.model_max_length)
        return tuple(self._tokenizer(text, truncation=True, max_length=limit)["input_ids"])

    def conversation(self, prompt: str, reply: str, limit: int) -> tuple[int, ...]:
        """Return the token ids of a user turn and a reply, `limit` at most.

        What is too long loses the beginning of the user's text, then all of it, then the end of the reply; never the
        template.

        Raises:
            RequestError: The template alone is longer.
        """
        ids = self._turns(prompt, reply)
        body = self._tokenizer(prompt, add_special_tokens=False)["input_ids"]
        cut = len(ids) - limit
        while len(ids) > limit and cut < len(body):
            ids = self._turns(self._tokenizer.decode(body[cut:]), reply)
            cut += max(1, len(ids) - limit)
        if len(ids) <= limit:
            return tuple(ids)
        ids = self._turns("", reply)
        body = self._tokenizer(reply, add_special_tokens=False)["input_ids"]
        kept = len(body)
        while len(ids) > limit and kept > 0:
            kept -= max(1, len(ids) - limit)
            ids = self._turns("", self._tokenizer.decode(body[: max(kept, 0)]))
        if len(ids) > limit:
            raise RequestError(
                f"{limit} tokens leave no room for a reply",
                where=f"models.{self._info.name}",
                remedy="raise scoring.max_length",
            )
        return tuple(ids)

    def _turns(self, prompt: str, reply: str) -> list[int]:
        if self._info.prompt_mode == "raw":
            return list(self._tokenizer(prompt, reply)["input_ids"])
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]
        text = self._templated(turns)
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def for_server(prompt: str, context: int, max_new_tokens: int) -> Shortened:
    """Return the prompt of a served model, shortened where it is too long by the usual length of a token.

    Args:
        prompt: The user's text.
        context: Declared context in tokens; 0 where none is, and then nothing is shortened.
        max_new_tokens: Tokens of the reply.
    """

    def length(text: str) -> int:
        return -(-len(text) // CHARACTERS_PER_TOKEN)

    room = context - max_new_tokens
    if not context or length(prompt) <= room:
        return Shortened(prompt)
    return shortened(prompt, room, length, lambda texts: [_spread(len(text), length(text)) for text in texts])


def _spread(characters: int, tokens: int) -> list[int]:
    """Return where tokens end that are equally long."""
    return [characters * number // tokens for number in range(1, tokens + 1)]
