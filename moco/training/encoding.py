"""What of an example a model reads: token ids in the chat format of inference."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moco.engines.render import Renderer
from moco.engines.thoughts import CLOSE_THOUGHT
from moco.errors import RequestError
from moco.models.info import ModelInfo
from moco.training.examples import Example


@dataclass(frozen=True)
class Encoded:
    """An example as token ids, in the chat format of inference; replies end as the template ends them.

    Attributes:
        example: What it is of.
        prompt: Of the prompt, ready for a reply.
        reply: Of the reply with its end; empty in GRPO.
        rejected: Of the worse reply; empty but in DPO.
        flag: What became of the prompt, as for all prompts: `ok`, `shortened`, `truncated`; or `left out`, where the reply
            leaves no room for a prompt.
    """

    example: Example
    prompt: tuple[int, ...]
    reply: tuple[int, ...]
    rejected: tuple[int, ...]
    flag: str


class Encoder:
    """Turns examples into token ids for one model.

    Args:
        info: The model.
        root: The project folder.
        max_tokens: Longest prompt and reply together; the model's context where there is no limit.
    """

    def __init__(self, info: ModelInfo, root: Path, max_tokens: int | None) -> None:
        room = info.context if max_tokens is None else min(info.context, max_tokens)
        self._renderer = Renderer(replace(info, context=room), root)

    def encoded(self, example: Example, new_tokens: int = 0) -> Encoded:
        """Return an example as token ids.

        Args:
            example: What is learnt.
            new_tokens: Room for a reply that the model writes itself.
        """
        renderer, thinking = self._renderer, self._renderer.render("", 1).thinking
        texts = [f"{CLOSE_THOUGHT}\n\n{text}" if thinking else text for text in (example.reply, example.rejected)]
        reply, rejected = (
            (*renderer.continuation(text), renderer.end) if given else ()
            for given, text in zip((example.reply, example.rejected), texts, strict=True)
        )
        try:
            prompt = renderer.render(example.prompt, max(len(reply), len(rejected), new_tokens))
        except RequestError:
            return Encoded(example, (), reply, rejected, "left out")
        return Encoded(example, prompt.tokens, reply, rejected, prompt.flag)


def encode(
    examples: Sequence[Example], info: ModelInfo, root: Path, max_tokens: int | None, new_tokens: int = 0
) -> list[Encoded]:
    """Return examples as token ids; arguments as for `Encoder`.

    Raises:
        RequestError: There is nothing to learn, or nothing that fits.
    """
    where = f"training of {info.name}"
    if not examples:
        raise RequestError("nothing to learn: no example", where=where, remedy="see why the data are empty")
    encoder = Encoder(info, root, max_tokens)
    encoded = [encoder.encoded(example, new_tokens) for example in examples]
    if all(each.flag == "left out" for each in encoded):
        what = f"nothing to learn: none of {len(encoded)} replies leaves room for a prompt"
        raise RequestError(what, where=where, remedy="raise max_tokens")
    return encoded
