"""LoraHub: adapters of one base combined with weights that a search without gradients finds on a few dev items."""

from collections.abc import Iterator, Sequence
from math import fsum
from typing import Any, Literal

from moco.config.fields import identity
from moco.methods.base import (
    COMMON_BASE,
    Answer,
    AnswerNeeds,
    FitNeeds,
    Helper,
    Method,
    MethodParams,
    Needs,
    PoolInfo,
    State,
    method,
)
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.candidates import mean_score, selection_decoding
from moco.methods.shared.gradient_free import search
from moco.methods.shared.selection import dev_means, ranking
from moco.models.recipes import Recipe
from moco.tasks.item import Question

_DIGITS = 4
"""Of a weight, so that points of the search that differ by less are one model."""

Weights = tuple[float, ...]


@method("weight_lorahub", level="weight", papers=("2307.13269",))
class LoraHub(Method):
    """Combines the pool's adapters with scalar weights, negative ones too, that score best on a few dev items.

    The search minimises (1 - mean dev score) + c·mean|w| over a box of weights, going on from the best of the adapters
    alone and their equal mixture. The combination is an adapter itself; its plain responses are the answers.

    Papers:
        2307.13269 LoraHub: Efficient Cross-Task Generalization via Dynamic LoRA Composition

    Cost:
        `0` calls per item. One plain response of the combined adapter. The fit reads dev scores, and at most
        `max_inference_step` candidates answer `dev_samples` dev items; three answer the rest of dev.

    Records:
        Nothing per item. Of the fit the `models` and their `weights`, the `loss` reached, all `points` of the search,
        the `optimizer` with its version, the items that it scored on (`few_shot`), and the scores on the `rest_of_dev`.

    Deviations:
        * Prompts, templates and decoding are those of all methods: the original's own make it comparable with no other
          row.
        * Each adapter's own scale counts: the original gives the last one's to all, so not even one adapter alone is
          itself.
        * Few-shot items are drawn from all domains of dev, and there are more of them: five items from the head of a
          file say little.
        * Scores outside [0, 1] are scaled by their range on dev: else the price of weights means nothing.
        * The search goes on from every adapter alone and their equal mixture: otherwise it begins with the base, which
          costs nothing.
        * A point is never asked twice, a failed scoring ends the search instead of counting as zero, and an interrupted
          one goes on.
    """

    class Params(MethodParams):
        """Settings of LoraHub."""

        dev_samples: int = identity("Dev items that the search scores on.", 100, ge=1)
        max_inference_step: int = identity("Points that the search evaluates.", 20, ge=1)
        lora_weight_bound: float = identity("Largest absolute weight.", 1.5, gt=0)
        regular_coef: float = identity("Price of weights: this times their mean absolute value.", 0.05, ge=0)
        optimizer: str = identity("Optimiser, as the nevergrad package names it.", "OnePlusOne")
        warm_start: bool = identity("Begin with each adapter alone and all of them alike.", True)
        space: Literal["factors", "delta"] = identity(
            "Combine the two factors of every weight, as the paper does, or what adapters add to it.", "factors"
        )
        greedy_selection: bool = identity("Compare candidates by greedy decoding instead of the task's own.", True)

    def needs(self, pool: PoolInfo) -> Needs:
        """Adapters on one base, dev references to score candidates, and one model made."""
        return Needs(
            fit=FitNeeds(dev_scores=True, references=True, generates=True, merges=True),
            answer=AnswerNeeds(fitted_plain=1),
            min_models=2,
            capabilities=frozenset({"weights"}),
            same=frozenset({"architecture", "tokenizer"}),
            models=("combined",),
            helpers={"base": Helper(COMMON_BASE, frozenset({"weights"}))},
        )

    def fit(self, ctx: FitContext) -> State:
        """Search the weights on few dev items, and compare what was found on the others."""
        few, rest = few_shot(ctx, self.params.dev_samples)
        lowest, highest = _score_range(ctx)

        known: dict[Weights, float] = {}

        def losses(points: Sequence[Weights]) -> list[float]:
            new = [weights for weights in dict.fromkeys(points) if weights not in known]
            for weights, scores in zip(new, self._scores(ctx, new, few) if new else (), strict=True):
                reached = (mean_score(scores) - lowest) / (highest - lowest)
                known[weights] = objective(reached, weights, self.params.regular_coef)
            return [known[weights] for weights in points]

        size = len(ctx.pool)
        starts = [*units(size), (round(1 / size, _DIGITS),) * size] if self.params.warm_start else []
        points, package = search(
            losses,
            size,
            starts,
            budget=self.params.max_inference_step,
            bound=self.params.lora_weight_bound,
            digits=_DIGITS,
            optimizer=self.params.optimizer,
            seed=int(ctx.rng("search", "weights").integers(2**32)),
        )
        best, reached = min(points, key=lambda point: point[1])
        data: dict[str, Any] = {
            "models": [member.model for member, weight in zip(ctx.pool, best, strict=True) if weight],
            "weights": list(best),
            "loss": reached,
            "points": [{"weights": list(weights), "loss": value} for weights, value in points],
            "optimizer": {"name": self.params.optimizer, "nevergrad": package},
            "few_shot": [question.uid for question in few],
        }
        if rest:
            single = units(size)[ranking(dev_means(ctx))[0]]
            compared = {"base": (0.0,) * size, "best_single": single, "combined": best}
            scored = self._scores(ctx, list(compared.values()), rest, "comparison")
            data["rest_of_dev"] = {name: mean_score(each) for name, each in zip(compared, scored, strict=True)}
        return State(data, models={"combined": self._recipe(ctx, best)})

    def _scores(
        self, ctx: FitContext, points: Sequence[Weights], items: Sequence[Question], purpose: str = "candidate"
    ) -> list[dict[str, float]]:
        candidates = [self._candidate(ctx, weights) for weights in points]
        decoding = selection_decoding(ctx, greedy=self.params.greedy_selection)
        return ctx.candidates(candidates, questions=items, decoding=decoding, purpose=purpose)

    def _candidate(self, ctx: FitContext, weights: Weights) -> Recipe | int:
        """Return the recipe to score, or the member that it would be."""
        alone = [place for place, weight in enumerate(weights) if weight]
        return alone[0] if len(alone) == 1 and weights[alone[0]] == 1 else self._recipe(ctx, weights)

    def _recipe(self, ctx: FitContext, weights: Weights) -> Recipe:
        chosen = [place for place, weight in enumerate(weights) if weight] or [0]
        inputs = tuple(ctx.fingerprint(place) for place in chosen)
        options = {"base": ctx.fingerprint("base"), "space": self.params.space}
        return Recipe("lora", inputs, tuple(weights[place] for place in chosen), options)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Answer with the combined adapter's plain responses."""
        responses = ctx.plain("combined")
        models = tuple(state.data["models"]) or ("combined",)  # with no weight at all it is the base
        for question in ctx.questions:
            yield Answer(question.uid, responses[question.uid].text, models=models)


def units(size: int) -> list[Weights]:
    """Return the weights that are one adapter alone, for each."""
    return [tuple(float(place == other) for other in range(size)) for place in range(size)]


def objective(score: float, weights: Weights, price: float) -> float:
    """Return (1 - s) + c·mean|w| for a score s in [0, 1] and a price c of weights."""
    return (1 - score) + price * fsum(map(abs, weights)) / len(weights)


def few_shot(ctx: FitContext, count: int) -> tuple[list[Question], list[Question]]:
    """Return dev items drawn from all domains in turn, and the others, each in order."""
    by_domain: dict[str, list[int]] = {}
    for place in ctx.rng("few-shot items", "dev").permutation(len(ctx.questions)).tolist():
        by_domain.setdefault(ctx.questions[place].domain, []).append(place)
    in_turn = sorted((rank, domain, place) for domain, places in by_domain.items() for rank, place in enumerate(places))
    chosen = {place for _, _, place in in_turn[:count]}
    few = [question for place, question in enumerate(ctx.questions) if place in chosen]
    return few, [question for place, question in enumerate(ctx.questions) if place not in chosen]


def _score_range(ctx: FitContext) -> tuple[float, float]:
    """Return (0, 1), or the range of the members' dev scores where some lie outside of it."""
    scores = [score for member in ctx.pool for score in ctx.dev_scores(member.index).values()]
    lowest, highest = min(scores, default=0.0), max(scores, default=1.0)
    outside = (lowest < 0 or highest > 1) and highest > lowest
    return (lowest, highest) if outside else (0.0, 1.0)
