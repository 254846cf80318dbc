"""Plain responses of priced models: asked for when a method reads them, item by item, instead of ahead."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moco.engines.responses import Response
from moco.jobs.logits_files import response_logits
from moco.methods.base import Request
from moco.methods.logits import ResponseLogits
from moco.store.generations import Stored
from moco.tasks.item import Question


class LazyPlain:
    """Asks for plain responses as plain generation would, so that either finds what the other stored.

    Args:
        questions: The items.
        ask: Runs a round of requests to models by their names in the study.
        stored: Gives stored replies of a model, by key.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        ask: Callable[[Sequence[Request]], Sequence[Any]],
        stored: Callable[[str, Sequence[str]], Mapping[str, Stored]],
    ) -> None:
        self._prompts = {question.uid: question.prompt for question in questions}
        self._ask, self._stored = ask, stored
        self._known: dict[tuple[str, int], dict[str, Response]] = {}

    def plain(self, model: str, sample: int, items: Sequence[str]) -> dict[str, Response]:
        """Return the plain responses of a model with a stored sample index to these items."""
        known = self._known.setdefault((model, sample), {})
        fresh = [uid for uid in dict.fromkeys(items) if uid not in known]
        if fresh:
            requests = [Request(model, uid, self._prompts[uid], "plain", sample) for uid in fresh]
            known.update(zip(fresh, self._ask(requests), strict=True))
        return {uid: known[uid] for uid in items}

    def logits(self, model: str, sample: int, items: Sequence[str]) -> dict[str, ResponseLogits]:
        """Return the logits of these plain responses; they came with them."""
        keys = {uid: response.key for uid, response in self.plain(model, sample, items).items()}
        rows = self._stored(model, list(keys.values()))
        return {uid: response_logits(vars(rows[key])) for uid, key in keys.items()}
