"""The job that answers: a method on one pool, one batch of tasks and one split; no reference is read."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from moco import paths
from moco.config.runtime import is_priced, records_items
from moco.digest import canonical_json, digest
from moco.engines.responses import Response
from moco.errors import WorkError
from moco.jobs.executor import Failure
from moco.jobs.lazy_plain import LazyPlain
from moco.jobs.method_job import MethodJob, perf_path
from moco.jobs.resources import Ask, JobResources
from moco.jobs.rounds import Rounds
from moco.methods import state as states
from moco.methods.base import Answer, State
from moco.methods.context import AnswerContext
from moco.methods.logits import Logits, LogitsKind
from moco.methods.resources import Guard, Model
from moco.records import (
    ANSWERS,
    CALLS,
    COSTS,
    PERF,
    Provenance,
    read_rows,
    write_rows,
)
from moco.store.generations import Stored
from moco.tasks.item import Question, answer_rows
from moco.tasks.prepare import read_questions

T = TypeVar("T")
_FAILED_ANSWER: dict[str, Any] = {
    "status": "failed",
    "text": None,
    "extracted": None,
    "has_extracted": False,
    "models": [],
    "fallback": None,
    "record_json": "{}",
}


class FailedItems(Exception):
    """Requests of an answer got no reply.

    Attributes:
        reasons: Why, by item.
    """

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__()
        self.reasons = reasons


class JobAnswerResources(JobResources):
    """What an answer may use; plain responses of some models are asked for when they are read.

    Args:
        job: The job.
        task: Its task.
        split: Its split.
        ask: Runs rounds, together with those of the job's other tasks.
        questions: Items that are answered.
        lazy: Models whose plain responses are asked for.
    """

    def __init__(
        self, job: MethodJob, task: str, split: str, ask: Ask, questions: Sequence[Question], lazy: frozenset[str]
    ) -> None:
        super().__init__(job, task, [split], lambda work: _whole(ask(work)))
        self._items = {question.uid: question.item for question in questions}
        self._lazy, self._lazy_plain = lazy, LazyPlain(questions, self._ask, self._stored)

    def _stored(self, model: str, keys: Sequence[str]) -> Mapping[str, Stored]:
        return self._job.inference.store.partition(self._job.infos[model].fingerprint).find(keys, Stored)

    def plain(self, member: Model, sample: int, items: Sequence[str]) -> Mapping[str, Response]:
        """Return the responses in the files of a model, or ask for those that are named."""
        if (model := self.model(member)) in self._lazy:
            return self._lazy_plain.plain(model, sample, items)
        return self._by_question(super().plain(member, sample, items), items)

    def logits(self, member: int, kind: LogitsKind, sample: int, items: Sequence[str]) -> Mapping[str, Logits]:
        """Return the logits in the files of a member, or those that come with the responses it is asked for."""
        if kind == "response" and (model := self.model(member)) in self._lazy:
            return self._lazy_plain.logits(model, sample, items)
        return self._by_question(super().logits(member, kind, sample, items), items)

    def _by_question(self, found: Mapping[str, T], questions: Sequence[str]) -> Mapping[str, T]:
        """Return what was found in files, which know items, by question."""
        return {uid: found[self._items[uid]] for uid in questions if self._items[uid] in found}


def _whole(results: Sequence[Any]) -> Sequence[Any]:
    """End the answering where a request got no reply."""
    reasons = {result.uid: result.reason for result in results if isinstance(result, Failure)}
    if reasons:
        raise FailedItems(reasons)
    return results


@dataclass
class AnswerJob(MethodJob):
    """Answers the questions of one split."""

    _read: dict[tuple[str, str], list[Question]] = field(default_factory=dict)

    def run(self, split: str) -> None:
        """Write answers and calls of every task of the batch.

        Where a task asks for several answers per item, the method gets a question for each.
        """
        workers = [self._worker(task, split) for task in self.tasks]
        results = Rounds(self.executor.run).run(workers)
        answers: list[dict[str, Any]] = []
        calls: list[dict[str, Any]] = []
        costs: list[dict[str, Any]] = []
        for task, (rows, made) in zip(self.tasks, results, strict=True):
            questions = {question.uid: question for question in self._questions(task, split)}
            order = {uid: place for place, uid in enumerate(questions)}
            for row in sorted(rows, key=lambda row: order[row["uid"]]):
                question = questions[row["uid"]]
                answers.append({**row, "task": task, "uid": question.item, "answer": question.answer})
            made.sort(key=lambda call: (order.get(call["uid"], -1), call["call"]))
            calls += _of_task(task, _of_items(made, questions))
            costs += _of_task(task, [*self.cost_rows(task, made, "answer"), *self._fit_costs(task)])
        self._write(split, answers, calls, costs)
        self.close_accounts(self._answers_path(split), "answer", [split])

    def _answers_path(self, split: str) -> Path:
        return self.results / paths.answers(self.pool, self.batch, self.variant, self.seed, split)

    def _answers(self, task: str) -> int:
        return int(self.spec["tasks"][task]["answers"])

    def _questions(self, task: str, split: str) -> list[Question]:
        """Return a question per item and answer that the task asks for."""
        if (task, split) not in self._read:
            items = read_questions(self.results / paths.task_folder(task), split)
            self._read[task, split] = answer_rows(items, self._answers(task))
        return self._read[task, split]

    def _worker(self, task: str, split: str) -> Callable[[Ask], tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
        def work(ask: Ask) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
            questions = self._questions(task, split)
            reason, state = self._state(task)
            if reason is not None:
                return [self._failed(question.uid, reason) for question in questions], []
            needs = self.needs.answer
            answers = self._answers(task)
            failed = [
                self.failed_inputs(task, [split], self._in_files(task, number), needs.logits)
                for number in range(answers)
            ]
            reasons = {question.uid: failed[question.answer].get(question.item) for question in questions}
            missing = {uid: reason for uid, reason in reasons.items() if reason is not None}
            while True:
                usable = [question for question in questions if question.uid not in missing]
                resources = JobAnswerResources(self, task, split, ask, usable, self.lazy_models)
                guard = Guard(resources, self.needs, needs, self.members, answers)
                ctx = AnswerContext(self.members, usable, guard, self.settings(task, answers=answers))
                try:
                    rows = checked_answers(self.method.answer(ctx, state), usable)
                except FailedItems as failure:
                    # Answered anew without them: all other replies are in the store by now.
                    missing |= failure.reasons
                    continue
                return [*rows, *(self._failed(uid, why) for uid, why in missing.items())], ctx.calls

        return work

    def _in_files(self, task: str, number: int) -> dict[tuple[str, int], None]:
        """Return model and stored sample of the plain responses in files that an answer to an item may rest on."""
        needs, answers = self.needs.answer, self._answers(task)
        made = self.spec.get("made", {}).get(task, {}).values()
        fitted = {(slug, sample * answers + number): None for slug in made for sample in range(needs.fitted_plain)}
        samples = self.member_samples(sample * answers + number for sample in range(needs.plain))
        return {place: None for place in samples if place[0] not in self.lazy_models} | fitted

    @property
    def records_items(self) -> bool:
        """Whether failures are recorded and no further attempt follows."""
        return records_items()

    def _state(self, task: str) -> tuple[str | None, State]:
        if self.needs.fit is None:
            return None, State()
        folder = self._fit_folder(task)
        reason = states.failure_of(folder)
        return (f"fit: {reason}", State()) if reason else (None, states.read_state(folder))

    def _fit_folder(self, task: str) -> Path:
        batch, place = (paths.ALL, paths.ALL) if self.needs.fit_scope == "pool" else (self.batch, task)
        return self.results / paths.fit_folder(self.pool, batch, self.variant, self.seed) / place

    def _fit_costs(self, task: str) -> list[dict[str, Any]]:
        if self.needs.fit is None or states.failure_of(self._fit_folder(task)) is not None:
            return []
        return read_rows(self._fit_folder(task) / states.COSTS, COSTS)

    @cached_property
    def lazy_models(self) -> frozenset[str]:
        """Models that are asked for the plain responses that the method reads; those of the others are in files."""
        if self.needs.answer.plain_mode != "lazy":
            return frozenset()
        priced = (name for name, info in self.infos.items() if is_priced(name, served=info.server is not None))
        return frozenset(priced)

    def _failed(self, uid: str, reason: str) -> dict[str, Any]:
        return {"uid": uid, "reason": reason, **_FAILED_ANSWER}

    def _write(
        self,
        split: str,
        answers: Sequence[dict[str, Any]],
        calls: Sequence[dict[str, Any]],
        costs: Sequence[dict[str, Any]],
    ) -> None:
        where = (self.pool, self.batch, self.variant, self.seed, split)
        inputs = {
            "questions": digest([vars(question) for task in self.tasks for question in self._questions(task, split)]),
            "models": digest([self.infos[name].fingerprint for name in self.spec["pool"]]),
        }
        provenance = Provenance("answer", self.spec, inputs)
        path = self._answers_path(split)
        write_rows(path, ANSWERS, answers, provenance)
        write_rows(self.results / paths.calls(*where), CALLS, calls, provenance)
        write_rows(self.results / paths.costs(*where), COSTS, costs, provenance)
        write_rows(perf_path(path), PERF, [*self.executor.perf_rows(calls), *self.load_rows()], provenance)

    def write_failed(self, split: str, reason: str) -> None:
        """Write valid files in which every item failed."""
        rows = [
            {**self._failed(question.item, reason), "task": task, "answer": question.answer}
            for task in self.tasks
            for question in self._questions(task, split)
        ]
        self._write(split, rows, [], [row for task in self.tasks for row in _of_task(task, self._fit_costs(task))])
        self.close_accounts(self._answers_path(split), "answer", [split])


def _of_task(task: str, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "task": task} for row in rows]


def _of_items(calls: Iterable[dict[str, Any]], questions: Mapping[str, Question]) -> list[dict[str, Any]]:
    """Return the calls for questions as calls for their items, with one running number per item."""
    made: Counter[str] = Counter()
    rows = []
    for call in calls:
        uid = questions[call["uid"]].item if call["uid"] in questions else call["uid"]
        rows.append({**call, "uid": uid, "call": made[uid]})
        made[uid] += 1
    return rows


def checked_answers(answers: Iterable[Answer], questions: Sequence[Question]) -> list[dict[str, Any]]:
    """Return answers as rows, after checking that every item has exactly one.

    Raises:
        WorkError: An answer is missing, doubled, or belongs to no question, or its record is no JSON.
    """
    expected = {question.uid for question in questions}
    rows = {}
    for answer in answers:
        if answer.uid not in expected or answer.uid in rows:
            fault = "doubled" if answer.uid in rows else "unexpected"
            raise WorkError(f"the answer to {answer.uid} is {fault}", remedy="correct the method")
        states.check_json(answer.record, f"record of the answer to {answer.uid}")
        rows[answer.uid] = {
            "uid": answer.uid,
            "status": "ok",
            "reason": None,
            "text": answer.text,
            "extracted": answer.extracted,
            "has_extracted": answer.has_extracted,
            "models": list(answer.models),
            "fallback": answer.fallback,
            "record_json": canonical_json(dict(answer.record)),
        }
    if len(rows) < len(expected):
        raise WorkError(f"{len(expected) - len(rows)} answers are missing", remedy="correct the method")
    return list(rows.values())
