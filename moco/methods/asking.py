"""What fits and answers share: the pool, the questions, shared responses, and models that a method may ask."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, overload

import numpy as np

from moco.config.decoding import Decoding
from moco.decoding.program import Program
from moco.engines.responses import Response
from moco.methods.base import Choice, JointRequest, Member, Request
from moco.methods.calls import Calls
from moco.methods.logits import Logits, LogitsKind, OptionLogits, ReferenceLogits, ResponseLogits
from moco.methods.resources import (
    EmbedWork,
    JointResponse,
    JointWork,
    Measurement,
    Model,
    Resources,
    RewardWork,
)
from moco.progress import Progress
from moco.scoring import Extraction
from moco.seeds import generator
from moco.tasks.item import Question

T = TypeVar("T")
M = TypeVar("M", int, int | str)
R = TypeVar("R", bound=Resources)


@dataclass(frozen=True)
class Settings:
    """Settings of a context.

    Attributes:
        method: Id, for named randomness.
        seed: Run seed.
        decoding: The task's settings.
        decodings: Those of each task, where a fit has several that differ.
        answers: Answers per item that the task asks for; `answer` gets a question for each.
        group_score: The items of one group all score 1 if each of them is right, else 0.
        workdir: A fit's folder that survives failure; keyed by the fit's inputs.
    """

    method: str = ""
    seed: int = 1
    decoding: Decoding = field(default_factory=Decoding)
    decodings: Mapping[str, Decoding] = field(default_factory=dict)
    answers: int = 1
    group_score: bool = False
    workdir: Path | None = None


class _Read(Mapping[str, T]):
    """What was read of a source by item; `note` is told of every item that is looked up."""

    def __init__(self, source: Mapping[str, T], note: Callable[[str, T], None]) -> None:
        self._source, self._note = source, note

    def __getitem__(self, uid: str) -> T:
        value = self._source[uid]
        self._note(uid, value)
        return value

    def __contains__(self, uid: object) -> bool:
        return uid in self._source

    def __iter__(self) -> Iterator[str]:
        return iter(self._source)

    def __len__(self) -> int:
        return len(self._source)


class LiveModels:
    """Several loaded models that write replies together.

    Args:
        ctx: Of the method.
        members: Positions in the pool, roles of helpers, or names of models that the fit made.
    """

    def __init__(self, ctx: "Context[Any]", members: Sequence[Model]) -> None:
        self._ctx, self._members = ctx, tuple(members)

    def run(self, program: Program, requests: Sequence[JointRequest]) -> list[Response]:
        """Return one reply per request, in their order.

        Args:
            program: How the models write.
            requests: Prompts with their items.
        """
        return self._ctx._decode(self._members, program, requests)


class Context(Generic[R]):
    """What `fit` and `answer` share.

    Args:
        pool: Members, in order.
        questions: Items to work on.
        resources: What the method may use, behind a guard that knows what it declares.
        settings: Seed, decoding and the like.
    """

    def __init__(
        self, pool: Sequence[Member], questions: Sequence[Question], resources: R, settings: Settings | None = None
    ) -> None:
        self.pool, self.questions = tuple(pool), tuple(questions)
        self._resources, self._settings = resources, settings or Settings()
        self.decoding = self._settings.decoding
        self._task_of = {question.uid: question.task for question in self.questions}
        self._answer_of = {question.uid: question.answer for question in self.questions}
        self._calls = Calls()

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Rows of the calls file so far."""
        return self._calls.rows

    def plain(self, member: Model, sample: int = 0, items: Sequence[str] | None = None) -> Mapping[str, Response]:
        """Return a member's plain responses by item.

        Args:
            member: Position in the pool, or the name of a model that the fit made.
            sample: Which plain response.
            items: Uids of the items to be read; all when left out. Where `needs` declares lazy plain responses, a
                priced model is asked for these alone, so name all items of a round at once.
        """
        found = self._by_sample(items, member, sample, self._resources.plain)
        return _Read(found, lambda uid, reply: self._read_plain(uid, reply, member, sample))

    def _by_sample(
        self,
        items: Sequence[str] | None,
        member: M,
        sample: int,
        read: Callable[[M, int, Sequence[str]], Mapping[str, T]],
    ) -> Mapping[str, T]:
        """Return what is read of the named items, and of no others, where they happen to be there."""
        named = [question.uid for question in self.questions] if items is None else items
        # What is not declared is refused also where there is nothing to read.
        samples: dict[int, list[str]] = {} if named else {self._sample(member, sample, ""): []}
        for uid in named:
            samples.setdefault(self._sample(member, sample, uid), []).append(uid)
        read_of = {index: read(member, index, uids) for index, uids in samples.items()}
        found = {
            uid: of_sample[uid] for index, of_sample in read_of.items() for uid in samples[index] if uid in of_sample
        }
        return {uid: found[uid] for uid in named if uid in found}

    def _decoding_of(self, uid: str) -> Decoding:
        """Return the settings of an item's task."""
        return self._settings.decodings.get(self._task_of.get(uid, ""), self.decoding)

    def _sample(self, member: Model, sample: int, uid: str) -> int:
        """Return the stored index of a sample: equal members, and answers to one item, are different samples."""
        index = self._sample_of_answer(sample, uid)
        return self.pool[member].sample(index) if isinstance(member, int) else index

    def _sample_of_answer(self, sample: int, uid: str) -> int:
        return sample * self._settings.answers + self._answer_of.get(uid, 0)

    def _read_plain(self, uid: str, reply: Response, member: Model, sample: int) -> None:
        self._calls.read(uid, reply, "plain", "plain", *self._place(member), self._sample(member, sample, uid))

    def _place(self, member: Model) -> tuple[int, str]:
        return (member if isinstance(member, int) else -1), self._resources.name_of(member)

    @overload
    def logits(self, member: int, kind: Literal["options"]) -> Mapping[str, OptionLogits]: ...
    @overload
    def logits(self, member: int, kind: Literal["reference"]) -> Mapping[str, ReferenceLogits]: ...
    @overload
    def logits(
        self, member: int, kind: Literal["response"], sample: int = 0, items: Sequence[str] | None = None
    ) -> Mapping[str, ResponseLogits]: ...
    def logits(
        self, member: int, kind: LogitsKind, sample: int = 0, items: Sequence[str] | None = None
    ) -> Mapping[str, Any]:
        """Return a member's cached logits by item.

        Args:
            member: Position in the pool.
            kind: `options` of multiple choice items, `reference` answers, or the plain `response` itself.
            sample: Which plain response, for `response`.
            items: Uids of the items to be read, as for `plain`.
        """

        def read(member: int, index: int, uids: Sequence[str]) -> Mapping[str, Logits]:
            return self._resources.logits(member, kind, index, uids)

        found = self._by_sample(items, member, sample, read)
        if kind != "response":
            return _Read(found, lambda uid, logits: self._read_logits(uid, logits, kind, member))
        # They come with the plain response, and cost what it costs.
        plain = self._by_sample(items, member, sample, self._resources.plain)
        return _Read(found, lambda uid, _logits: self._read_plain(uid, plain[uid], member, sample))

    def _read_logits(self, uid: str, logits: Logits, kind: LogitsKind, member: int) -> None:
        assert not isinstance(logits, ResponseLogits)
        scored = logits.scored_tokens if isinstance(logits, OptionLogits) else len(logits.tokens)
        response = Response("", finish="scored", prompt_tokens=logits.prompt_tokens, completion_tokens=scored)
        self._calls.read(uid, response, "logits", kind, *self._place(member), 0)

    def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Return the replies to a round of requests, in their order."""
        placed = [
            replace(
                request,
                sample=self._sample(request.member, request.sample, request.uid),
                decoding=request.decoding or self._decoding_of(request.uid),
            )
            for request in requests
        ]
        responses: Sequence[Response] = self._resources.run(placed)
        for one, response in zip(placed, responses, strict=True):
            self._calls.ask(one.uid, response, "own", one.purpose, *self._place(one.member), one.sample, one.prompt)
        self._calls.rounds += 1
        return list(responses)

    def choose(self, choices: Sequence[Choice]) -> list[tuple[float, ...]]:
        """Return the log-probability of each option's text after its prompt, summed over its tokens, in a round."""
        found: Sequence[Measurement] = self._resources.run(choices)
        for one, measured in zip(choices, found, strict=True):
            self._note(measured, "choice", one.purpose, one.member, one.uid, one.prompt)
        self._calls.rounds += 1
        return [measured.values for measured in found]

    def embed(self, member: Model, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """Return the vectors of texts, texts x size, in a round of its own; they are no item's."""
        found = self._measured("embedding", [EmbedWork(member, text) for text in texts])
        return np.array([measured.values for measured in found], dtype=float)

    def reward(self, member: Model, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the rewards of prompts with replies, in a round of its own; they are no item's."""
        found = self._measured("reward", [RewardWork(member, prompt, reply) for prompt, reply in pairs])
        return [measured.values[0] for measured in found]

    def _measured(self, kind: str, work: Sequence[EmbedWork | RewardWork]) -> Sequence[Measurement]:
        found: Sequence[Measurement] = self._resources.run(work)
        for one, measured in zip(work, found, strict=True):
            self._note(measured, kind, kind, one.member, "", one.text if isinstance(one, EmbedWork) else one.prompt)
        self._calls.rounds += 1
        return found

    def _note(self, measured: Measurement, kind: str, purpose: str, member: Model, uid: str, prompt: str) -> None:
        response = Response(
            "",
            measured.key,
            finish="scored",
            prompt_flag=measured.prompt_flag,
            prompt_tokens=measured.prompt_tokens,
            completion_tokens=measured.completion_tokens,
            prompt_cut_tokens=measured.prompt_cut_tokens,
            sent=measured.sent,
        )
        self._calls.ask(uid, response, kind, purpose, *self._place(member), 0, prompt)

    def live(self, members: Sequence[Model]) -> LiveModels:
        """Return several models that write replies together, all in memory at once."""
        return LiveModels(self, members)

    def _decode(self, members: tuple[Model, ...], program: Program, requests: Sequence[JointRequest]) -> list[Response]:
        placed = [
            replace(
                request,
                sample=self._sample_of_answer(request.sample, request.uid),
                decoding=request.decoding or self._decoding_of(request.uid),
            )
            for request in requests
        ]
        replies: Sequence[JointResponse] = self._resources.run([JointWork(members, one, program) for one in placed])
        for one, reply in zip(placed, replies, strict=True):
            for member, prompt_tokens in reply.prompt_tokens.items():
                read = replace(reply.response, prompt_tokens=prompt_tokens)
                self._calls.ask(one.uid, read, "joint", one.purpose, *self._place(member), one.sample, one.prompt)
        self._calls.rounds += 1
        return [reply.response for reply in replies]

    def extract(self, question: Question, text: str) -> Extraction:
        """Read the answer out of a reply, as the scorer does."""
        return self._resources.rules(question.type).extract(question, text)

    def normal_form(self, question: Question, parsed: str) -> str:
        """Return the text under which answers that the metric treats alike are equal."""
        return self._resources.rules(question.type).normal_form(question, parsed)

    def rng(self, purpose: str, item: str, *, of: str | None = None) -> np.random.Generator:
        """Return the random generator of a named purpose and item.

        Args:
            purpose: What is drawn.
            item: For which item.
            of: Id of the method whose draw it is, where several methods share a step; the method's own when left out.
        """
        settings = self._settings
        return generator(settings.seed, settings.method if of is None else of, purpose, item)

    def progress(self, label: str, total: int) -> Progress:
        """Return a progress counter for long work inside the method."""
        return Progress(label, total)
