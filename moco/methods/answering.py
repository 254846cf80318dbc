"""The job that answers: a method on one pool, one batch of tasks and one split; no reference is read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moco import paths
from moco.digest import canonical_json, digest
from moco.errors import WorkError
from moco.methods import state as states
from moco.methods.base import Answer, Response, State
from moco.methods.context import AnswerContext
from moco.methods.job import MethodJob, perf_path
from moco.methods.lockstep import Lockstep
from moco.records import (
    ANSWERS,
    CALLS,
    COSTS,
    PERF,
    Provenance,
    read_rows,
    write_rows,
)
from moco.tasks.item import Question
from moco.tasks.prepare import read_questions

_FAILED_ANSWER = {
    "answer": 0,
    "status": "failed",
    "text": None,
    "extracted": None,
    "has_extracted": False,
    "models": [],
    "fallback": None,
    "record_json": "{}",
}


class AnswerJob(MethodJob):
    """Answers the questions of one split."""

    def run(self, split: str) -> None:
        """Write answers and calls of every task of the batch."""
        if self.needs.answer_runs_models:
            results = Lockstep(self.execute).run([self._worker(task, split) for task in self.tasks])
        else:
            results = [self._worker(task, split)(None) for task in self.tasks]
        loads = self.load_rows()
        for task, (rows, calls) in zip(self.tasks, results, strict=True):
            self._write(task, split, rows, calls, loads)
            loads = []

    def _worker(self, task: str, split: str) -> Callable[[Any], tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
        def work(generate: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
            questions = read_questions(self.results / paths.task_folder(task), split)
            reason, state = self._state(task)
            if reason is not None:
                return [self._failed(question.uid, reason) for question in questions], []
            failed = self.failed_inputs(task, [split], self._declared(task), self.needs.answer.logits)
            missing = {question.uid: failed[question.uid] for question in questions if question.uid in failed}
            usable = [question for question in questions if question.uid not in missing]
            ctx = AnswerContext(
                plain=self._plain(task, split),
                logits=self.logits_reader(task, [split], self.needs.answer.logits, self._declared(task)),
                live=generate if self.needs.answer.live else None,
                answers=self.spec["tasks"][task]["answers"],
                extracts=self.needs.answer.extracts,
                **self.common(usable, generate),
            )
            rows = checked_answers(self.method.answer(ctx, state), usable, self.spec["tasks"][task]["answers"])
            rows.extend(self._failed(uid, why) for uid, why in missing.items())
            order = {question.uid: index for index, question in enumerate(questions)}
            return sorted(rows, key=lambda row: (order[row["uid"]], row["answer"])), sorted(
                ctx.calls, key=lambda call: (order[call["uid"]], call["call"])
            )

        return work

    def _state(self, task: str) -> tuple[str | None, State]:
        if self.needs.fit is None:
            return None, State()
        folder = self._fit_folder(task)
        reason = states.failure_of(folder)
        return (f"fit: {reason}", State()) if reason else (None, states.read_state(folder))

    def _fit_folder(self, task: str) -> Path:
        scope = "_all" if self.needs.fit_scope == "pool" else task
        return self.results / paths.fit_folder(self.pool, scope, self.variant, self.seed)

    def _fit_costs(self, task: str) -> list[dict[str, Any]]:
        if self.needs.fit is None or states.failure_of(self._fit_folder(task)) is not None:
            return []
        return read_rows(self._fit_folder(task) / states.COSTS, COSTS)

    def _fitted(self, task: str, name: str) -> str:
        return paths.fitted_model(self.pool, task, self.variant, self.seed, name)

    def _plain(self, task: str, split: str) -> Callable[[str, int], Mapping[str, Response]]:
        read = self.plain_reader(task, [split], self._declared(task))

        def named(model: str, sample: int) -> Mapping[str, Response]:
            return read(self._fitted(task, model) if model in self.needs.models else model, sample)

        return named

    def _declared(self, task: str) -> dict[tuple[str, int], None]:
        """Return model and sample of all plain responses that the method may read."""
        fitted = {
            (self._fitted(task, name), sample): None
            for name in self.needs.models
            for sample in range(self.needs.answer.fitted_plain)
        }
        return self.member_samples(self.needs.answer.plain) | fitted

    def _failed(self, uid: str, reason: str) -> dict[str, Any]:
        return {"uid": uid, "reason": reason, **_FAILED_ANSWER}

    def _write(
        self,
        task: str,
        split: str,
        rows: list[dict[str, Any]],
        calls: list[dict[str, Any]],
        loads: Sequence[dict[str, Any]] = (),
    ) -> None:
        where = (self.pool, task, self.variant, self.seed, split)
        inputs = {
            "questions": digest(
                [vars(question) for question in read_questions(self.results / paths.task_folder(task), split)]
            ),
            "models": digest([self.infos[name].fingerprint for name in self.spec["pool"]]),
        }
        provenance = Provenance("answer", self.spec, inputs)
        write_rows(self.results / paths.answers(*where), ANSWERS, rows, provenance)
        path = self.results / paths.calls(*where)
        write_rows(path, CALLS, calls, provenance)
        write_rows(perf_path(path), PERF, [*self.perf_rows(calls), *loads], provenance)
        costs = [*self.cost_rows(task, calls, "answer"), *self._fit_costs(task)]
        write_rows(self.results / paths.costs(*where), COSTS, costs, provenance)

    def write_failed(self, split: str, reason: str) -> None:
        """Write valid files in which every item failed."""
        for task in self.tasks:
            questions = read_questions(self.results / paths.task_folder(task), split)
            self._write(task, split, [self._failed(question.uid, reason) for question in questions], [])


def checked_answers(answers: Iterable[Answer], questions: Sequence[Question], per_item: int) -> list[dict[str, Any]]:
    """Return answers as rows, after checking that every item has exactly its answers.

    Raises:
        WorkError: An answer is missing, doubled, or belongs to no question.
    """
    expected = {(question.uid, number) for question in questions for number in range(per_item)}
    rows = {}
    for answer in answers:
        place = (answer.uid, answer.answer)
        if place not in expected or place in rows:
            raise WorkError(
                f"answer {place} is {'doubled' if place in rows else 'unexpected'}", remedy="correct the method"
            )
        rows[place] = {
            "uid": answer.uid,
            "answer": answer.answer,
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
