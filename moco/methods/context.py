"""What a method may touch: the pool, the questions, shared responses, and requests of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, overload

import numpy as np

from moco.config.decoding import Decoding
from moco.decoding.combine import Combination
from moco.engines.responses import Response
from moco.errors import RequestError
from moco.methods.base import JointRequest, JointResponse, JointWork, Member, Request
from moco.methods.logits import Logits, LogitsKind, OptionLogits, ReferenceLogits, ResponseLogits
from moco.models.recipes import Recipe
from moco.progress import Progress
from moco.scoring import Case, Extraction, Tools, score_cases, scorer_for
from moco.scoring.groups import group_sizes, group_verdicts
from moco.seeds import generator
from moco.tasks.item import Question, Reference

PlainSource = Callable[[str, int, Sequence[str]], Mapping[str, Response]]
LogitsSource = Callable[[str, LogitsKind, int, Sequence[str]], Mapping[str, Logits]]
Generate = Callable[[Sequence[Any]], Sequence[Any]]
"""Runs one round of requests, or of joint work."""

_SAMPLES_OF_A_RUN = 1_000  # more than a method ever asks of one prompt

T = TypeVar("T")


class FailedItems(Exception):
    """Requests of an answer got no reply.

    Attributes:
        reasons: Why, by item.
    """

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__()
        self.reasons = reasons


def _undeclared(what: str) -> Callable[..., Any]:
    def refuse(*_arguments: Any) -> Any:
        raise RequestError(f"the method uses {what} that its `needs` does not declare", remedy="declare it in `needs`")

    return refuse


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


def _only(items: Sequence[str] | None, found: Mapping[str, T]) -> Mapping[str, T]:
    """Return what was found of the named items, so that no method reads others only where they happen to be there."""
    return found if items is None else {uid: found[uid] for uid in items if uid in found}


@dataclass(frozen=True)
class Run:
    """Which of several independent runs of `answer` over the same items this is; each reads other samples.

    Attributes:
        number: From 0; names the run's random choices.
        plain: Plain sample that the run sees as sample 0 of a member.
        fitted: Likewise, of a model that the fit made.
    """

    number: int = 0
    plain: int = 0
    fitted: int = 0

    @property
    def requests(self) -> int:
        """Sample index that stands for 0 in the run's own requests."""
        return self.number * _SAMPLES_OF_A_RUN


class LiveModels:
    """Several loaded models that write replies together.

    Args:
        ctx: Where the calls are recorded.
        members: Positions in the pool.
    """

    def __init__(self, ctx: "_Context", members: Sequence[int]) -> None:
        self._ctx, self._members = ctx, tuple(members)

    def decode(self, requests: Sequence[JointRequest], combination: Combination) -> list[Response]:
        """Return one reply per request, decoded from the members' combined logits.

        Args:
            requests: Prompts with their items.
            combination: How the logits are combined.
        """
        return self._ctx.decode_jointly(self._members, requests, combination)


class _Context:
    """What `fit` and `answer` share.

    Args:
        pool: Members, in order.
        questions: Items to work on.
        method: Id, for named randomness.
        seed: Run seed.
        scorer: Rule set under which answers are extracted.
        decoding: The task's settings.
        run: Which of several runs of `answer`, where a task asks for several answers per item.
        extracts: Whether the method may read answers out of replies.
        plain: Gives the plain responses of a model with a stored sample index, by item; at least to the named items.
        generate: Runs requests.
        logits: Gives cached logits of a model, by kind and stored sample index, by item; likewise.
        live: Runs requests that several models decode together.
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
        run: Run | None = None,
        extracts: bool = True,
        plain: PlainSource | None = None,
        generate: Generate | None = None,
        logits: LogitsSource | None = None,
        live: Generate | None = None,
    ) -> None:
        self.pool = tuple(pool)
        self.questions = tuple(questions)
        self.decoding = decoding or Decoding()
        self._run = run or Run()
        self._extracts = extracts
        self._method, self._seed, self._scorer = method, seed, scorer
        self._plain: PlainSource = plain or _undeclared("plain responses")
        self._generate: Generate = generate or _undeclared("requests of its own")
        self._logits: LogitsSource = logits or _undeclared("cached logits")
        self._live = live
        self._round = 0
        self._seen: set[tuple[str, str, str, int]] = set()
        self.calls: list[dict[str, Any]] = []
        self._calls_of: dict[str, int] = {}

    def plain(self, member: int | str, sample: int = 0, items: Sequence[str] | None = None) -> Mapping[str, Response]:
        """Return a member's plain responses by item.

        Args:
            member: Position in the pool, or the name of a model that the fit made.
            sample: Which plain response.
            items: Uids of the items to be read; all when left out. Where `needs` declares lazy plain responses, a
                priced model is asked for these alone, so name all items of a round at once.
        """
        model, index, place = (
            (member, self._run.fitted + sample, -1)
            if isinstance(member, str)
            else self._stored_sample(member, self._run.plain + sample)
        )
        return _Read(
            _only(items, self._plain(model, index, self._named(items))),
            lambda uid, response: self._record_plain(uid, response, place, model, index),
        )

    def _named(self, items: Sequence[str] | None) -> Sequence[str]:
        return [question.uid for question in self.questions] if items is None else items

    def _stored_sample(self, member: int, sample: int) -> tuple[str, int, int]:
        place = self.pool[member]
        return place.model, place.sample(sample), member

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
        model, index, place = self._stored_sample(member, self._run.plain + sample)
        named = self._named(items)
        if kind == "response":
            # They come with the plain response, and cost what it costs.
            plain = self._plain(model, index, named)
            return _Read(
                _only(items, self._logits(model, kind, index, named)),
                lambda uid, _logits: self._record_plain(uid, plain[uid], place, model, index),
            )
        return _Read(
            _only(items, self._logits(model, kind, 0, named)),
            lambda uid, logits: self._record_logits(uid, logits, kind, place, model),
        )

    def live(self, members: Sequence[int]) -> LiveModels:
        """Return several members as models that decode jointly."""
        if self._live is None:
            _undeclared("live models")()
        return LiveModels(self, members)

    def decode_jointly(
        self, members: Sequence[int], requests: Sequence[JointRequest], combination: Combination
    ) -> list[Response]:
        """Return joint replies in the order of `requests`; every model that was read is recorded with a call."""
        assert self._live is not None
        models = tuple(self.pool[member].model for member in members)
        given = [
            replace(request, sample=self._run.requests + request.sample, decoding=request.decoding or self.decoding)
            for request in requests
        ]
        replies: Sequence[JointResponse] = self._live([JointWork(models, request, combination) for request in given])
        for request, reply in zip(given, replies, strict=True):
            for model, prompt_tokens in reply.prompt_tokens.items():
                self._add_call(
                    request.uid,
                    replace(reply.response, prompt_tokens=prompt_tokens),
                    kind="joint",
                    round=self._round,
                    purpose=request.purpose,
                    member=members[models.index(model)],
                    model=model,
                    sample=request.sample,
                    prompt=request.prompt,
                )
        self._round += 1
        return [reply.response for reply in replies]

    def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Return the replies to a round of requests, in their order."""
        placed = [self._placed(request) for request in requests]
        responses = list(self._generate(placed))
        for request, response in zip(placed, responses, strict=True):
            self._record_own(request, response)
        self._round += 1
        return responses

    def _placed(self, request: Request) -> Request:
        sample = self._run.requests + request.sample
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
        run = () if self._run.number == 0 else ("run", self._run.number)
        return generator(self._seed, self._method, purpose, item, *run)

    def progress(self, label: str, total: int) -> Progress:
        """Return a progress counter for long work inside the method."""
        return Progress(label, total)

    def _record_plain(self, uid: str, response: Response, member: int, model: str, sample: int) -> None:
        self._record_once(uid, response, "plain", "plain", member, model, sample)

    def _record_logits(self, uid: str, logits: Logits, kind: LogitsKind, member: int, model: str) -> None:
        scored = logits.scored_tokens if isinstance(logits, OptionLogits) else len(logits.tokens)
        prompt = 0 if isinstance(logits, ResponseLogits) else logits.prompt_tokens
        response = Response("", finish="scored", prompt_tokens=prompt, completion_tokens=scored)
        self._record_once(uid, response, "logits", kind, member, model, 0)

    def _record_once(
        self, uid: str, response: Response, kind: str, purpose: str, member: int, model: str, sample: int
    ) -> None:
        if (uid, purpose, model, sample) not in self._seen:
            self._seen.add((uid, purpose, model, sample))
            self._add_call(
                uid,
                response,
                kind=kind,
                round=-1,
                purpose=purpose,
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
        group_score: The items of one group all score 1 if each of them is right, else 0.
        dev_scores: Gives the scores of a model's plain dev responses with a stored sample index, by item.
        scored: Gives the responses behind these scores, which count as read.
        scored_together: Replies behind one score, where an item's replies are scored together.
        tools: What scorers may use.
        fingerprints: Of every model of the pool, and of the further models that `needs` declares, by name.
        merge: Makes a model from a recipe and returns the name under which requests may name it.
        discard: Deletes such a model.
        corpus: Gives an outside corpus.
        train: Training entry points by name.
        workdir: Survives failure; keyed by the fit's inputs. What is kept there without `remembered` must not spare
            a resumed fit any call, since calls are what a method costs.
        settings: As for `AnswerContext`.
    """

    def __init__(
        self,
        *,
        references: Mapping[str, Mapping[str, Reference]] | None = None,
        group_score: bool = False,
        dev_scores: Callable[[str, int], Mapping[str, float]] | None = None,
        scored: PlainSource | None = None,
        scored_together: int = 1,
        tools: Tools | None = None,
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
        self._group_score = group_score
        self._dev_scores = dev_scores or _undeclared("dev scores")
        self._scored: PlainSource = scored or (lambda _model, _sample, _items: {})
        self._scored_together, self._tools = scored_together, tools
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
        """Return the scores of replies by item; broken items and items of incomplete groups are left out."""
        questions = {question.uid: question for question in self.questions}
        asked = [questions[uid] for uid in replies]
        scores = {}
        for kind in dict.fromkeys(question.type for question in asked):
            cases = [
                Case(question, self.references(question.split)[question.uid], replies[question.uid])
                for question in asked
                if question.type == kind
            ]
            verdicts = score_cases(scorer_for(kind, self._scorer), cases, self._tools)
            if self._group_score:
                splits = dict.fromkeys(case.question.split for case in cases)
                sizes = {split: group_sizes(self.references(split).values()) for split in splits}
                verdicts = group_verdicts(cases, verdicts, sizes)
            for case, verdict in zip(cases, verdicts, strict=True):
                if verdict.score is not None:
                    scores[case.question.uid] = verdict.score
        return scores

    def dev_scores(self, member: int) -> Mapping[str, float]:
        """Return the scores of a member's plain dev responses by item; broken items are left out."""
        place = self.pool[member]
        sample = place.sample(0)
        scores = self._dev_scores(place.model, sample)
        for index in range(sample * self._scored_together, (sample + 1) * self._scored_together):
            for uid, response in self._scored(place.model, index, self._named(None)).items():
                self._record_plain(uid, response, member, place.model, index)
        return scores

    def fingerprint(self, member: int | str) -> str:
        """Return the fingerprint of a member's model, or of a further model by the name that `needs` gives it."""
        name = member if isinstance(member, str) else self.pool[member].model
        if name not in self._fingerprints:
            _undeclared(f"model {name}")()
        return self._fingerprints[name]

    def merge(self, recipe: Recipe) -> str:
        """Make a model and return the name that requests may use as `member`."""
        return self._merge(recipe)

    def discard(self, name: str) -> None:
        """Delete a model made by `merge`."""
        self._discard(name)

    def remembered(self, name: str, work: Callable[[], T]) -> T:
        """Return what `work` returns; what an interrupted fit has worked out before is read from its work folder.

        The calls that the work made count again, so that an interruption changes neither result nor cost.

        Args:
            name: Of the work, different for any other of this fit; becomes a file's name.
            work: Asks models, scores replies, and returns JSON values with texts as keys.
        """
        if self.workdir is None:
            return work()
        from moco.records import read_json, write_json

        path = self.workdir / "remembered" / f"{name}.json"
        if not path.exists():
            calls, rounds = len(self.calls), self._round
            value = work()
            made = {
                "value": value,
                "calls": self.calls[calls:],
                "rounds": self._round - rounds,
                "references": sorted(self.references_used),
            }
            write_json(path, made)
            return value
        made = read_json(path)
        for call in made["calls"]:
            if call["kind"] in ("plain", "logits"):
                self._seen.add((call["uid"], call["purpose"], call["model"], call["sample"]))
            self._calls_of[call["uid"]] = call["call"] + 1
        self.calls += made["calls"]
        self._round += made["rounds"]
        self.references_used.update(made["references"])
        return cast(T, made["value"])

    def corpus(self, name: str) -> Any:
        """Return an outside corpus that `needs` declares."""
        return self._corpus(name)

    def train(self, kind: str) -> Callable[..., Any]:
        """Return a training entry point: `sft`, `dpo`, `grpo`."""
        if kind not in self._train:
            _undeclared(f"training ({kind})")()
        return self._train[kind]
