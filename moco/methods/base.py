"""The contract of a collaboration method: what it declares, what it gets, what it gives.

A method is one class in one file. `needs` says, before any model exists, what `fit` and `answer` will read and run;
`fit` learns from dev and returns a small `State`; `answer` sees questions and that state. Everything a method may
touch comes from its context: it never opens a file of another stage, picks a device, or draws unnamed randomness.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from moco.config.decoding import Decoding
from moco.config.fields import Section
from moco.config.models import OFFERED
from moco.decoding.fusion import WeightedSum, mean_of_logits
from moco.errors import RequestError
from moco.methods.logits import LogitsKind
from moco.models.recipes import Recipe, Trained
from moco.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from moco.methods.context import AnswerContext, FitContext

LEVELS = ("api", "text", "logit", "weight", "control")
Level = Literal["api", "text", "logit", "weight", "control"]
COMMON_BASE = "@base"
"""Stands in a `Helper` for the base that all adapters of the pool share; no model has such a name."""
ARXIV_ID = re.compile(r"\d{2}(0[1-9]|1[0-2])\.\d{4,5}")
"""Year and month, and the number within it."""


class MethodParams(Section):
    """Settings of a method; every field is declared with `identity`, `numerics` or `runtime`."""


@dataclass(frozen=True)
class FitNeeds:
    """What `fit` reads and runs.

    Attributes:
        splits: Splits whose questions it reads, of `dev` and `train`.
        plain: Plain responses per member on these splits (samples 0 .. plain-1).
        dev_scores: It reads the scores of the members' plain dev responses (sample 0).
        references: It scores answers of its own, or reads references.
        logits: Kinds of cached logits it reads: `options`, `reference`, `response` (of the plain responses it reads).
        generates: It asks models itself: for replies, log-probabilities of options, vectors or rewards.
        live: It steps several models jointly.
        merges: It makes candidates, models that it asks and drops again.
        trains: It trains members or helpers that offer `trainable`, or models that it made.
        corpora: Names of outside corpora that it reads.
    """

    splits: tuple[str, ...] = ("dev",)
    plain: int = 0
    dev_scores: bool = False
    references: bool = False
    logits: tuple[LogitsKind, ...] = ()
    generates: bool = False
    live: bool = False
    merges: bool = False
    trains: bool = False
    corpora: tuple[str, ...] = ()

    @property
    def runs_models(self) -> bool:
        """Whether `fit` loads a model."""
        return self.generates or self.live or self.merges or self.trains


@dataclass(frozen=True)
class AnswerNeeds:
    """What `answer` reads and runs.

    Attributes:
        plain: Plain responses per member (samples 0 .. plain-1).
        plain_mode: `all` items of the split, or `lazy`: those that `answer` names as it reads. A priced model is asked
            for no others; of other models all are there.
        fitted_plain: Plain responses of each model that the fit made.
        logits: Kinds of cached logits it reads.
        generates: It asks models itself: for replies, log-probabilities of options, vectors or rewards.
        live: It steps several models jointly.
        extracts: It reads answers out of replies, by the rules of the scorer.
    """

    plain: int = 0
    plain_mode: Literal["all", "lazy"] = "all"
    fitted_plain: int = 0
    logits: tuple[LogitsKind, ...] = ()
    generates: bool = False
    live: bool = False
    extracts: bool = False

    @property
    def runs_models(self) -> bool:
        """Whether `answer` loads a model."""
        return self.generates or self.live


ALL_CAPABILITIES = frozenset().union(*OFFERED.values())
"""What a method may ask of members and helpers; `moco.config.models` says which model offers what."""


@dataclass(frozen=True)
class Helper:
    """A model outside the pool that a method uses in a role.

    Attributes:
        model: Its name in the study, as the method's parameters give it, or `COMMON_BASE`.
        capabilities: What it must offer, as for members: `generate` (it writes), `logits`, `embed`, `reward`, `weights`,
            `trainable`.
    """

    model: str
    capabilities: frozenset[str] = frozenset({"generate"})

    def __post_init__(self) -> None:
        """Refuse a capability that no model has; what is trained is read first."""
        _check_capabilities(self.capabilities, f"of helper {self.model}")
        if "trainable" in self.capabilities:
            object.__setattr__(self, "capabilities", self.capabilities | {"weights"})


def _check_capabilities(wanted: frozenset[str], whose: str) -> None:
    if unknown := wanted - ALL_CAPABILITIES:
        raise RequestError(
            f"capability {min(unknown)!r} {whose} is none", remedy=f"choose from {', '.join(sorted(ALL_CAPABILITIES))}"
        )


@dataclass(frozen=True)
class Needs:
    """What a method needs of a pool, of the plan and of the hardware.

    Attributes:
        answer: Needs of `answer`.
        fit: Needs of `fit`; None when there is nothing to fit.
        fit_scope: One fit per `task`, or one for the whole `pool`.
        min_models: Smallest pool, copies counted.
        max_models: Largest pool, copies counted; None: any.
        capabilities: What every member must offer: `weights`, `logits`, `top_logits`, `tokenizer`, `trainable`, `embed`,
            `reward`.
        same: What all members must share: `architecture`, `tokenizer`.
        models: Names of the models that a fit makes; each becomes a model of its own.
        helpers: Models outside the pool by role (`base`, `encoder`, `judge`), under which requests name them.
        descriptions: Every member needs a description.
        gpus: GPUs for live models where GPUs are used; None: as many as the largest member needs.
    """

    answer: AnswerNeeds = AnswerNeeds()
    fit: FitNeeds | None = None
    fit_scope: Literal["task", "pool"] = "task"
    min_models: int = 1
    max_models: int | None = None
    capabilities: frozenset[str] = frozenset()
    same: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    helpers: Mapping[str, Helper] = field(default_factory=dict)
    descriptions: bool = False
    gpus: int | None = None

    def __post_init__(self) -> None:
        """Refuse needs that would show references to an answer, and a name that stands for two models."""
        if "reference" in self.answer.logits:
            raise RequestError("answers see no reference", remedy="read logits of references in the fit")
        _check_capabilities(self.capabilities, "of members")
        if both := self.helpers.keys() & set(self.models):
            raise RequestError(f"a helper and a model that the fit makes are both called {min(both)}")

    @property
    def of_members(self) -> frozenset[str]:
        """What every member must offer: what is declared, and what follows from the other needs."""
        fit = self.fit
        logits = (*self.answer.logits, *(fit.logits if fit else ()))
        implied = {"top_logits" if kind == "response" else "logits" for kind in logits}
        implied |= {"logits"} if self.answer.live or (fit is not None and fit.live) else set()
        implied |= {"weights"} if fit is not None and fit.merges else set()
        return self.capabilities | implied

    def as_json(self) -> dict[str, Any]:
        """Return the needs as JSON values."""
        return {name: _plain_values(value) for name, value in asdict(self).items()}


def _plain_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain_values(each) for key, each in value.items()}
    return sorted(value) if isinstance(value, frozenset) else value


@dataclass(frozen=True)
class Member:
    """One place in a pool.

    Attributes:
        index: Position in the pool.
        model: The model's name in the study.
        copy: Which copy of that model this is (0 for the first).
        copies: How many copies the pool holds.
        description: What the model is good at.
        parameters: Number of parameters, where known.
        family: Its architecture, where declared; `needs` sees it, contexts do not.
        tokenizer: Its tokenizer group, likewise.
    """

    index: int
    model: str
    copy: int = 0
    copies: int = 1
    description: str = ""
    parameters: float | None = None
    family: str | None = None
    tokenizer: str | None = None

    def sample(self, sample: int) -> int:
        """Return the sample index under which this copy's sample is stored: equal models are different samples."""
        return sample * self.copies + self.copy


@dataclass(frozen=True)
class PoolInfo:
    """A pool as it is known before any model exists.

    Attributes:
        members: In pool order, with what the study declares of them.
    """

    members: tuple[Member, ...]

    def __len__(self) -> int:
        """Return the number of members, copies counted."""
        return len(self.members)

    @classmethod
    def of_size(cls, size: int) -> "PoolInfo":
        """Return a pool of different models of which nothing is known."""
        return cls(pool_members([f"model{place}" for place in range(size)]))


def pool_members(
    models: Sequence[str], about: Callable[[int, str], Mapping[str, Any]] | None = None
) -> tuple[Member, ...]:
    """Return the members of a pool, with copies numbered.

    Args:
        models: In pool order.
        about: Gives what is known of the member at a place: `description`, `parameters`, `family`, `tokenizer`.
    """
    seen: dict[str, int] = {}
    members = []
    for index, model in enumerate(models):
        copy = seen.get(model, 0)
        seen[model] = copy + 1
        members.append(Member(index, model, copy, models.count(model), **(about(index, model) if about else {})))
    return tuple(members)


@dataclass(frozen=True)
class Request:
    """One generation of a method's own.

    Attributes:
        member: Position in the pool, a helper's role, or the name of a model that the fit made or merged.
        uid: The item it serves.
        prompt: One user turn; a `Prompt` where parts of it may be shortened if it is too long.
        purpose: What it is for, as tables and transcripts name it: `refine`, `judge`, `summarise`.
        sample: Sample index; the copy number of the member is added by the context.
        decoding: Settings; those of the task when left out.
    """

    member: int | str
    uid: str
    prompt: str
    purpose: str
    sample: int = 0
    decoding: Decoding | None = None


@dataclass(frozen=True)
class Choice:
    """Given options whose log-probability after a prompt is wanted; a model reads the prompt once for all of them.

    Attributes:
        member: As for `Request`.
        uid: The item it serves.
        prompt: As for `Request`.
        options: Texts that may follow.
        purpose: What it is for, as tables and transcripts name it.
    """

    member: int | str
    uid: str
    prompt: str
    options: tuple[str, ...]
    purpose: str


@dataclass(frozen=True)
class JointRequest:
    """One reply that several members write together.

    Attributes:
        uid: The item it serves.
        prompt: One user turn; every member reads it under its own chat template.
        purpose: What it is for, as tables and transcripts name it.
        sample: Sample index.
        decoding: Settings; those of the task when left out.
    """

    uid: str
    prompt: str
    purpose: str
    sample: int = 0
    decoding: Decoding | None = None


@dataclass(frozen=True, eq=False)
class State:
    """What a fit learned.

    Attributes:
        data: JSON values.
        tensors: Named arrays.
        models: Each model that `needs` names: a recipe, or trained weights.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, "np.ndarray[Any, Any]"] = field(default_factory=dict)
    models: Mapping[str, Recipe | Trained] = field(default_factory=dict)

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """Return whether all content is equal, arrays element by element."""
        if not isinstance(other, State) or self.tensors.keys() != other.tensors.keys():
            return False
        same = all(
            array.dtype == other.tensors[name].dtype
            and array.shape == other.tensors[name].shape
            and bool((array == other.tensors[name]).all())
            for name, array in self.tensors.items()
        )
        return same and (self.data, self.models) == (other.data, other.models)


@dataclass(frozen=True)
class Answer:
    """A method's answer to one item.

    Attributes:
        uid: The item.
        text: The reply that is scored.
        extracted: Scored as it is when `has_extracted`; None then means that nothing could be read.
        has_extracted: Whether the method extracted the answer itself.
        models: Whose words the answer is made of.
        record: What should be remembered of this item, as JSON values.
        fallback: Why the method left its regular path; counted in table `failures`.
    """

    uid: str
    text: str
    models: Sequence[str] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    extracted: str | None = None
    has_extracted: bool = False
    fallback: str | None = None


@dataclass(frozen=True)
class TokenTeacher:
    """Whose logits, combined, a method writes from on any prefix, so that students can learn them token by token.

    Attributes:
        models: Places in the pool, or names of models that the fit makes.
        program: Combines the logits of these models.
    """

    models: tuple[int | str, ...]
    program: WeightedSum


class Method(ABC):
    """A collaboration method; subclasses are registered with `method`."""

    id: ClassVar[str]
    level: ClassVar[Level]
    task_types: ClassVar[frozenset[str] | None]
    papers: ClassVar[tuple[str, ...]]

    class Params(MethodParams):
        """Settings; none by default."""

    def __init__(self, params: Any) -> None:
        self.params = params

    @abstractmethod
    def needs(self, pool: PoolInfo) -> Needs:
        """Return what the method needs with a pool; must not import torch."""

    def token_teacher(self, pool: PoolInfo) -> TokenTeacher | None:
        """Return what the method writes from on any prefix; None where it has no such distribution.

        A method on weights writes from the one model that its fit makes. Must not import torch.
        """
        made = self.needs(pool).models if self.level == "weight" else ()
        return TokenTeacher(made, mean_of_logits(1)) if len(made) == 1 else None

    def fit(self, ctx: "FitContext") -> State:
        """Learn from dev; only called when `needs` declares a fit."""
        raise TypeError(f"{type(self).__name__} declares a fit but defines none")

    @abstractmethod
    def answer(self, ctx: "AnswerContext", state: State) -> Iterator[Answer]:
        """Yield one answer per question, in any order; it is called again where a task asks for several per item."""


METHODS: Registry[type[Method]] = Registry("method", group="moco.methods")


def method(
    id: str, *, level: Level, papers: Sequence[str], task_types: set[str] | None = None
) -> Callable[[type[Method]], type[Method]]:
    """Register a method.

    Args:
        id: Published id, `<level>_<name>`.
        level: api, text, logit, weight or control.
        papers: arXiv ids of the sources, the main one first; only a control may have none.
        task_types: Task types it applies to; None: all.

    Raises:
        RequestError: The class has no docstring, the id does not begin with its level, or a paper is no arXiv id.
    """

    def register(cls: type[Method]) -> type[Method]:
        if not id.startswith(f"{level}_"):
            raise RequestError(f"method id {id!r} must begin with its level", remedy=f"call it {level}_...")
        if not (cls.__doc__ or "").strip():
            raise RequestError(f"method {id!r} has no docstring", remedy="say in its first line what it does")
        if isinstance(papers, str) or not all(map(ARXIV_ID.fullmatch, papers)):
            raise RequestError(
                f"papers of method {id!r} are no arXiv ids: {papers!r}", remedy='write them as ("2203.11171",)'
            )
        if not papers and level != "control":
            raise RequestError(f"method {id!r} names no paper", remedy="give the arXiv id of its source")
        cls.id, cls.level, cls.papers = id, level, tuple(papers)
        cls.task_types = frozenset(task_types) if task_types is not None else None
        METHODS.add(id, cls)
        return cls

    return register
