"""Greedy soup: average models one after another, keeping those that do not hurt on dev."""

from collections.abc import Iterator
from typing import Any

from moco.config.fields import identity
from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Method, MethodParams, Needs, PoolInfo, State, method
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.candidates import mean_score, selection_decoding
from moco.methods.shared.selection import dev_means, ranking
from moco.models.recipes import Recipe

_ROUNDING = 1e-9  # of the difference of two means


@method("weight_greedy_soup", level="weight", papers=("2203.05482",))
class GreedySoup(Method):
    """Averages the weights of members, best first, and keeps each one that does not lower the dev score.

    Members are tried in order of their plain dev scores, each once. The recipe lists the kept members in that order,
    so configuration and tokenizer are those of the best. Where only the best is kept, the soup is that model, and its
    plain responses are reused.

    The average of all members is scored too, for comparison, where it was no candidate.

    Papers:
        2203.05482 Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
            inference time

    Cost:
        `0` calls per item. One plain response of the soup. The fit reads dev scores, and as many candidates as there
        are members answer dev, and the average of all where it was none of them.

    Records:
        Nothing per item. Of the fit the `kept` members in order, their `models`, all members' `dev_means`, all `steps`
        with what was `tried`, its score on `dev` and whether it was kept, and the score of the average of all
        (`uniform_dev`).

    Deviations:
        * Averages are computed in float64 and rounded once: in low precision the average of three equal models is
          another model.
        * Candidates are compared by greedy decoding, unless the task's own is asked for: in samples the luckiest draw
          becomes the bar.
        * A member may be asked to raise the score by `min_gain`: with few dev items, equal scores let useless members
          in.
        * The average of all members is scored too, for comparison.
    """

    class Params(MethodParams):
        """Settings of greedy soup."""

        min_gain: float = identity("A member is kept when the dev score rises at least by this.", 0.0, ge=0)
        greedy_selection: bool = identity("Compare candidates by greedy decoding instead of the task's own.", True)
        compare_uniform: bool = identity("Record the dev score of the average of all members too.", True)

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores to rank, dev references to score candidates, and one model made."""
        return Needs(
            fit=FitNeeds(dev_scores=True, references=True, generates=True, merges=True),
            answer=AnswerNeeds(fitted_plain=1),
            min_models=2,
            capabilities=frozenset({"weights"}),
            same=frozenset({"architecture", "tokenizer"}),
            models=("soup",),
        )

    def fit(self, ctx: FitContext) -> State:
        """Add members while the dev score does not fall."""
        means = dev_means(ctx)
        order = ranking(means)
        kept = order[:1]
        best, second = self._dev_scores(ctx, kept, order[:2])  # both are tried whatever they score
        steps: list[dict[str, Any]] = [{"tried": kept, "dev": best, "kept": True}]
        for index in order[1:]:
            tried = [*kept, index]
            score = second if tried == order[:2] else self._dev_scores(ctx, tried)[0]
            keep = score - best >= self.params.min_gain - _ROUNDING
            steps.append({"tried": tried, "dev": score, "kept": keep})
            if keep:
                kept, best = tried, score
        data = {"kept": kept, "dev_means": means, "steps": steps, "models": [ctx.pool[index].model for index in kept]}
        if self.params.compare_uniform:
            known = [step["dev"] for step in steps if step["tried"] == order]
            data["uniform_dev"] = known[0] if known else self._dev_scores(ctx, order, purpose="reference")[0]
        return State(data, models={"soup": _uniform(ctx, kept)})

    def _dev_scores(self, ctx: FitContext, *tried: list[int], purpose: str = "candidate") -> list[float]:
        candidates = [members[0] if len(members) == 1 else _uniform(ctx, members) for members in tried]
        decoding = selection_decoding(ctx, greedy=self.params.greedy_selection)
        return [mean_score(scores) for scores in ctx.candidates(candidates, decoding=decoding, purpose=purpose)]

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Answer with the soup's plain responses."""
        responses = ctx.plain("soup")
        for question in ctx.questions:
            yield Answer(question.uid, responses[question.uid].text, models=tuple(state.data["models"]))


def _uniform(ctx: FitContext, members: list[int]) -> Recipe:
    weight = 1 / len(members)
    return Recipe("linear", tuple(ctx.fingerprint(index) for index in members), (weight,) * len(members))
