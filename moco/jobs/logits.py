"""Cached logits as files: of options, of reference answers, and of plain responses.

What plain responses left in the store is only looked up; a model is loaded for what is missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import fsum
from pathlib import Path
from typing import Any, Literal

from moco import paths
from moco.config.decoding import Decoding
from moco.config.runtime import engine_settings
from moco.home import home, store_root
from moco.jobs.inference import Inference, Reply, ScoredText
from moco.jobs.performance import load_rows, reply_row, write_failed_perf
from moco.methods.base import Choice, Request
from moco.models.info import ModelInfo
from moco.records import (
    GENERATIONS,
    OPTION_LOGITS,
    PERF,
    REFERENCE_LOGITS,
    RESPONSE_LOGITS,
    Provenance,
    Schema,
    read_rows,
    write_rows,
)
from moco.store.generations import GenerationStore, Stored, StoredReply
from moco.tasks.item import LETTERS, Question
from moco.tasks.prepare import read_questions, read_references

Kind = Literal["options", "reference", "response"]

_OK = {"status": "ok", "reason": None}
_SCHEMAS: dict[Kind, Schema] = {
    "options": OPTION_LOGITS,
    "reference": REFERENCE_LOGITS,
    "response": RESPONSE_LOGITS,
}


_Made = tuple[list[dict[str, Any]], list[tuple[StoredReply, bool]]]
"""Rows of a file, and the requests behind them with whether each was in the store."""


@dataclass
class LogitsJob:
    """The cached logits of one kind of one model on a batch and split.

    Attributes:
        results: The results folder.
        spec: The job's slice of the study: `tasks`, and for responses `decoding`.
        kind: Kind of logits.
        model: The model.
        batch: The batch.
        split: The split.
        seed: Run seed, for responses.
        block: Block of samples, for responses.
    """

    results: Path
    spec: Mapping[str, Any]
    kind: Kind
    model: str
    batch: str
    split: str
    seed: int | None = None
    block: str | None = None

    def run(self) -> None:
        """Write the file.

        Raises:
            FailedInput: The model is a recorded failure.
        """
        makers = {"options": self._options, "reference": self._references, "response": self._responses}
        rows, work = makers[self.kind]()
        provenance = Provenance("logits", self.spec, {"model": self._info.fingerprint})
        write_rows(self.path, _SCHEMAS[self.kind], rows, provenance)
        perf = {
            stored.key: reply_row(self.model, stored.key, cached=cached, seconds=stored.seconds)
            for stored, cached in work
        }
        loads = load_rows(self._inference.resident)
        write_rows(Path(paths.perf(str(self.path))), PERF, [*perf.values(), *loads], provenance)
        about = {"system": self.model, "tasks": list(self.spec["tasks"]), "splits": [self.split], "seed": self.seed}
        self._inference.accounts.close(self.path, about, provenance)

    @cached_property
    def _info(self) -> ModelInfo:
        return ModelInfo.read(self.results / paths.model_json(self.model))

    @cached_property
    def _inference(self) -> Inference:
        settings = {self.model: engine_settings(self.model, self._info.engine)}
        store = GenerationStore(store_root(self.results))
        return Inference({self.model: self._info}, settings, store, home(self.results))

    @cached_property
    def _questions(self) -> dict[str, list[Question]]:
        return {task: read_questions(self.results / paths.task_folder(task), self.split) for task in self.spec["tasks"]}

    @property
    def path(self) -> Path:
        """The file of the logits."""
        if self.kind == "response":
            assert self.block is not None
            where = (self.model, self.batch, self.split, self.seed, self.block)
            return self.results / paths.response_logits(*where)
        return self.results / paths.logits(self.kind, self.model, self.batch, self.split)

    @property
    def _samples(self) -> Sequence[int]:
        return (0,) if self.block is None else paths.block_samples(self.block)

    def _options(self) -> _Made:
        asked = [(task, question) for task, each in self._questions.items() for question in each]
        scored = self._inference.score_texts(
            [self._choice(question, (*_letters(question), *(question.options or ()))) for _, question in asked],
            "option texts",
        )
        mine = [(task, question, found) for (task, question), found in zip(asked, scored, strict=True)]
        rows = [{"task": task, **_option_row(question, found)} for task, question, found in mine]
        return rows, [_work(text) for _, _, found in mine for text in found]

    def _references(self) -> _Made:
        texts: dict[str, str] = {}
        for task in self._questions:
            for uid, reference in read_references(self.results / paths.task_folder(task), self.split).items():
                text = reference.text()
                if text is not None:
                    texts[uid] = text
        questions = {question.uid: question for each in self._questions.values() for question in each}
        choices = [self._choice(questions[uid], (text,)) for uid, text in texts.items()]
        found = self._inference.score_texts(choices, "reference texts")
        scored = {uid: one for uid, [one] in zip(texts, found, strict=True)}
        rows = [
            {"task": task, **_reference_row(item.uid, texts.get(item.uid), scored.get(item.uid))}
            for task, each in self._questions.items()
            for item in each
        ]
        return rows, [_work(one) for one in scored.values()]

    def _choice(self, question: Question, texts: Sequence[str]) -> Choice:
        return Choice(self.model, question.uid, question.prompt, tuple(texts), "logits")

    def _responses(self) -> _Made:
        decoding = Decoding.model_validate(self.spec["decoding"])
        failed = self._without_response()
        places = [
            (task, question, sample)
            for task, sample in product(self._questions, self._samples)
            for question in self._questions[task]
        ]
        assert self.seed is not None
        requests = [
            Request(self.model, question.uid, question.prompt, "plain", sample, decoding)
            for _, question, sample in places
            if (question.uid, sample) not in failed
        ]
        replies, stored = self._whole(requests, self.seed)
        order = iter(replies)
        rows = []
        for task, question, sample in places:
            uid, reason = question.uid, failed.get((question.uid, sample))
            row = (
                _failed_row("response", uid, sample, reason)
                if reason is not None
                else _response_row(uid, sample, stored[next(order).response.key])
            )
            rows.append({**row, "task": task})
        return rows, [(stored[reply.response.key], reply.cached) for reply in replies]

    def _without_response(self) -> dict[tuple[str, int], str]:
        """Return the items and samples whose plain response failed, with the reason; it is not asked for again."""
        assert self.block is not None
        path = self.results / paths.generation(self.model, self.batch, self.split, self.seed, self.block)
        if not path.is_file():
            return {}
        rows = read_rows(path, GENERATIONS, ["uid", "sample", "status", "reason"])
        return {(row["uid"], row["sample"]): row["reason"] for row in rows if row["status"] == "failed"}

    def _whole(self, requests: Sequence[Request], seed: int) -> tuple[list[Reply], dict[str, Stored]]:
        """Return replies and, by key, what is stored of them, alternatives to their tokens included."""
        replies = self._inference.run(requests, seed, "plain responses")
        partition = self._inference.store.partition(self._info.fingerprint)
        stored = partition.find({reply.response.key for reply in replies}, Stored)
        # A look-up of replies reads no alternatives: where these are damaged, the replies are lost only now.
        while lost := [place for place, reply in enumerate(replies) if reply.response.key not in stored]:
            again = self._inference.run([requests[place] for place in lost], seed, "plain responses")
            for place, reply in zip(lost, again, strict=True):
                replies[place] = reply
            stored |= partition.find({reply.response.key for reply in again}, Stored)
        return replies, stored

    def write_failed(self, reason: str) -> None:
        """Write a file in which every item failed."""
        rows = [
            {**_failed_row(self.kind, question.uid, sample, reason), "task": task}
            for task, sample in product(self._questions, self._samples)
            for question in self._questions[task]
        ]
        provenance = Provenance("logits", self.spec)
        write_rows(self.path, _SCHEMAS[self.kind], rows, provenance)
        write_failed_perf(self.path, provenance)


def _failed_row(kind: Kind, uid: str, sample: int, reason: str) -> dict[str, Any]:
    row = {**dict.fromkeys(_SCHEMAS[kind].columns.names), "uid": uid, "status": "failed", "reason": reason}
    return {**row, "sample": sample} if kind == "response" else row


def _letters(question: Question) -> str:
    return LETTERS[: len(question.options or ())]


def _work(scored: ScoredText) -> tuple[StoredReply, bool]:
    return scored.stored, scored.cached


def _option_row(question: Question, scored: Sequence[ScoredText]) -> dict[str, Any]:
    """Return the row of an item from the scores of its letters, and then of its texts."""
    letters = _letters(question)
    by_letter, by_text = scored[: len(letters)], scored[len(letters) :]
    return {
        "uid": question.uid,
        **_OK,
        "labels": list(letters),
        "label_logprobs": [_total(each) for each in by_letter],
        "text_logprobs": [_total(each) for each in by_text],
        "text_tokens": [len(each.stored.tokens) for each in by_text],
        "prompt_flag": scored[0].prompt_flag if scored else None,
        "prompt_tokens": scored[0].stored.prompt_tokens if scored else None,
        "scored_tokens": sum(len(each.stored.tokens) for each in scored),
    }


def _total(scored: ScoredText) -> float:
    return round(fsum(scored.stored.logprobs), 6)


def _reference_row(uid: str, text: str | None, scored: ScoredText | None) -> dict[str, Any]:
    return {
        "uid": uid,
        **_OK,
        "text": text,
        "tokens": scored.stored.tokens if scored else None,
        "logprobs": scored.stored.logprobs if scored else None,
        "prompt_flag": scored.prompt_flag if scored else None,
        "prompt_tokens": scored.stored.prompt_tokens if scored else None,
    }


def _response_row(uid: str, sample: int, stored: Stored) -> dict[str, Any]:
    names = ("key", "tokens", "logprobs", "top_k", "top_ids", "top_logprobs", "tail")
    return {"uid": uid, "sample": sample, **_OK, **{name: getattr(stored, name) for name in names}}
