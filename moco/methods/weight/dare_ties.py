"""DARE-TIES: what sets the members apart from their base, thinned, under elected signs, and added up."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from moco.config.fields import identity
from moco.methods.base import (
    COMMON_BASE,
    Answer,
    AnswerNeeds,
    FitNeeds,
    Helper,
    Method,
    Needs,
    PoolInfo,
    State,
    method,
)
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.candidates import dev_halves, mean_score, selection_decoding
from moco.methods.shared.mixture import UNITS, Mixture, MixtureSearch, Units, as_weights
from moco.methods.shared.swarm import Swarm
from moco.methods.shared.swarm_params import SwarmParams
from moco.models.recipes import Recipe
from moco.tasks.item import Question


@method("weight_dare_ties", level="weight", papers=("2311.03099", "2306.01708", "2410.11163"))
class DareTies(Method):
    """Adds the members' thinned differences to their base, keeping per weight the sign that prevails.

    Mode `average` weights all members alike and needs no dev data. Mode `optimized` lets a swarm search weights that
    score best on dev. Where one member has all the weight and nothing is dropped or scaled, the result is that member,
    and its plain responses are reused. Configuration and tokenizer are those of the first member with a weight.

    Papers:
        2311.03099 Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch
        2306.01708 TIES-Merging: Resolving Interference When Merging Models
        2410.11163 Model Swarms: Collaborative Search to Adapt LLM Experts via Swarm Intelligence

    Cost:
        `0` calls per item. One plain response of the merged model. In mode `optimized` at most `population` times
        `max_iterations` merged models, and the baselines, answer dev.

    Records:
        Nothing per item. Of the fit the `models` and their `weights`; of a search what was `searched`, all `candidates`
        with their scores, the `history` of the best, whether it `stopped` early, the score on `dev`, and the
        `finalists` with both scores where a half is held out.

    Deviations:
        * Numbers are computed in float64 and rounded once to the members' own type: half precision loses parts of small
          differences.
        * What is dropped depends on seed, model and tensor alone, so a merge is the same whenever it is made: where the
          original drops, it draws anew for the signs, for the sum and for every merge.
        * `density` is 1 by default, at which nothing is dropped, as in the original; DARE proper is `density: 0.5`.
        * The search also tries equal weights and every member alone: a softmax reaches neither, and the result could be
          worse than both without anybody noticing.
        * No weights are tried twice, particles that are stuck start anew instead of staying, and `patience` counts
          updates without a gain. `original_rules` restores the original's moves.
    """

    class Params(SwarmParams):
        """Settings of DARE-TIES."""

        base: str | None = identity(
            "Model of the study that the members were tuned from; the base of the pool's adapters when left out.", None
        )
        mode: Literal["average", "optimized"] = identity("Equal weights, or weights searched on dev.", "average")
        density: float = identity("Share of every difference that is kept, drawn at random.", 1.0, gt=0, le=1)
        rescale: Literal["none", "1/density", "l1"] = identity(
            "What is kept is not rescaled, divided by the density, or brought to its L1 norm before the drop.",
            "1/density",
        )
        normalize: bool = identity("Divide by the sum of the weights that have the elected sign.", False)
        scale: float = identity("Factor of the merged difference, called lambda in TIES.", 1.0)
        mask_seed: int = identity("Seed of the drop; the same for all run seeds, which so share their merges.", 0, ge=0)
        baselines: bool = identity("Let the search begin with equal weights and with every member alone.", True)
        greedy_selection: bool = identity("Compare candidates by greedy decoding instead of the task's own.", True)
        hold_out: bool = identity("Search on one half of dev and choose among the best on the other.", False)
        finalists: int = identity("Candidates that the held-out half chooses among.", 3, ge=1)

    def needs(self, pool: PoolInfo) -> Needs:
        """The base beside the pool, and one model made; dev references where weights are searched."""
        searches = self.params.mode == "optimized"
        return Needs(
            fit=FitNeeds(references=True, generates=True, merges=True) if searches else FitNeeds(splits=()),
            answer=AnswerNeeds(fitted_plain=1),
            min_models=2,
            capabilities=frozenset({"weights"}),
            same=frozenset({"architecture", "tokenizer"}),
            models=("merged",),
            helpers={"base": Helper(self.params.base or COMMON_BASE, frozenset({"weights"}))},
        )

    def fit(self, ctx: FitContext) -> State:
        """Write the recipe: equal weights, or those that the search found."""
        mixture = Mixture.of(ctx)
        units, record = mixture.uniform, dict[str, Any]()
        if self.params.mode == "optimized":
            units, record = self._searched(ctx, mixture)
        recipe = self._recipe(ctx, mixture, units)
        chosen = [place for place, unit in zip(mixture.members, units, strict=True) if unit]
        data = {"models": [ctx.pool[place].model for place in chosen], "weights": list(recipe.weights), **record}
        return State(data, models={"merged": recipe})

    def _searched(self, ctx: FitContext, mixture: Mixture) -> tuple[Units, dict[str, Any]]:
        """Return the best weights and what is remembered of the search."""
        params = self.params
        questions, held_out = dev_halves(ctx) if params.hold_out else (list(ctx.questions), [])

        decoding = selection_decoding(ctx, greedy=params.greedy_selection)

        def score(weights: Sequence[Units], items: Sequence[Question] = questions) -> list[float]:
            candidates = [self._candidate(ctx, mixture, units) for units in weights]
            return [mean_score(found) for found in ctx.candidates(candidates, questions=items, decoding=decoding)]

        search = MixtureSearch(Swarm(params.swarm(), ctx.rng), score)
        state = search.run(
            mixture,
            population=params.population,
            iterations=params.max_iterations,
            at_rest=params.starting_velocity == "zero",
            baselines=params.baselines,
        )
        record: dict[str, Any] = {
            "searched": [ctx.pool[place].model for place in mixture.members],
            "candidates": search.record(),
            "history": list(state.bests),
            "stopped": state.finished,
        }
        best, dev = search.best(1)[0]
        if held_out:
            finalists = search.best(params.finalists)
            scores = score([units for units, _ in finalists], held_out)
            record["finalists"] = [
                {"weights": as_weights(units), "dev": one, "held_out": other}
                for (units, one), other in zip(finalists, scores, strict=True)
            ]
            best, dev = finalists[scores.index(max(scores))]
        return best, {**record, "dev": dev}

    def _recipe(self, ctx: FitContext, mixture: Mixture, units: Units) -> Recipe:
        """Return the recipe of a mixture; members without weight and settings without effect are left out."""
        params = self.params
        options = {
            "base": ctx.fingerprint("base"),
            "density": params.density,
            "normalize": params.normalize,
            "lambda": params.scale,
        }
        if params.density < 1:
            options |= {"rescale": params.rescale, "seed": params.mask_seed}
        chosen = [(place, unit) for place, unit in zip(mixture.members, units, strict=True) if unit]
        inputs = tuple(ctx.fingerprint(place) for place, _ in chosen)
        return Recipe("dare_ties", inputs, tuple(as_weights([unit for _, unit in chosen])), options)

    def _candidate(self, ctx: FitContext, mixture: Mixture, units: Units) -> Recipe | int:
        """Return the recipe to score; the member itself where the recipe changes nothing about it."""
        if self.params.density == self.params.scale == 1 and UNITS in units:
            return mixture.members[units.index(UNITS)]
        return self._recipe(ctx, mixture, units)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Answer with the merged model's plain responses."""
        responses = ctx.plain("merged")
        for question in ctx.questions:
            yield Answer(question.uid, responses[question.uid].text, models=tuple(state.data["models"]))
