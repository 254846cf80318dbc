"""What a job gives to a method's contexts, and the guard that holds each use to what the method declares.

`Resources` has two implementations: that of jobs (`moco.jobs.resources`) and a scripted one for tests. A model is named
as methods name it, by its position in the pool, a helper's role, or the name of a model that the fit made. Samples are
stored sample indices, with the copy's number in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from moco.decoding.program import Program
from moco.engines.responses import Response
from moco.errors import RequestError
from moco.methods.base import AnswerNeeds, Choice, FitNeeds, JointRequest, Member, Needs, Request
from moco.methods.logits import Logits, LogitsKind
from moco.models.recipes import Recipe, Trained
from moco.scoring import Scorer, Tools
from moco.tasks.item import Reference
from moco.training.examples import Example, Reward

Model: TypeAlias = int | str
"""A model as methods name it."""


@dataclass(frozen=True)
class JointWork:
    """A joint request with the models that write the reply and the program by which they do."""

    members: tuple[Model, ...]
    request: JointRequest
    program: Program


@dataclass(frozen=True)
class JointResponse:
    """A joint reply, and how many prompt tokens each model read for it."""

    response: Response
    prompt_tokens: Mapping[Any, int]


@dataclass(frozen=True)
class EmbedWork:
    """A text whose vector is wanted."""

    member: Model
    text: str


@dataclass(frozen=True)
class RewardWork:
    """A reply whose reward after a prompt is wanted."""

    member: Model
    prompt: str
    reply: str


@dataclass(frozen=True)
class Measurement:
    """What a model gave that wrote nothing, and what it read for it.

    Attributes:
        values: Log-probabilities of options, coordinates of a vector, or one reward.
        prompt_tokens: Tokens read, those of given options not counted.
        completion_tokens: Tokens of given options.
        key: Of what is stored; empty where it has none.
        prompt_flag: As of a `Response`.
        prompt_cut_tokens: Likewise.
        sent: Likewise.
    """

    values: tuple[float, ...]
    prompt_tokens: int
    completion_tokens: int = 0
    key: str = ""
    prompt_flag: str = "ok"
    prompt_cut_tokens: int = 0
    sent: str | None = None


Work: TypeAlias = Request | Choice | EmbedWork | RewardWork | JointWork
"""What models are asked. The results are, in this order: a response, three times a measurement, a joint response."""


@dataclass(frozen=True)
class DevScores:
    """Scores of a member's plain dev responses by item, and the responses behind them by stored sample and item."""

    scores: Mapping[str, float]
    replies: Mapping[int, Mapping[str, Response]]


class Resources(Protocol):
    """What `fit` and `answer` may use."""

    def name_of(self, member: Model) -> str:
        """Return the name under which calls list a model."""

    def plain(self, member: Model, sample: int, items: Sequence[str]) -> Mapping[str, Response]:
        """Return a model's plain responses by item, at least to the named items."""

    def logits(self, member: int, kind: LogitsKind, sample: int, items: Sequence[str]) -> Mapping[str, Logits]:
        """Return a member's cached logits by item, at least of the named items."""

    def rules(self, type: str) -> Scorer:
        """Return the rules by which answers to a task type are read and scored."""

    def run(self, work: Sequence[Work]) -> Sequence[Any]:
        """Return the results of one round of work, in its order."""


class FitResources(Resources, Protocol):
    """What only `fit` may use."""

    def references(self, split: str) -> Mapping[str, Reference]:
        """Return the references of a split by item."""

    def tools(self) -> Tools | None:
        """Return what scorers may use."""

    def dev_scores(self, member: int) -> DevScores:
        """Return the scores of a member's plain dev responses; broken items are left out."""

    def fingerprint(self, member: Model) -> str:
        """Return the fingerprint of a member's or a helper's model."""

    def merge(self, recipe: Recipe) -> str:
        """Make a model and return its name."""

    def discard(self, name: str) -> None:
        """Delete a model that `merge` made."""

    def corpus(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of an outside corpus."""

    def train(
        self,
        kind: str,
        parent: Model,
        examples: Sequence[Example],
        name: str,
        settings: Mapping[str, Any],
        reward: Reward | None = None,
    ) -> Trained:
        """Train a model; it may be asked under its name."""


class Guard:
    """Resources of which a method can use what it declares.

    Args:
        resources: Behind the guard.
        needs: What the method declares for the pool.
        stage: Which part of it holds: `needs.answer` or `needs.fit`.
        pool: Members, in order.
        answers: Answers per item that the task asks for; each rests on samples of its own.
    """

    def __init__(
        self,
        resources: Resources,
        needs: Needs,
        stage: AnswerNeeds | FitNeeds,
        pool: Sequence[Member],
        answers: int = 1,
    ) -> None:
        self._resources, self._needs, self._stage = resources, needs, stage
        self._plain: set[tuple[Model, int]] = {
            (member.index, member.sample(sample)) for member in pool for sample in range(stage.plain * answers)
        }
        if isinstance(stage, AnswerNeeds):
            fitted = range(stage.fitted_plain * answers)
            self._plain |= {(name, sample) for name in needs.models for sample in fitted}
        self._made = set(needs.models) if isinstance(stage, AnswerNeeds) else set()

    def name_of(self, member: Model) -> str:
        """Return the name under which calls list a model."""
        return self._resources.name_of(member)

    def plain(self, member: Model, sample: int, items: Sequence[str]) -> Mapping[str, Response]:
        """Require the sample among those declared."""
        field = "plain" if isinstance(member, int) else "fitted_plain"
        self._require((member, sample) in self._plain, f"plain sample {sample} of {self.name_of(member)}", field)
        return self._resources.plain(member, sample, items)

    def logits(self, member: int, kind: LogitsKind, sample: int, items: Sequence[str]) -> Mapping[str, Logits]:
        """Require the kind, and for responses the plain sample."""
        declared = kind in self._stage.logits and (kind != "response" or (member, sample) in self._plain)
        self._require(declared, f"{kind} logits of {self.name_of(member)}", "logits")
        return self._resources.logits(member, kind, sample, items)

    def rules(self, type: str) -> Scorer:
        """Require `extracts` of an answer."""
        self._require(
            not isinstance(self._stage, AnswerNeeds) or self._stage.extracts, "extraction of answers", "extracts"
        )
        return self._resources.rules(type)

    def run(self, work: Sequence[Work]) -> Sequence[Any]:
        """Require `live` or `generates`, and models that may be asked for what is wanted."""
        for one in work:
            if isinstance(one, JointWork):
                self._require(self._stage.live, "live models", "live")
            else:
                self._require(self._stage.generates, "requests of its own", "generates")
            for member in one.members if isinstance(one, JointWork) else (one.member,):
                self._require_model(member, _CAPABILITIES[type(one)])
        return self._resources.run(work)

    def _require_model(self, member: Model, capability: str) -> None:
        """Refuse a model that is not the method's, or that need not offer what is asked of it."""
        if isinstance(member, int):
            declared, whose = capability == "generate" or capability in self._needs.of_members, self.name_of(member)
        elif member in self._needs.helpers:
            declared, whose = capability in self._needs.helpers[member].capabilities, f"helper {member}"
        else:
            self._require_known(member)
            return
        of = "Needs" if isinstance(member, int) else f"Helper {member!r}"
        self._check(declared, f"{capability} of {whose}", f"add {capability!r} to `capabilities` of its {of}")

    def _require_known(self, member: Model) -> None:
        known = isinstance(member, int) or member in self._needs.helpers or member in self._made
        self._check(known, f"model {member}", "add it to `models` or `helpers` of its Needs")

    def _require(self, declared: bool, what: str, field: str) -> None:
        """Refuse what a field of the stage does not declare."""
        self._check(declared, what, f"set `{field}` of its {type(self._stage).__name__}")

    @staticmethod
    def _check(declared: bool, what: str, remedy: str) -> None:
        if not declared:
            raise RequestError(f"the method uses {what} that its `needs` does not declare", remedy=remedy)


_CAPABILITIES = {Request: "generate", Choice: "logits", EmbedWork: "embed", RewardWork: "reward", JointWork: "logits"}


class FitGuard(Guard):
    """The guard of a fit; arguments as for `Guard`."""

    _resources: FitResources
    _stage: FitNeeds

    def references(self, split: str) -> Mapping[str, Reference]:
        """Require references and the split."""
        field = "splits" if self._stage.references else "references"
        self._require(self._stage.references and split in self._stage.splits, f"references of {split!r}", field)
        return self._resources.references(split)

    def tools(self) -> Tools | None:
        """Return what scorers may use; of no use without references."""
        return self._resources.tools()

    def dev_scores(self, member: int) -> DevScores:
        """Require dev scores."""
        self._require(self._stage.dev_scores, "dev scores", "dev_scores")
        return self._resources.dev_scores(member)

    def fingerprint(self, member: Model) -> str:
        """Require a member or a helper."""
        self._check(
            isinstance(member, int) or member in self._needs.helpers,
            f"model {member}",
            "add it to `helpers` of its Needs",
        )
        return self._resources.fingerprint(member)

    def merge(self, recipe: Recipe) -> str:
        """Require `merges`."""
        self._require(self._stage.merges, "merging", "merges")
        name = self._resources.merge(recipe)
        self._made.add(name)
        return name

    def discard(self, name: str) -> None:
        """Require `merges`."""
        self._require(self._stage.merges, "merging", "merges")
        self._made.discard(name)
        self._resources.discard(name)

    def corpus(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Require the corpus by name."""
        self._require(name in self._stage.corpora, f"corpus {name}", "corpora")
        return self._resources.corpus(name)

    def train(
        self,
        kind: str,
        parent: Model,
        examples: Sequence[Example],
        name: str,
        settings: Mapping[str, Any],
        reward: Reward | None = None,
    ) -> Trained:
        """Require `trains`."""
        self._require(self._stage.trains, f"training ({kind})", "trains")
        self._require_model(parent, "trainable")
        given = () if reward is None else (reward,)
        trained = self._resources.train(kind, parent, examples, name, settings, *given)
        self._made.add(name)
        return trained
