"""What a method may touch: the pool, the questions, shared responses, and requests of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moco.config.decoding import Decoding
from moco.errors import RequestError
from moco.methods.base import Member, Recipe, Request, Response
from moco.progress import Progress
from moco.scoring import Extraction, scorer_for
from moco.seeds import generator
from moco.tasks.item import Question, Reference

PlainSource = Callable[[str, int], Mapping[str, Response]]
Generate = Callable[[Sequence[Request]], Sequence[Response]]


def _undeclared(what: str) -> Callable[..., Any]:
    def refuse(*_arguments: Any) -> Any:
        raise RequestError(f"the method uses {what} that its `needs` does not declare", remedy="declare it in `needs`")

    return refuse


class _Plain(Mapping[str, Response]):
    """Plain responses of one member by item; what is read is recorded as a call."""

    def __init__(
        self, ctx: "_Context", responses: Mapping[str, Response], member: int, model: str, sample: int
    ) -> None:
        self._ctx, self._responses = ctx, responses
        self._member, self._model, self._sample = member, model, sample

    def __getitem__(self, uid: str) -> Response:
        response = self._responses[uid]
        self._ctx.record_plain(uid, response, self._member, self._model, self._sample)
        return response

    def __contains__(self, uid: object) -> bool:
        return uid in self._responses

    def __iter__(self) -> Iterator[str]:
        return iter(self._responses)

    def __len__(self) -> int:
        return len(self._responses)


class _Context:
    """What `fit` and `answer` share.

    Args:
        pool: Members, in order.
        questions: Items to work on.
        method: Id, for named randomness.
        seed: Run seed.
        scorer: Rule set under which answers are extracted.
        decoding: The task's settings.
        answers: Answers that the task asks for per item.
        extracts: Whether the method may read answers out of replies.
        plain: Gives the plain responses of a model with a stored sample index, by item.
        generate: Runs requests.
        logits: Gives cached logits of a model, by kind.
        live: Gives loaded engines.
    """

    def __init__(
        self,
        *,
        pool: Sequence[Member],
        questions: Sequence[Question],
        method: str = "",
        seed: int = 1,
        scorer: str = "strict",
        decoding: Decoding | None = None,
        answers: int = 1,
        extracts: bool = True,
        plain: PlainSource | None = None,
        generate: Generate | None = None,
        logits: Callable[[str, str], Any] | None = None,
        live: Callable[[Sequence[str]], Any] | None = None,
    ) -> None:
        self.pool = tuple(pool)
        self.questions = tuple(questions)
        self.decoding = decoding or Decoding()
        self.answers = answers
        self._extracts = extracts
        self._method, self._seed, self._scorer = method, seed, scorer
        self._plain: PlainSource = plain or _undeclared("plain responses")
        self._generate: Generate = generate or _undeclared("requests of its own")
        self._logits = logits or _undeclared("cached logits")
        self._live = live or _undeclared("live models")
        self._round = 0
        self._seen: set[tuple[str, str, int]] = set()
        self.calls: list[dict[str, Any]] = []
        self._calls_of: dict[str, int] = {}

    def plain(self, member: int | str, sample: int = 0) -> Mapping[str, Response]:
        """Return a member's plain responses by item; `member` may name a model that the fit made."""
        if isinstance(member, str):
            return _Plain(self, self._plain(member, sample), -1, member, sample)
        place = self.pool[member]
        index = place.sample(sample)
        return _Plain(self, self._plain(place.model, index), member, place.model, index)

    def logits(self, member: int, kind: str) -> Any:
        """Return a member's cached logits: `options`, `reference` or `response`."""
        return self._logits(self.pool[member].model, kind)

    def live(self, members: Sequence[int]) -> Any:
        """Return the loaded engines of several members, for joint decoding."""
        return self._live([self.pool[member].model for member in members])

    def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Return the replies to a round of requests, in their order."""
        placed = [self._placed(request) for request in requests]
        responses = list(self._generate(placed))
        for request, response in zip(placed, responses, strict=True):
            self._record_own(request, response)
        self._round += 1
        return responses

    def _placed(self, request: Request) -> Request:
        sample = request.sample
        if isinstance(request.member, int):
            sample = self.pool[request.member].sample(sample)
        decoding = request.decoding or self.decoding
        return Request(request.member, request.uid, request.prompt, request.purpose, sample, decoding)

    def extract(self, question: Question, text: str) -> Extraction:
        """Read the answer out of a reply, as the scorer does."""
        if not self._extracts:
            _undeclared("extraction of answers")()
        return scorer_for(question.type, self._scorer).extract(question, text)

    def normal_form(self, question: Question, parsed: str) -> str:
        """Return the text under which answers that the metric treats alike are equal."""
        return scorer_for(question.type, self._scorer).normal_form(question, parsed)

    def rng(self, purpose: str, item: str) -> np.random.Generator:
        """Return the random generator of a named purpose and item."""
        return generator(self._seed, self._method, purpose, item)

    def progress(self, label: str, total: int) -> Progress:
        """Return a progress counter for long work inside the method."""
        return Progress(label, total)

    def record_plain(self, uid: str, response: Response, member: int, model: str, sample: int) -> None:
        """Remember that a plain response was read."""
        if (uid, model, sample) not in self._seen:
            self._seen.add((uid, model, sample))
            self._add_call(
                uid,
                response,
                kind="plain",
                round=-1,
                purpose="plain",
                member=member,
                model=model,
                sample=sample,
                prompt=None,
            )

    def _record_own(self, request: Request, response: Response) -> None:
        own = isinstance(request.member, int)
        member = request.member if isinstance(request.member, int) else -1
        model = self.pool[member].model if own else str(request.member)
        self._add_call(
            request.uid,
            response,
            kind="own",
            round=self._round,
            purpose=request.purpose,
            member=member,
            model=model,
            sample=request.sample,
            prompt=request.prompt,
        )

    def _add_call(self, uid: str, response: Response, **fields: Any) -> None:
        number = self._calls_of.get(uid, 0)
        self._calls_of[uid] = number + 1
        self.calls.append(
            {
                "uid": uid,
                "call": number,
                **fields,
                "key": response.key,
                "text": response.text,
                "finish": response.finish,
                "prompt_flag": response.prompt_flag,
                "prompt_tokens": response.prompt_tokens,
                "completion_tokens": response.completion_tokens,
            }
        )


class AnswerContext(_Context):
    """What `answer` gets: questions of any split, never a reference."""


class FitContext(_Context):
    """What `fit` gets in addition: references of dev and train, scores, merging, a work folder.

    Args:
        references: References by split.
        dev_scores: Gives the scores of a model's plain dev responses with a stored sample index, by item.
        fingerprints: Of every model of the pool, by name.
        merge: Makes a model from a recipe and returns the name under which requests may name it.
        discard: Deletes such a model.
        corpus: Gives an outside corpus.
        train: Training entry points by name.
        workdir: Survives failure; keyed by the fit's inputs.
        settings: As for `AnswerContext`.
    """

    def __init__(
        self,
        *,
        references: Mapping[str, Mapping[str, Reference]] | None = None,
        dev_scores: Callable[[str, int], Mapping[str, float]] | None = None,
        fingerprints: Mapping[str, str] | None = None,
        merge: Callable[[Recipe], str] | None = None,
        discard: Callable[[str], None] | None = None,
        corpus: Callable[[str], Any] | None = None,
        train: Mapping[str, Callable[..., Any]] | None = None,
        workdir: Path | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self._references = references or {}
        self._dev_scores = dev_scores or _undeclared("dev scores")
        self._fingerprints = fingerprints or {}
        self._merge = merge or _undeclared("merging")
        self._discard = discard or _undeclared("merging")
        self._corpus = corpus or _undeclared("a corpus")
        self._train = train or {}
        self.workdir = workdir
        self.references_used: set[str] = set()

    def references(self, split: str = "dev") -> Mapping[str, Reference]:
        """Return the references of dev or train by item; the use is recorded."""
        if split not in self._references:
            _undeclared(f"references of {split!r}")()
        self.references_used.add(split)
        return self._references[split]

    def score(self, replies: Mapping[str, str]) -> dict[str, float]:
        """Return the scores of replies by item; broken items are left out."""
        questions = {question.uid: question for question in self.questions}
        scores: dict[str, float] = {}
        for uid, text in replies.items():
            question = questions[uid]
            reference = self.references(question.split)[uid]
            verdict = scorer_for(question.type, self._scorer).score(question, reference, text)
            if verdict.score is not None:
                scores[uid] = verdict.score
        return scores

    def dev_scores(self, member: int) -> Mapping[str, float]:
        """Return the scores of a member's plain dev responses by item; broken items are left out."""
        place = self.pool[member]
        return self._dev_scores(place.model, place.sample(0))

    def fingerprint(self, member: int) -> str:
        """Return the fingerprint of a member's model."""
        return self._fingerprints[self.pool[member].model]

    def merge(self, recipe: Recipe) -> str:
        """Make a model and return the name that requests may use as `member`."""
        return self._merge(recipe)

    def discard(self, name: str) -> None:
        """Delete a model made by `merge`."""
        self._discard(name)

    def corpus(self, name: str) -> Any:
        """Return an outside corpus that `needs` declares."""
        return self._corpus(name)

    def train(self, kind: str) -> Callable[..., Any]:
        """Return a training entry point: `sft`, `dpo`, `grpo`."""
        if kind not in self._train:
            _undeclared(f"training ({kind})")()
        return self._train[kind]
