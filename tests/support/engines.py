"""Scripted models: replies are a function of model, prompt and sample; every access is recorded and may fail."""

import atexit
import hashlib
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from moco.config.decoding import Decoding
from moco.config.training import KINDS
from moco.digest import digest
from moco.engines.responses import Response
from moco.errors import RequestError
from moco.methods.base import Choice, JointRequest, Request
from moco.methods.logits import Logits, OptionLogits, ReferenceLogits, ResponseLogits
from moco.methods.resources import EmbedWork, JointResponse, JointWork, Measurement, Work
from moco.models.recipes import Recipe, Trained
from moco.prompts import blocks
from moco.tasks.item import LETTERS, Question
from moco.training.examples import Example, Reward

TRAINED = Path(tempfile.gettempdir()) / f"moco-scripted-{os.getpid()}"
"""Where scripted training leaves its files, which stay while a test may read them."""
atexit.register(shutil.rmtree, TRAINED, ignore_errors=True)

Reply = Callable[[str, str, int], str]
R = TypeVar("R")
Replies = Reply | Mapping[str, str | Mapping[str, str]]


class ScriptedError(RuntimeError):
    """The failure that a script asked for."""


@dataclass(frozen=True)
class Asked:
    """One request that reached a scripted model."""

    model: str
    uid: str
    prompt: str
    purpose: str
    sample: int
    decoding: Decoding | None


def fingerprint(model: str) -> str:
    """Return the fingerprint of a scripted model."""
    return f"fingerprint-of-{model}"


def varied(model: str, prompt: str, sample: int) -> str:
    """Reply with an answer that differs between models, prompts and samples, in the form that the prompt asks for."""
    number = int(hashlib.sha256(f"{model}|{prompt}|{sample}".encode()).hexdigest()[:12], 16)
    start = f"Reply number {number}."
    if "\nACTION: NAME" in prompt:
        return f"{start}\nACTION: {('PROPOSE', 'EXECUTE', 'CRITIQUE', 'FINALISE')[number % 4]}\n"
    if "\nVOTE: NUMBER" in prompt:
        return f"{start}\nVOTE: {number % 3 + 1}\n"
    if blocks.answer_format("multiple_choice") in prompt or "\nA) " in prompt:
        return f"{start} The answer is {'ABC'[number % 3]}"
    if '{"score": N}' in prompt:
        return f'{start} {{"score": {number % 10 + 1}}}'
    return f"{start} The answer is \\box{{{number % 3}}}"


def _asked(work: Work) -> Asked:
    """Return work as one request; that of models that write together goes to all that are read, joined by `+`."""
    if isinstance(work, JointWork):
        places, _ = work.program.members([fingerprint(str(name)) for name in work.members])
        request, model = work.request, "+".join(str(work.members[place]) for place in places)
        return Asked(model, request.uid, request.prompt, request.purpose, request.sample, request.decoding)
    if isinstance(work, Request):
        return Asked(str(work.member), work.uid, work.prompt, work.purpose, work.sample, work.decoding)
    if isinstance(work, Choice):
        return Asked(str(work.member), work.uid, "\n".join([work.prompt, *work.options]), work.purpose, 0, None)
    if isinstance(work, EmbedWork):
        return Asked(str(work.member), "", work.text, "embedding", 0, None)
    return Asked(str(work.member), "", f"{work.prompt}\n{work.reply}", "reward", 0, None)


def measured(model: str, *texts: str) -> tuple[float, ...]:
    """Return four numbers below 0 that depend on model and texts."""
    draw = random.Random("|".join([model, *texts]))
    return tuple(-3 * draw.random() for _ in range(4))


def scripted_logits(kind: str, model: str, item: Question, sample: int) -> Logits:
    """Return logits that depend on model, kind, item and sample."""
    draw = random.Random(f"{kind}|{model}|{item.uid}|{sample}")

    def numbers(count: int) -> tuple[float, ...]:
        return tuple(sorted((-3 * draw.random() for _ in range(count)), reverse=True))

    if kind == "options":
        count = len(item.options or ())
        order = draw.sample(range(count), count)
        values = [
            (letters[place], texts[place]) for letters, texts in [(numbers(count), numbers(count))] for place in order
        ]
        labels = tuple(LETTERS[:count])
        by_letter, by_text = (tuple(each) for each in zip(*values, strict=True)) if values else ((), ())
        return OptionLogits(labels, by_letter, by_text, (2,) * count, 9, 3 * count)
    if kind == "reference":
        return ReferenceLogits("gold", (1, 2), numbers(2), 9)
    steps = 3
    tops = tuple(numbers(6) for _ in range(steps))
    return ResponseLogits(
        (5, 6, 7), tuple(top[0] for top in tops), 6, ((5, 6, 7, 8, 9, 10),) * steps, tops, (0.0,) * steps
    )


class Engine:
    """Answers for all models of a test.

    Replies are a function of (model, prompt, sample), or a mapping from the model to its one text or to texts by
    item. A merged model `m` of `a` and `b` is named `a+b` there; one of a single input is that input; one that was
    trained from `a` is `a*`.

    Args:
        replies: The script.
        fail_at: Number (from 1) of the access that fails: reading plain responses or dev scores, one request, a merge.
        finished: Replies of own requests that an earlier run has finished.
        measure: Gives numbers for a model and texts: log-probability of an option after its prompt or reward of a
            reply (the first number), vector of a text.
    """

    def __init__(
        self,
        replies: Replies = varied,
        *,
        fail_at: int | None = None,
        finished: Mapping[Asked, str] | None = None,
        measure: Callable[..., Sequence[float]] = measured,
    ) -> None:
        self._replies, self._fail_at = replies, fail_at
        self.measure = measure
        self.finished: dict[Asked, str] = dict(finished or {})
        self.names: dict[str, str] = {}
        self.accesses = 0
        self.requests: list[Asked] = []
        self.generated: list[Asked] = []
        self.rounds: list[list[Asked]] = []
        self.loads: Counter[str] = Counter()
        self.reads: list[tuple[str, str, int]] = []
        self.named: list[tuple[str, int, str]] = []
        self.merged: list[Recipe] = []
        self.joint: list[JointWork] = []
        self.trained: list[tuple[str, str, str, list[Example], dict[str, Any]]] = []
        self.discarded: list[str] = []

    def access(self) -> None:
        """Count an access, and fail when it is the one that was to fail."""
        self.accesses += 1
        if self.accesses == self._fail_at:
            raise ScriptedError(f"access {self.accesses} fails")

    def text(self, model: str, prompt: str, sample: int, uid: str) -> str:
        """Return what a model replies."""
        if model in self.discarded:
            raise LookupError(f"{model} is discarded")
        name = self.names.get(model, model)
        if callable(self._replies):
            return self._replies(name, prompt, sample)
        script = self._replies[name]
        return script if isinstance(script, str) else script[uid]

    def plain(self, model: str, sample: int, questions: Sequence[Question]) -> dict[str, Response]:
        """Return a model's plain responses."""
        self.access()
        self.reads.append(("plain", model, sample))
        self.named.extend((model, sample, item.uid) for item in questions)
        return {item.uid: self.response(model, item.prompt, sample, item.uid) for item in questions}

    def response(self, model: str, prompt: str, sample: int, uid: str) -> Response:
        """Return what a model replies, as methods see it; an empty text has no log-probability."""
        text = self.text(model, prompt, sample, uid)
        key = digest(self.names.get(model, model), prompt, sample)
        return Response(
            text,
            key=key,
            prompt_tokens=len(prompt.split()),
            completion_tokens=len(text.split()),
            mean_logprob=round(measured(key)[0], 6) if text else None,
        )

    def run(self, work: Sequence[Work]) -> list[Response | JointResponse | Measurement]:
        """Run one round of work, model by model."""
        asked = [_asked(one) for one in work]
        self.requests.extend(asked)
        self.rounds.append(asked)
        self.loads.update({name for item in asked for name in item.model.split("+")})
        results: dict[int, Response | JointResponse | Measurement] = {}
        for model in dict.fromkeys(item.model for item in asked):
            for index, item in enumerate(asked):
                if item.model == model:
                    results[index] = self._result(work[index], item)
        return [results[index] for index in range(len(work))]

    def _result(self, work: Work, item: Asked) -> Response | JointResponse | Measurement:
        if isinstance(work, Request):
            return self._one(item)
        if isinstance(work, JointWork):
            self.joint.append(work)
            response = self._one(item)
            return JointResponse(response, dict.fromkeys(work.members, response.prompt_tokens))
        self.access()
        model, words = self.names.get(item.model, item.model), len(item.prompt.split())
        if isinstance(work, Choice):
            values = tuple(self.measure(model, work.prompt, option)[0] for option in work.options)
            return Measurement(values, len(work.prompt.split()), words - len(work.prompt.split()))
        if isinstance(work, EmbedWork):
            return Measurement(tuple(self.measure(model, work.text)), words)
        return Measurement(tuple(self.measure(model, work.prompt, work.reply))[:1], words)

    def logits(self, model: str, kind: str, sample: int, questions: Sequence[Question]) -> dict[str, Logits]:
        """Return a model's cached logits, made of its replies by nothing but a hash."""
        self.access()
        self.reads.append(("logits", model, sample))
        return {item.uid: scripted_logits(kind, model, item, sample) for item in questions}

    def _one(self, item: Asked) -> Response:
        if item not in self.finished:
            self.access()
            self.generated.append(item)
            self.finished[item] = self.text(item.model, item.prompt, item.sample, item.uid)
        return self.response(item.model, item.prompt, item.sample, item.uid)

    def merge(self, recipe: Recipe) -> str:
        """Make a model of others."""
        self.access()
        self.merged.append(recipe)
        name = f"merged-{digest(recipe.as_json())[:8]}-{len(self.merged)}"
        self.know(name, recipe)
        return name

    def train(
        self,
        kind: str,
        parent: str,
        examples: Sequence[Example],
        name: str,
        settings: Mapping[str, Any],
        reward: Reward | None = None,
    ) -> Trained:
        """Train a model: equal work gives an equal folder, whose file names what it was made of.

        Rewards are asked for once, for what the parent replies.
        """
        self.access()
        how = KINDS[kind].model_validate(dict(settings)).slice()
        if not examples:
            raise RequestError("nothing to learn", where=f"training of {parent}")
        if reward is not None:
            reward([(each.uid, self.text(parent, each.prompt, 0, each.uid)) for each in examples])
        self.trained.append((kind, parent, name, list(examples), how))
        about = f"{self.names.get(parent, parent)}*"
        folder = TRAINED / digest(kind, about, list(examples), how)[:16]
        folder.mkdir(parents=True, exist_ok=True)
        folder.joinpath("weights").write_text(about, encoding="utf-8")
        made = Trained(folder, fingerprint(parent))
        self.know(name, made)
        return made

    def know(self, name: str, made: Recipe | Trained) -> None:
        """Let `name` be the model that a recipe makes, or that was trained."""
        if isinstance(made, Trained):
            self.names[name] = made.folder.joinpath("weights").read_text(encoding="utf-8")
            return
        self.names[name] = "+".join(source.removeprefix(fingerprint("")) for source in made.inputs)

    def discard(self, name: str) -> None:
        """Delete a merged model."""
        if name not in self.names or name in self.discarded:
            raise LookupError(f"{name} does not exist")
        self.discarded.append(name)


def plain_request(model: str, prompt: str, decoding: Decoding, sample: int = 0) -> Request:
    """Return the request of a model's reply to a prompt."""
    return Request(model, "item", prompt, "plain", sample, decoding)


def joint_request(prompt: str, decoding: Decoding) -> JointRequest:
    """Return the request of a reply that models write together."""
    return JointRequest("item", prompt, "write", decoding=decoding)


def interrupted(generate: Callable[[Any], Iterable[R]], after: int) -> Callable[[Any], Iterator[R]]:
    """Return an engine's `generate` that a user stops after some replies."""

    def until_stopped(requests: Any) -> Iterator[R]:
        for number, row in enumerate(generate(requests)):
            if number == after:
                raise KeyboardInterrupt
            yield row

    return until_stopped
