"""The calls of a method: every response that it reads or asks for, one row each, since they are what it costs."""

from collections.abc import Sequence
from typing import Any

from moco.digest import canonical_json
from moco.engines.responses import Response

SHARED = -1
"""Round of calls that read what all methods share."""


class Calls:
    """The calls of one `fit` or `answer`.

    Attributes:
        rows: As in the calls file, without the task.
        rounds: Rounds of own work so far.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.rounds = 0
        self._of_item: dict[str, int] = {}
        self._read: set[tuple[str, str, str, int]] = set()

    def read(self, uid: str, response: Response, kind: str, purpose: str, member: int, model: str, sample: int) -> None:
        """Note that something shared was read; reading it again is no further call."""
        if (uid, purpose, model, sample) not in self._read:
            self._read.add((uid, purpose, model, sample))
            about = {"purpose": purpose, "member": member, "model": model, "sample": sample, "prompt": None}
            self._add(uid, response, {"kind": kind, "round": SHARED, **about})

    def ask(
        self, uid: str, response: Response, kind: str, purpose: str, member: int, model: str, sample: int, prompt: str
    ) -> None:
        """Note what a model did in the present round; the prompt is kept as it was sent."""
        sent = prompt if response.sent is None else response.sent
        about = {"purpose": purpose, "member": member, "model": model, "sample": sample, "prompt": sent}
        self._add(uid, response, {"kind": kind, "round": self.rounds, **about})

    def again(self, rows: Sequence[dict[str, Any]], rounds: int) -> None:
        """Note calls that were made before an interruption, and the rounds that they took."""
        for row in rows:
            if row["round"] == SHARED:
                self._read.add((row["uid"], row["purpose"], row["model"], row["sample"]))
            self._of_item[row["uid"]] = row["call"] + 1
        self.rows += rows
        self.rounds += rounds

    def _add(self, uid: str, response: Response, about: dict[str, Any]) -> None:
        number = self._of_item.get(uid, 0)
        self._of_item[uid] = number + 1
        names = ("key", "text", "finish", "prompt_flag", "prompt_cut_tokens", "prompt_tokens", "completion_tokens")
        segments = [[each.model, each.start, each.end, each.logprob] for each in response.segments]
        fields = {name: getattr(response, name) for name in names}
        fields["segments_json"] = canonical_json(segments) if segments else None
        self.rows.append({"uid": uid, "call": number, **about, **fields})
