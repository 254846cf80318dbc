"""What a scorer is: pure functions of (question, reference, reply), one class per task type and rule set."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from moco.config.scoring import Scoring
from moco.registry import Registry
from moco.tasks.item import DATASET, Question, Reference


@dataclass(frozen=True)
class Extraction:
    """What was read out of a reply.

    Attributes:
        parsed: The answer as written (an option letter for multiple choice), or None when nothing was found.
        rule: Name of the rule that fired.
    """

    parsed: str | None
    rule: str


@dataclass(frozen=True)
class Verdict:
    """The score of one reply.

    Attributes:
        score: 0 to 1 for accuracies; a reward or a distance has a range of its own. None exactly when `status` is
            `invalid`, `unscored` or `failed`, and then the item is left out of means.
        parsed: What was extracted; None too where the whole reply is what counts.
        rule: The extraction rule that fired, or `given` for an answer extracted by a method.
        status: `ok`; `unparsed`: nothing to read in the reply (an accuracy is then 0); `invalid`: the item is broken;
            `unscored`: the rule set scores no such reply; `failed`: another item that it takes was not answered.
        details: What the scorer reports besides the score, by name: a further metric, why code failed, a length.
    """

    score: float | None
    parsed: str | None
    rule: str
    status: str = "ok"
    details: Mapping[str, float | str] = field(default_factory=dict)


class Unevaluable(Exception):
    """The original raises an error on this item and reply."""


class Scorer(Protocol):
    """Scores the replies of one task type under one rule set (`strict`, `paper` or `paper-1.1`)."""

    def extract(self, question: Question, reply: str) -> Extraction:
        """Read the answer out of a reply without seeing the reference."""
        ...

    def normal_form(self, question: Question, parsed: str) -> str:
        """Return the text under which answers that the metric treats alike are equal (for voting)."""
        ...

    def score(self, question: Question, reference: Reference, reply: str) -> Verdict:
        """Extract and compare."""
        ...

    def score_extracted(self, question: Question, reference: Reference, extracted: str | None) -> Verdict:
        """Compare an answer that a method already extracted; None is `unparsed`."""
        ...


@dataclass(frozen=True)
class Case:
    """One reply to score.

    Attributes:
        question: The item.
        reference: Its gold.
        text: The reply.
        extracted: The answer, where a method gave one already.
        given: Whether a method gave one; without an answer in `extracted`, the item counts as unparsed.
        further: The item's further replies, where it is scored by several of them together.
    """

    question: Question
    reference: Reference
    text: str
    extracted: str | None = None
    given: bool = False
    further: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rating:
    """What a reward model says of a reply.

    Attributes:
        reward: Its logit, in no fixed range.
        tokens: Length of the reply alone, in the model's tokens.
    """

    reward: float
    tokens: int


class ScoringModels(Protocol):
    """The models that score, under their roles in the study; what comes out for one input depends on no other."""

    def verify(self, prompts: Sequence[str]) -> list[str]:
        """Return the verifier's greedy reply to each prompt."""
        ...

    def reward(
        self, role: Literal["reward", "second_reward"], pairs: Sequence[tuple[str, str]], limit: int | None
    ) -> list[Rating]:
        """Rate replies.

        Args:
            role: Which reward model.
            pairs: Prompts with replies.
            limit: Most tokens read of both together; None: as many as the model can read.
        """
        ...

    def embed(self, texts: Sequence[str], pooling: Literal["mask", "padded"]) -> list[Sequence[float]]:
        """Return the vector of each text.

        Args:
            texts: Any texts.
            pooling: Mean over the text's own positions, or over all positions of the text padded to full length.
        """
        ...


@dataclass(frozen=True)
class CodeTools:
    """Permission to run code that models wrote, and how (`config.scoring.CodeExecution`).

    Attributes:
        isolation: `bwrap` or `limits`.
        seconds: CPU and wall-clock time of one reply.
        memory_mb: Address space of one process, in MiB.
    """

    isolation: Literal["bwrap", "limits"] = "bwrap"
    seconds: int = 10
    memory_mb: int = 512


@dataclass(frozen=True)
class Tools:
    """What scorers may use besides their arguments.

    Attributes:
        workers: Processes that may run at once.
        code: Permission to run code that models wrote.
        models: Models that judge, where the study names some.
        settings: Settings of scorers.
    """

    workers: int = 1
    code: CodeTools | None = None
    models: ScoringModels | None = None
    settings: Scoring = field(default_factory=Scoring)


class ReadingScorer(ABC):
    """Scores one reply at a time: reads an answer out of it, and compares that alone with the gold."""

    @abstractmethod
    def extract(self, question: Question, reply: str) -> Extraction:
        """Read the answer out of a reply without seeing the reference."""

    @abstractmethod
    def normal_form(self, question: Question, parsed: str) -> str:
        """Return the text under which answers that the metric treats alike are equal."""

    @abstractmethod
    def compared(self, question: Question, reference: Reference, found: Extraction) -> Verdict:
        """Return the score of an answer that was read, or given by a method."""

    def score(self, question: Question, reference: Reference, reply: str) -> Verdict:
        """Extract and compare."""
        return self.compared(question, reference, self.extract(question, reply))

    def score_extracted(self, question: Question, reference: Reference, extracted: str | None) -> Verdict:
        """Compare an answer that a method already extracted; None is `unparsed`."""
        return self.compared(question, reference, Extraction(extracted, "given"))


class BatchScorer(ABC):
    """Scores many replies at a time, where code runs or models judge; a single reply is a batch of one."""

    @abstractmethod
    def extract(self, question: Question, reply: str) -> Extraction:
        """Read the answer out of a reply without seeing the reference."""

    @abstractmethod
    def normal_form(self, question: Question, parsed: str) -> str:
        """Return the text under which answers that the metric treats alike are equal."""

    @abstractmethod
    def score_all(self, cases: Sequence[Case], tools: Tools) -> list[Verdict]:
        """Return one verdict per case, in order; none depends on another case."""

    def score(self, question: Question, reference: Reference, reply: str) -> Verdict:
        """Score one reply without any tool; what needs one is an error."""
        return self.score_all([Case(question, reference, reply)], Tools())[0]

    def score_extracted(self, question: Question, reference: Reference, extracted: str | None) -> Verdict:
        """Score one extracted answer without any tool; what needs one is an error."""
        case = Case(question, reference, extracted or "", extracted=extracted, given=True)
        return self.score_all([case], Tools())[0]


def score_cases(scorer: Scorer, cases: Sequence[Case], tools: Tools | None = None) -> list[Verdict]:
    """Return one verdict per case, in order.

    Args:
        scorer: Of the cases' task type.
        cases: Questions with references and replies.
        tools: What the scorer may use.
    """
    if isinstance(scorer, BatchScorer):
        return scorer.score_all(cases, tools or Tools())
    return [
        scorer.score_extracted(case.question, case.reference, case.extracted)
        if case.given
        else scorer.score(case.question, case.reference, case.text)
        for case in cases
    ]


def dataset_of(question: Question, reference: Reference) -> str:
    """Return the registered dataset of an item, whatever its task is called, or else the name of the task."""
    return str(reference.meta.get(DATASET, question.task))


SCORERS: Registry[Scorer] = Registry("scorer", group="moco.scorers")
"""Keys are `<task type>/<rule set>`, for instance `multiple_choice/strict`."""
