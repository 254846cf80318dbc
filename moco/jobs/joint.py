"""Joint decoding: several models write one reply together, through the store like any other reply."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from moco.config.decoding import Decoding
from moco.decoding.program import Program
from moco.digest import canonical_json, digest
from moco.engines.render import Rendered
from moco.engines.responses import Segment
from moco.errors import RequestError
from moco.jobs.fetch import fetch
from moco.jobs.inference import Inference, Reply, make_reply
from moco.methods.base import JointRequest
from moco.models.info import ModelInfo
from moco.store.generations import Stored, StoredReply
from moco.store.keys import joint_key, prompt_digest

if TYPE_CHECKING:
    from moco.decoding.loop import Row
    from moco.engines.base import LiveEngine


@dataclass(frozen=True)
class _Prepared:
    key: str
    prompts: tuple[tuple[int, ...], ...]
    decoding: Decoding
    seed: int | None
    shown: Rendered

    @property
    def width(self) -> int:
        """Tokens that the request occupies in the model with the longest prompt."""
        return max(map(len, self.prompts)) + self.decoding.max_new_tokens


def check_one_vocabulary(infos: Sequence[ModelInfo]) -> None:
    """Check that token ids mean the same to all models, before any weights are loaded.

    Raises:
        RequestError: They do not; the message names the first two that differ.
    """
    for info in infos[1:]:
        if info.tokenizer != infos[0].tokenizer:
            raise RequestError(
                f"{infos[0].name} and {info.name} have different vocabularies, so their logits cannot be combined",
                where=f"models.{info.name}",
                remedy="use models with one tokenizer",
            )


class JointInference:
    """Joint replies of some models of a job.

    Every model reads the prompt under its own chat template; the tokens of the reply are shared.

    Args:
        inference: Knows the models, their engines and the store.
        models: Names, in order.
    """

    def __init__(self, inference: Inference, models: Sequence[str]) -> None:
        self._inference = inference
        self._models = list(models)

    def run(
        self, requests: Sequence[JointRequest], program: Program, seed: int, label: str = "joint replies"
    ) -> list[Reply]:
        """Return the replies in the order of the requests, with the number of prompt tokens of the first model.

        Args:
            requests: What is asked; each brings its decoding settings.
            program: How the models write.
            seed: Of the run.
            label: What they are, in the plural.

        Raises:
            RequestError: The models have different vocabularies.
        """
        infos = [self._inference.info(name) for name in self._models]
        if program.one_vocabulary:
            check_one_vocabulary(infos)
        places, program = program.members([info.fingerprint for info in infos])
        used = [self._models[place] for place in places]
        prepared = [self._prepare(request, used, program, seed) for request in requests]
        fingerprint = digest("joint", program.key(), [self._inference.info(name).fingerprint for name in used])
        stored, fresh = fetch(
            self._inference.store.partition(fingerprint),
            {item.key: item for item in prepared},
            lambda missing: self._generate(missing, used, program),
            who=" + ".join(used),
            label=label,
            flush_seconds=self._inference.settings(used[0]).flush_seconds,
        )
        replies = []
        for item in prepared:
            reply = make_reply(stored[item.key], item.shown, cached=item.key not in fresh)
            read = {name: len(prompt) for name, prompt in zip(used, item.prompts, strict=True)}
            replies.append(replace(_with_segments(reply, stored[item.key], used), read=read))
        return replies

    def _prepare(self, request: JointRequest, models: Sequence[str], program: Program, seed: int) -> _Prepared:
        decoding = request.decoding
        assert decoding is not None
        rendered = [self._inference.renderer(name).render(request.prompt, decoding.max_new_tokens) for name in models]
        members = [
            (self._inference.info(name).fingerprint, prompt_digest(each.tokens), self._inference.settings(name).key())
            for name, each in zip(models, rendered, strict=True)
        ]
        key, own = joint_key(program.key(), members, decoding, seed, request.sample)
        flag = max((each.flag for each in rendered), key=("ok", "shortened", "truncated").index)
        left_out = max(each.left_out for each in rendered)
        prompts = tuple(each.tokens for each in rendered)
        shown = replace(rendered[0], flag=flag, left_out=left_out)
        return _Prepared(key, prompts, decoding, own, shown)

    def _generate(self, missing: Sequence[_Prepared], models: Sequence[str], program: Program) -> Iterator[Stored]:
        from moco.engines.memory import work_in_batches

        settings = self._inference.settings(models[0])
        engines = self._inference.live(models)
        infos = [self._inference.info(name) for name in models]
        yield from work_in_batches(
            missing,
            settings.batch_rows,
            settings.batch_tokens,
            lambda batch: _write_batch(engines, infos, batch, program),
            who=" + ".join(models),
        )


def _write_batch(
    engines: Sequence["LiveEngine"], infos: Sequence[ModelInfo], batch: Sequence[_Prepared], program: Program
) -> Iterator[Stored]:
    from moco.decoding.loop import Row
    from moco.decoding.session import Session

    rows = [Row(item.key, item.prompts[0], item.decoding, item.seed, item.prompts) for item in batch]
    for row in Session(engines, infos).run(program, rows):
        yield engines[0].stored(row) if row.text is None else _stored_text(row, row.text)


def _stored_text(row: "Row", text: str) -> Stored:
    """Return a reply that models wrote in turn as it is stored."""
    return Stored(
        key=row.key,
        text=text,
        finish="stop" if row.stopped else "length",
        prompt_tokens=len(row.prompt),
        tokens=row.tokens,
        logprobs=row.logprobs,
        top_k=0,
        top_ids=[],
        top_logprobs=[],
        tail=[],
        seconds=row.seconds,
        segments=canonical_json(row.segments),
    )


def _with_segments(reply: Reply, stored: StoredReply, models: Sequence[str]) -> Reply:
    """Return a reply that says who wrote which part of the text that is visible."""
    if stored.segments is None:
        return reply
    text = reply.response.text
    before = stored.text.rfind(text)  # the visible text is what remains at the end
    segments = tuple(
        Segment(models[place], max(0, start - before), min(len(text), end - before), logprob)
        for place, start, end, logprob in json.loads(stored.segments)
        if text and (end > before or start >= before) and start - before < len(text)
    )
    return replace(reply, response=replace(reply.response, segments=segments))
