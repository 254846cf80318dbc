"""Rounds of work of the tasks of a job: each kind of work in turn, model by model, through the store."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from operator import attrgetter
from typing import Any, TypeVar

from moco.config.decoding import Decoding
from moco.config.runtime import engine_settings
from moco.digest import digest
from moco.engines.responses import Response
from moco.jobs.inference import ENCODER_POSITIONS, Inference, Reply, ScoredText
from moco.jobs.performance import reply_row
from moco.methods.base import Choice, Request
from moco.methods.resources import EmbedWork, JointResponse, JointWork, Measurement, RewardWork, Work
from moco.models.info import ModelInfo

W = TypeVar("W")
R = TypeVar("R")


@dataclass(frozen=True)
class Failure:
    """What a request gave that got no reply: its item, and why."""

    uid: str
    reason: str


class Executor:
    """Runs work whose models are named as in the study.

    Args:
        inference: Knows the models of the pool and helpers; others are made known when they are asked.
        info_of: Gives what is known of a model.
        seed: Run seed.
        decoding: Settings of requests that bring none.
        record: Give failures of requests as results, instead of raising.
    """

    def __init__(
        self,
        inference: Inference,
        info_of: Callable[[str], ModelInfo],
        seed: int,
        decoding: Decoding,
        *,
        record: bool,
    ) -> None:
        self._inference, self._info_of = inference, info_of
        self._seed, self._decoding, self._record = seed, decoding, record
        self._replies: dict[str, Reply] = {}

    def run(self, work: Sequence[Work]) -> list[Any]:
        """Return the results of a round in its order; a request that got no reply has a `Failure`."""
        runs: dict[type, Callable[[Any], Sequence[Any]]] = {
            Request: self._generate,
            Choice: self._choose,
            EmbedWork: self._embed,
            RewardWork: self._reward,
            JointWork: self._decode,
        }
        return self._together(work, type, lambda mine: runs[type(mine[0])](mine))

    def _together(
        self, work: Sequence[W], same: Callable[[W], Hashable], run: Callable[[Sequence[W]], Sequence[R]]
    ) -> list[R]:
        """Return results in the order of work that is run in groups, one after another."""
        groups: dict[Hashable, list[int]] = {}
        for place, one in enumerate(work):
            groups.setdefault(same(one), []).append(place)
        results: dict[int, R] = {}
        for places in groups.values():
            results.update(zip(places, run([work[place] for place in places]), strict=True))
        return [results[place] for place in range(len(work))]

    def _known(self, model: str) -> str:
        """Return a model's name after making it known to inference."""
        if not self._inference.knows(model):
            info = self._info_of(model)
            self._inference.add(info, engine_settings(model, info.engine))
        return model

    def _generate(self, requests: Sequence[Request]) -> list[Response | Failure]:
        asked = [
            replace(request, member=self._known(str(request.member)), decoding=request.decoding or self._decoding)
            for request in requests
        ]
        results: list[Response | Failure] = []
        for request, reply in zip(asked, self._inference.run(asked, self._seed, record=self._record), strict=True):
            if reply.failed is not None:
                results.append(Failure(request.uid, f"{request.member}: {reply.failed}"))
                continue
            results.append(reply.response)
            # What is asked again later comes from the store; the first time says what it took.
            self._replies.setdefault(reply.response.key, reply)
        return results

    def _choose(self, choices: Sequence[Choice]) -> list[Measurement]:
        asked = [replace(choice, member=self._known(str(choice.member))) for choice in choices]
        return [self._chosen(options) for options in self._inference.score_texts(asked, "options")]

    def _chosen(self, options: Sequence[ScoredText]) -> Measurement:
        rows = [option.stored for option in options]
        key = digest([row.key for row in rows])[:32]
        seconds, cached = fsum(row.seconds for row in rows), all(option.cached for option in options)
        self._replies.setdefault(key, Reply(Response("", key), cached, seconds))
        return Measurement(
            values=tuple(round(fsum(row.logprobs), 6) for row in rows),
            prompt_tokens=max((row.prompt_tokens for row in rows), default=0),
            completion_tokens=sum(len(row.tokens) for row in rows),
            key=key,
            prompt_flag=options[0].prompt_flag if options else "ok",
            prompt_cut_tokens=options[0].prompt_cut_tokens if options else 0,
            sent=options[0].sent if options else None,
        )

    def _embed(self, work: Sequence[EmbedWork]) -> list[Measurement]:
        def embed(mine: Sequence[EmbedWork]) -> list[Measurement]:
            model = self._known(str(mine[0].member))
            vectors = self._inference.embed(model, [one.text for one in mine])
            renderer = self._inference.renderer(model)
            most = min(ENCODER_POSITIONS, self._inference.info(model).context)
            return [
                Measurement(tuple(vector), len(renderer.text(one.text, most)))
                for one, vector in zip(mine, vectors, strict=True)
            ]

        return self._together(work, attrgetter("member"), embed)

    def _reward(self, work: Sequence[RewardWork]) -> list[Measurement]:
        def reward(mine: Sequence[RewardWork]) -> list[Measurement]:
            model = self._known(str(mine[0].member))
            ratings = self._inference.reward(model, [(one.prompt, one.reply) for one in mine])
            most = self._inference.info(model).context
            renderer = self._inference.renderer(model)
            return [
                Measurement((rating.reward,), len(renderer.conversation(one.prompt, one.reply, most)))
                for one, rating in zip(mine, ratings, strict=True)
            ]

        return self._together(work, attrgetter("member"), reward)

    def _decode(self, work: Sequence[JointWork]) -> list[JointResponse]:
        return self._together(work, lambda one: (one.members, one.program), self._decode_jointly)

    def _decode_jointly(self, work: Sequence[JointWork]) -> list[JointResponse]:
        from moco.jobs.joint import JointInference

        models = [self._known(str(member)) for member in work[0].members]
        requests = [replace(one.request, decoding=one.request.decoding or self._decoding) for one in work]
        replies = JointInference(self._inference, models).run(requests, work[0].program, self._seed)
        for reply in {reply.response.key: reply for reply in replies}.values():
            self._account_jointly(reply)
        self._replies.update({reply.response.key: reply for reply in replies})
        return [JointResponse(reply.response, reply.read) for reply in replies]

    def _account_jointly(self, reply: Reply) -> None:
        account = self._inference.accounts.account(" + ".join(reply.read))
        account.items += 1
        account.cached += reply.cached
        if not reply.cached:
            account.read_tokens += sum(reply.read.values())
            account.made_tokens += reply.response.completion_tokens
            account.seconds += reply.seconds

    def perf_rows(self, calls: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return times and cache hits of the requests that this job made for a task."""
        rows: dict[str, dict[str, Any]] = {}
        for call in calls:
            reply = self._replies.get(call["key"])
            if reply is not None:
                rows[call["key"]] = reply_row(call["model"], call["key"], cached=reply.cached, seconds=reply.seconds)
        return list(rows.values())
