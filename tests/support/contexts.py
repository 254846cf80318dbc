"""Contexts of methods, made in a few lines from scripted models; with `needs` they give what it declares, no more."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moco.config.decoding import Decoding
from moco.engines.responses import Response
from moco.errors import RequestError
from moco.jobs.answer import checked_answers
from moco.methods.base import Method, Needs, PoolInfo, State, pool_members
from moco.methods.context import AnswerContext, FitContext, Generate
from moco.methods.logits import Logits
from moco.models.recipes import Recipe
from moco.scoring import Case, score_cases, scorer_for
from moco.scoring.judges import SETS
from moco.tasks.item import Question, Reference
from support.engines import Engine, Replies, fingerprint, varied
from support.items import questions, references
from support.judges import tools

DevScores = Mapping[str, float | Mapping[str, float]]


def _engine(replies: Replies | Engine) -> Engine:
    return replies if isinstance(replies, Engine) else Engine(replies)


def _plain(
    engine: Engine,
    models: Sequence[str],
    items: Sequence[Question],
    pool_samples: int | None,
    fitted: Mapping[str, int],
) -> Callable[[str, int, Sequence[str]], Mapping[str, Response]]:
    """Return a reader of plain responses to named items, of samples below a limit; None is no limit."""

    def read(model: str, sample: int, named: Sequence[str]) -> Mapping[str, Response]:
        known = dict(fitted)
        if pool_samples is None:
            known.update(dict.fromkeys(models, sample + 1))
        else:
            known.update({name: pool_samples * models.count(name) for name in models})
        if sample >= known.get(model, 0):
            raise RequestError(f"sample {sample} of {model} is not declared in `needs`")
        return engine.plain(model, sample, [item for item in items if item.uid in named])

    return read


def _logits(
    engine: Engine,
    models: Sequence[str],
    items: Sequence[Question],
    kinds: Sequence[str] | None,
    samples: int | None,
) -> Callable[[str, str, int, Sequence[str]], Mapping[str, Logits]]:
    """Return a reader of cached logits of some kinds, and of responses below a limit; None is no limit."""

    def read(model: str, kind: str, sample: int, _items: Sequence[str]) -> Mapping[str, Logits]:
        beyond = kind == "response" and samples is not None and sample >= samples * models.count(model)
        if beyond or (kinds is not None and kind not in kinds):
            raise RequestError(f"{kind} logits of {model} are not declared in `needs`")
        return engine.logits(model, kind, sample, items)

    return read


def _common(
    models: Sequence[str],
    items: Sequence[Question],
    engine: Engine,
    generates: bool,
    settings: dict[str, Any],
    *,
    live: bool = False,
) -> dict[str, Any]:
    generate: Generate | None = settings.pop("generate", None) or engine.generate(models)
    if live:
        settings["live"] = generate
    return {
        "pool": pool_members(models, _about(settings.pop("descriptions", None))),
        "questions": items,
        "generate": generate if generates else None,
        "decoding": Decoding(max_new_tokens=16),
        **settings,
    }


def answer_context(
    *,
    models: Sequence[str],
    questions: Sequence[Question],
    replies: Replies | Engine = varied,
    needs: Needs | None = None,
    fitted: Mapping[str, Recipe] | None = None,
    **settings: Any,
) -> AnswerContext:
    """Return the context of an `answer`.

    Args:
        models: The pool, in order.
        questions: Items to answer.
        replies: A function of (model, prompt, sample), a mapping from models to texts, or an engine to look into.
        needs: Give only what this declares; None: everything.
        fitted: Recipes of the models that the fit made.
        settings: Of the context: `method`, `seed`, `scorer`, `decoding`, `generate`.
    """
    engine = _engine(replies)
    for name, recipe in (fitted or {}).items():
        engine.know(name, recipe)
    if needs is None:
        plain = _plain(engine, models, questions, None, dict.fromkeys(fitted or {}, 1))
        logits = _logits(engine, models, questions, None, None)
        return AnswerContext(
            plain=plain, logits=logits, **_common(models, questions, engine, True, settings, live=True)
        )
    declared = needs.answer
    made = dict.fromkeys(needs.models, declared.fitted_plain)
    reader = _plain(engine, models, questions, declared.plain, made)
    ctx = AnswerContext(
        plain=reader if declared.plain or declared.fitted_plain else None,
        logits=_logits(engine, models, questions, declared.logits, declared.plain),
        **_common(models, questions, engine, declared.generates, settings, live=declared.live),
    )
    if not declared.extracts:
        _refuse(ctx, "extract")
    return ctx


def fit_context(
    *,
    models: Sequence[str],
    questions: Sequence[Question],
    replies: Replies | Engine = varied,
    needs: Needs | None = None,
    references: Mapping[str, Reference] | None = None,
    dev_scores: DevScores | None = None,
    workdir: Path | None = None,
    helpers: Sequence[str] = (),
    **settings: Any,
) -> FitContext:
    """Return the context of a `fit`.

    Args:
        models: The pool, in order.
        questions: Items to fit on.
        replies: As for `answer_context`.
        needs: As for `answer_context`.
        references: By item; those of the constructed items when left out.
        dev_scores: One score for all items, or scores by item, for every model; scored plain replies when left out.
        workdir: Work folder.
        helpers: Roles of models beside the pool's; with `needs`, those that it declares.
        settings: Of the context: `method`, `seed`, `scorer`, `decoding`, `generate`.
    """
    engine = _engine(replies)
    declared = needs.fit if needs is not None else None
    everything = needs is None
    gold = references if references is not None else _gold(questions)
    by_split = {
        split: {item.uid: gold[item.uid] for item in questions if item.split == split}
        for split in {item.split for item in questions}
        if everything or (declared is not None and declared.references and split in declared.splits)
    }
    scores = _dev_scores(engine, models, questions, gold, dev_scores, settings.get("scorer", "strict"))
    samples = None if everything else declared.plain if declared else 0
    roles = helpers if needs is None else tuple(needs.helpers)
    generates = everything or bool(declared and declared.generates)
    merges = everything or bool(declared and declared.merges)
    return FitContext(
        plain=_plain(engine, models, questions, samples, {}) if everything or samples else None,
        logits=_logits(engine, models, questions, None if everything else declared.logits if declared else (), samples),
        references=by_split,
        dev_scores=scores if everything or (declared and declared.dev_scores) else None,
        fingerprints={name: fingerprint(name) for name in (*models, *roles)},
        merge=engine.merge if merges else None,
        discard=engine.discard if merges else None,
        workdir=workdir,
        tools=tools(),
        **_common(models, questions, engine, generates, settings),
    )


def _gold(items: Sequence[Question]) -> dict[str, Reference]:
    return references(items)


def _dev_scores(
    engine: Engine,
    models: Sequence[str],
    items: Sequence[Question],
    gold: Mapping[str, Reference],
    given: DevScores | None,
    rules: str,
) -> Callable[[str, int], Mapping[str, float]]:
    def read(model: str, sample: int) -> Mapping[str, float]:
        engine.access()
        engine.reads.append(("dev_scores", model, sample))
        if sample >= models.count(model):
            raise RequestError(f"dev scores of sample {sample} of {model} do not exist")
        if given is not None:
            value = given[model]
            return dict(value) if isinstance(value, Mapping) else {item.uid: float(value) for item in items}
        found = {}
        for item in items:
            text = engine.text(model, item.prompt, sample, item.uid)
            further = (text,) if item.type in SETS else ()
            [verdict] = score_cases(
                scorer_for(item.type, rules), [Case(item, gold[item.uid], text, further=further)], tools()
            )
            score = verdict.score
            if score is not None:
                found[item.uid] = score
        return found

    return read


def _about(descriptions: Sequence[str] | None) -> Callable[[int, str], Mapping[str, Any]]:
    return lambda place, model: {"description": descriptions[place] if descriptions else f"knows what {model} knows"}


def _refuse(ctx: AnswerContext, name: str) -> None:
    def refuse(*_arguments: Any) -> Any:
        raise RequestError(f"the method uses {name} that its `needs` does not declare")

    setattr(ctx, name, refuse)


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
    dev_scores: DevScores | None = None
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
        settings["helpers"] = tuple(method.needs(self.pool).helpers)
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
