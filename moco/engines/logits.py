"""Cached logits as files: of options, of reference answers, and of plain responses.

What plain responses left in the store is only looked up; a model is loaded for what is missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import fsum
from pathlib import Path
from typing import Any, Literal

from moco import paths
from moco.config.decoding import Decoding
from moco.config.runtime import engine_settings
from moco.engines.inference import Inference, Job, Reply, ScoredText, TextJob
from moco.engines.performance import load_rows, reply_row
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
from moco.store.generations import GenerationStore, Stored, StoredReply, store_root
from moco.tasks.item import LETTERS, Question
from moco.tasks.prepare import read_questions, read_references

Kind = Literal["options", "reference", "response"]
KINDS: tuple[Kind, ...] = ("options", "reference", "response")

_OK = {"status": "ok", "reason": None}
_SCHEMAS: dict[Kind, Schema] = {
    "options": OPTION_LOGITS,
    "reference": REFERENCE_LOGITS,
    "response": RESPONSE_LOGITS,
}


@dataclass
class LogitsJob:
    """The cached logits of one kind of one model on tasks and splits.

    Attributes:
        results: The results folder.
        kind: Kind of logits.
        model: The model.
        tasks: Tasks.
        splits: Splits of every task.
        samples: Stored sample indices, for responses.
        seed: Run seed, for responses.
        spec: With `decoding` and `decoding_name`, for responses.
    """

    results: Path
    kind: Kind
    model: str
    tasks: Sequence[str]
    splits: Sequence[str]
    samples: Sequence[int] = (0,)
    seed: int = 0
    spec: Mapping[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Write the files.

        Raises:
            FailedInput: The model is a recorded failure.
        """
        makers = {"options": self._options, "reference": self._references, "response": self._responses}
        makers[self.kind]()
        samples = self.samples if self.kind == "response" else [0]
        about = {"system": self.model, "tasks": list(self.tasks), "splits": list(self.splits)}
        self._inference.accounts.close(
            [self._path(*place, sample) for place in self._questions for sample in samples],
            {**about, "seed": self.seed if self.kind == "response" else None},
            Provenance("logits", self.spec),
        )

    @cached_property
    def _info(self) -> ModelInfo:
        return ModelInfo.read(self.results / paths.model_json(self.model))

    @cached_property
    def _inference(self) -> Inference:
        settings = {self.model: engine_settings(self.model, self._info.engine)}
        store = GenerationStore(store_root(self.results))
        return Inference({self.model: self._info}, settings, store, self.results.resolve().parent)

    @cached_property
    def _questions(self) -> dict[tuple[str, str], list[Question]]:
        return {
            (task, split): read_questions(self.results / paths.task_folder(task), split)
            for task, split in product(self.tasks, self.splits)
        }

    def _path(self, task: str, split: str, sample: int) -> Path:
        name = self.spec.get("decoding_name", "")
        return self.results / paths.logits(self.kind, self.model, task, split, name, self.seed, sample)

    def _write(
        self,
        task: str,
        split: str,
        sample: int,
        rows: Sequence[Mapping[str, Any]],
        work: Sequence[tuple[StoredReply, bool]],
    ) -> None:
        """Write a file and, beside it, what its rows took; the loads of the whole job stand in its first file."""
        provenance = Provenance("logits", self.spec, {"model": self._info.fingerprint})
        perf = {
            stored.key: reply_row(self.model, stored.key, cached=cached, seconds=stored.seconds)
            for stored, cached in work
        }
        first = (task, split, sample) == (*next(iter(self._questions)), self.samples[0])
        loads = load_rows(self._inference.room) if first else []
        path = self._path(task, split, sample)
        write_rows(Path(paths.perf(str(path))), PERF, [*perf.values(), *loads], provenance)
        write_rows(path, _SCHEMAS[self.kind], rows, provenance)

    def _options(self) -> None:
        questions = [question for each in self._questions.values() for question in each]
        texts = [
            TextJob(self.model, question.prompt, text)
            for question in questions
            for text in (*_letters(question), *(question.options or ()))
        ]
        scored = iter(self._inference.score_texts(texts, "option texts"))
        for (task, split), each in self._questions.items():
            mine = [(question, [next(scored) for _ in range(2 * len(_letters(question)))]) for question in each]
            rows = [_option_row(question, found) for question, found in mine]
            self._write(task, split, 0, rows, [_work(text) for _, found in mine for text in found])

    def _references(self) -> None:
        places = list(self._questions)
        texts: dict[str, str] = {}
        for task, split in places:
            for uid, reference in read_references(self.results / paths.task_folder(task), split).items():
                text = reference.text()
                if text is not None:
                    texts[uid] = text
        questions = {question.uid: question for each in self._questions.values() for question in each}
        jobs = [TextJob(self.model, questions[uid].prompt, text) for uid, text in texts.items()]
        scored = dict(zip(texts, self._inference.score_texts(jobs, "reference texts"), strict=True))
        for place in places:
            mine = [(item.uid, scored.get(item.uid)) for item in self._questions[place]]
            rows = [_reference_row(uid, texts.get(uid), found) for uid, found in mine]
            self._write(*place, 0, rows, [_work(found) for _, found in mine if found])

    def _responses(self) -> None:
        decoding = Decoding.model_validate(self.spec["decoding"])
        places = [(*place, sample) for place in self._questions for sample in self.samples]
        failed = {place: self._without_response(*place) for place in places}
        jobs = [
            Job(self.model, question.prompt, decoding, self.seed, sample)
            for task, split, sample in places
            for question in self._questions[task, split]
            if question.uid not in failed[task, split, sample]
        ]
        replies, stored = self._whole(jobs)
        order = iter(replies)
        for task, split, sample in places:
            reasons = failed[task, split, sample]
            uids = [question.uid for question in self._questions[task, split]]
            mine = {uid: next(order) for uid in uids if uid not in reasons}
            rows = [
                _response_row(uid, sample, stored[mine[uid].response.key])
                if uid in mine
                else _failed_row("response", uid, sample, reasons[uid])
                for uid in uids
            ]
            work = [(stored[reply.response.key], reply.cached) for reply in mine.values()]
            self._write(task, split, sample, rows, work)

    def _without_response(self, task: str, split: str, sample: int) -> dict[str, str]:
        """Return the items whose plain response failed, with the reason; it is not asked for again."""
        name = self.spec["decoding_name"]
        path = self.results / paths.generation(self.model, task, split, name, self.seed, sample)
        if not path.is_file():
            return {}
        rows = read_rows(path, GENERATIONS, ["uid", "status", "reason"])
        return {row["uid"]: row["reason"] for row in rows if row["status"] == "failed"}

    def _whole(self, jobs: Sequence[Job]) -> tuple[list[Reply], dict[str, Stored]]:
        """Return replies and, by key, what is stored of them, alternatives to their tokens included."""
        replies = self._inference.run(jobs, "plain responses")
        partition = self._inference.store.partition(self._info.fingerprint)
        stored = partition.find({reply.response.key for reply in replies}, Stored)
        # A look-up of replies reads no alternatives: where these are damaged, the replies are lost only now.
        while lost := [place for place, reply in enumerate(replies) if reply.response.key not in stored]:
            again = self._inference.run([jobs[place] for place in lost], "plain responses")
            for place, reply in zip(lost, again, strict=True):
                replies[place] = reply
            stored |= partition.find({reply.response.key for reply in again}, Stored)
        return replies, stored

    def write_failed(self, reason: str) -> None:
        """Write files in which every item failed."""
        for (task, split), questions in self._questions.items():
            for sample in self.samples if self.kind == "response" else (0,):
                rows = [_failed_row(self.kind, question.uid, sample, reason) for question in questions]
                path = self._path(task, split, sample)
                write_rows(path, _SCHEMAS[self.kind], rows, Provenance("logits", self.spec))
                write_rows(Path(paths.perf(str(path))), PERF, (), Provenance("logits", self.spec))


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
