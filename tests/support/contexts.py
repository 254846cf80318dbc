"""Contexts of methods, made in a few lines from scripted models; with `needs` they give what it declares, no more."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from moco.config.decoding import Decoding
from moco.engines.responses import Response
from moco.jobs.answer import checked_answers
from moco.methods.base import FitNeeds, Member, Method, Needs, PoolInfo, State, pool_members
from moco.methods.context import AnswerContext, FitContext, Settings
from moco.methods.logits import Logits
from moco.methods.resources import DevScores, FitGuard, Guard, JointWork, Model, Work
from moco.models.recipes import Recipe, Trained
from moco.scoring import Case, Scorer, Tools, score_cases, scorer_for
from moco.scoring.judges import SETS
from moco.tasks.item import Question, Reference
from moco.training.examples import Example, Reward
from support.engines import Engine, Replies, fingerprint, varied
from support.items import questions, references
from support.judges import tools

GivenScores = Mapping[str, float | Mapping[str, float]]


@dataclass
class Scripted:
    """Resources of scripted models.

    Attributes:
        engine: Behind them.
        members: The pool.
        items: Questions.
        gold: References by item.
        scorer: Rule set.
        scores: One score for all items, or scores by item, for every model; scored plain replies when left out.
        scoring: What scorers may use.
        ask: Runs rounds instead of the engine.
    """

    engine: Engine
    members: Sequence[Member]
    items: Sequence[Question]
    gold: Mapping[str, Reference] = field(default_factory=dict)
    scorer: str = "strict"
    scores: GivenScores | None = None
    scoring: Tools | None = field(default_factory=tools)
    ask: Callable[[Sequence[Work]], Sequence[Any]] | None = None

    def name_of(self, member: Model) -> str:
        return self.members[member].model if isinstance(member, int) else member

    def plain(self, member: Model, sample: int, items: Sequence[str]) -> Mapping[str, Response]:
        return self.engine.plain(self.name_of(member), sample, [item for item in self.items if item.uid in items])

    def logits(self, member: int, kind: str, sample: int, _items: Sequence[str]) -> Mapping[str, Logits]:
        return self.engine.logits(self.name_of(member), kind, sample, self.items)

    def rules(self, type: str) -> Scorer:
        return scorer_for(type, self.scorer)

    def run(self, work: Sequence[Work]) -> Sequence[Any]:
        named = [
            replace(one, members=tuple(map(self.name_of, one.members)))
            if isinstance(one, JointWork)
            else replace(one, member=self.name_of(one.member))
            for one in work
        ]
        results = (self.ask or self.engine.run)(named)
        return [
            replace(
                result, prompt_tokens={m: result.prompt_tokens[self.name_of(m)] for m in dict.fromkeys(one.members)}
            )
            if isinstance(one, JointWork)
            else result
            for one, result in zip(work, results, strict=True)
        ]

    def references(self, split: str) -> Mapping[str, Reference]:
        return {item.uid: self.gold[item.uid] for item in self.items if item.split == split}

    def tools(self) -> Tools | None:
        return self.scoring

    def dev_scores(self, member: int) -> DevScores:
        model, sample = self.name_of(member), self.members[member].sample(0)
        self.engine.access()
        self.engine.reads.append(("dev_scores", model, sample))
        if self.scores is not None:
            value = self.scores[model]
            given = dict(value) if isinstance(value, Mapping) else {item.uid: float(value) for item in self.items}
            return DevScores(given, {})
        found, replies = {}, {}
        for item in self.items:
            replies[item.uid] = reply = self.engine.response(model, item.prompt, sample, item.uid)
            further = (reply.text,) if item.type in SETS else ()
            case = Case(item, self.gold[item.uid], reply.text, further=further)
            [verdict] = score_cases(self.rules(item.type), [case], self.scoring)
            if verdict.score is not None:
                found[item.uid] = verdict.score
        return DevScores(found, {sample: replies})

    def fingerprint(self, member: Model) -> str:
        return fingerprint(self.name_of(member))

    def merge(self, recipe: Recipe) -> str:
        return self.engine.merge(recipe)

    def discard(self, name: str) -> None:
        self.engine.discard(name)

    def corpus(self, name: str) -> Sequence[Mapping[str, Any]]:
        return [{"text": f"{name} {number}"} for number in range(3)]

    def train(
        self,
        kind: str,
        parent: Model,
        examples: Sequence[Example],
        name: str,
        settings: Mapping[str, Any],
        reward: Reward | None = None,
    ) -> Trained:
        return self.engine.train(kind, self.name_of(parent), examples, name, settings, reward)


def _pool(models: Sequence[str], descriptions: Sequence[str] | None) -> tuple[Member, ...]:
    return pool_members(
        models,
        lambda place, model: {"description": descriptions[place] if descriptions else f"knows what {model} knows"},
    )


def _scripted(
    models: Sequence[str], items: Sequence[Question], replies: Replies | Engine, settings: dict[str, Any]
) -> tuple[Scripted, Settings]:
    engine = replies if isinstance(replies, Engine) else Engine(replies)
    pool = _pool(models, settings.pop("descriptions", None))
    own = {name: settings.pop(name) for name in ("scorer", "scoring", "ask") if name in settings}
    return Scripted(engine, pool, items, **own), Settings(**{"decoding": Decoding(max_new_tokens=16), **settings})


def answer_context(
    *,
    models: Sequence[str],
    questions: Sequence[Question],
    replies: Replies | Engine = varied,
    needs: Needs | None = None,
    fitted: Mapping[str, Recipe | Trained] | None = None,
    **settings: Any,
) -> AnswerContext:
    """Return the context of an `answer`.

    Args:
        models: The pool, in order.
        questions: Items to answer.
        replies: A function of (model, prompt, sample), a mapping from models to texts, or an engine to look into.
        needs: Give only what this declares; None: everything.
        fitted: The models that the fit made.
        settings: Of the context, `descriptions` of members, and `scorer`, `scoring`, `ask` of the resources.
    """
    scripted, about = _scripted(models, questions, replies, settings)
    for name, made in (fitted or {}).items():
        scripted.engine.know(name, made)
    guard = scripted if needs is None else Guard(scripted, needs, needs.answer, scripted.members, about.answers)
    return AnswerContext(scripted.members, questions, guard, about)


def fit_context(
    *,
    models: Sequence[str],
    questions: Sequence[Question],
    replies: Replies | Engine = varied,
    needs: Needs | None = None,
    references: Mapping[str, Reference] | None = None,
    dev_scores: GivenScores | None = None,
    **settings: Any,
) -> FitContext:
    """Return the context of a `fit`.

    Args:
        models: The pool, in order.
        questions: Items to fit on.
        replies: As for `answer_context`.
        needs: As for `answer_context`.
        references: By item; those of the constructed items when left out.
        dev_scores: As for `Scripted`.
        settings: As for `answer_context`.
    """
    scripted, about = _scripted(models, questions, replies, settings)
    scripted.gold = _gold(questions) if references is None else references
    scripted.scores = dev_scores
    guard = scripted
    if needs is not None:
        guard = FitGuard(scripted, needs, needs.fit or FitNeeds(splits=()), scripted.members)
    return FitContext(scripted.members, questions, guard, about)


def _gold(items: Sequence[Question]) -> dict[str, Reference]:
    return references(items)


@dataclass
class World:
    """A pool, dev and test items of one task, and scripted replies: all that a method sees of a study.

    Attributes:
        models: The pool, in order.
        type: Task type.
        task: Name of the task.
        items: Items per split.
        replies: The script.
        scorer: Rule set.
        dev_scores: As for `fit_context`.
        restrict: Give only what `needs` declares.
        needs: Instead of the method's own.
    """

    models: Sequence[str]
    type: str = "exact_match"
    task: str = "t"
    items: int = 5
    replies: Replies = varied
    scorer: str = "strict"
    dev_scores: GivenScores | None = None
    restrict: bool = True
    needs: Needs | None = None
    dev: list[Question] = field(init=False)
    test: list[Question] = field(init=False)

    def __post_init__(self) -> None:
        self.dev = questions(self.items, self.type, split="dev", task=self.task)
        self.test = questions(self.items, self.type, split="test", task=self.task)

    @property
    def pool(self) -> PoolInfo:
        """What is known of the pool."""
        return PoolInfo(pool_members(self.models))

    def _needs(self, method: Method) -> Needs | None:
        return (self.needs or method.needs(self.pool)) if self.restrict else None

    def fit(self, method: Method, engine: Engine | None = None, **settings: Any) -> State:
        """Return what a method learns; an empty state when it declares no fit."""
        declared = method.needs(self.pool).fit
        if declared is None:
            return State()
        items = [
            item for split in declared.splits for item in questions(self.items, self.type, split=split, task=self.task)
        ]
        settings = {"dev_scores": self.dev_scores, "method": method.id, "scorer": self.scorer, **settings}
        ctx = fit_context(
            models=self.models,
            questions=items,
            replies=engine or Engine(self.replies),
            needs=self._needs(method),
            **settings,
        )
        return method.fit(ctx)

    def answer(
        self,
        method: Method,
        state: State,
        engine: Engine | None = None,
        items: Sequence[Question] | None = None,
        **settings: Any,
    ) -> dict[str, dict[str, Any]]:
        """Return a method's checked answers by item."""
        chosen = self.test if items is None else items
        ctx = answer_context(
            models=self.models,
            questions=chosen,
            replies=engine or Engine(self.replies),
            needs=self._needs(method),
            fitted=state.models,
            method=method.id,
            scorer=self.scorer,
            **settings,
        )
        return {row["uid"]: row for row in checked_answers(method.answer(ctx, state), chosen)}
