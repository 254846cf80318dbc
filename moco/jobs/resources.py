"""What a job gives to a method for one task: files of other stages, and models through the store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from moco.engines.responses import Response
from moco.jobs.logits_files import logits_by_item
from moco.jobs.method_job import MethodJob
from moco.methods.logits import Logits, LogitsKind
from moco.methods.resources import JointResponse, JointWork, Model, Work
from moco.scoring import Scorer, scorer_for

Ask = Callable[[Sequence[Work]], Sequence[Any]]
"""Runs a round of work whose models are named as in the study."""


class JobResources:
    """What fits and answers may use alike, as `moco.methods.resources.Resources` says.

    Args:
        job: The job.
        task: Its task.
        splits: Splits whose files are read.
        ask: Runs rounds, together with those of the job's other tasks.
    """

    def __init__(self, job: MethodJob, task: str, splits: Sequence[str], ask: Ask) -> None:
        self._job, self._task, self._splits, self._ask = job, task, tuple(splits), ask

    def name_of(self, member: Model) -> str:
        """Return the study's name of a member or helper; the method's own name of what a fit made."""
        if isinstance(member, int):
            return str(self._job.spec["pool"][member])
        return str(self._job.spec.get("helpers", {}).get(member, member))

    def model(self, member: Model) -> str:
        """Return the study's name of a model."""
        return str(self._job.spec.get("made", {}).get(self._task, {}).get(member, self.name_of(member)))

    def plain(self, member: Model, sample: int, _items: Sequence[str]) -> Mapping[str, Response]:
        """Return the responses in the files of a model."""
        return self._plain(self._splits, member, sample)

    def _plain(self, splits: Sequence[str], member: Model, sample: int) -> Mapping[str, Response]:
        rows = (row for split in splits for row in self._job.plain_rows(self.model(member), self._task, split, sample))
        return {row["uid"]: _response(row) for row in rows if row["status"] == "ok"}

    def logits(self, member: int, kind: LogitsKind, sample: int, _items: Sequence[str]) -> Mapping[str, Logits]:
        """Return the logits in the files of a member."""
        model = self.model(member)
        rows = [row for split in self._splits for row in self._job.logits_rows(kind, model, self._task, split, sample)]
        return logits_by_item(rows, kind)

    def rules(self, type: str) -> Scorer:
        """Return the study's rules for a task type."""
        return scorer_for(type, self._job.spec["scorer"])

    def run(self, work: Sequence[Work]) -> Sequence[Any]:
        """Run a round."""
        results = self._ask([self._named(one) for one in work])
        return [self._of_members(one, result) for one, result in zip(work, results, strict=True)]

    def _named(self, work: Work) -> Work:
        if isinstance(work, JointWork):
            return replace(work, members=tuple(map(self.model, work.members)))
        return replace(work, member=self.model(work.member))

    def _of_members(self, work: Work, result: Any) -> Any:
        """Return a result in which models are named as the method does: the first of equal members was read."""
        if not isinstance(work, JointWork) or not isinstance(result, JointResponse):
            return result
        members: dict[str, Model] = {self.model(member): member for member in reversed(work.members)}
        return replace(result, prompt_tokens={members[name]: n for name, n in result.prompt_tokens.items()})


def _response(row: Mapping[str, Any]) -> Response:
    names = (
        *("text", "key", "finish", "thought", "prompt_flag", "prompt_cut_tokens"),
        *("prompt_tokens", "completion_tokens", "mean_logprob"),
    )
    return Response(**{name: row[name] for name in names})
