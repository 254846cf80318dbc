"""Heterogeneous swarms: a swarm searches who shall read whose answer before answering."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, TypeAlias

from moco.config.fields import identity
from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Method, Needs, PoolInfo, Request, State, method
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.swarm import Swarm
from moco.methods.shared.swarm_params import SwarmParams
from moco.methods.shared.trees import Tree, decoded, possible
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question

Texts: TypeAlias = dict[str, dict[str, str]]
"""What nodes wrote, by part of a tree and item."""


@method("text_heterogeneous_swarms", level="text", papers=("2502.04510", "2410.11163"))
class HeterogeneousSwarms(Method):
    """Members answer one after the other, each reading those that a tree sends to it; a swarm searches the tree on dev.

    A particle is a matrix of how inclined each member is to send to each other one, and stands for a tree. Members that
    read nobody give their plain responses. The member at the end of the tree that is best on dev answers.

    As in the original, only who reads whom is searched, not the members' weights.

    Papers:
        2502.04510 Heterogeneous Swarms: Jointly Optimizing Model Roles and Weights for Multi-LLM Systems
        2410.11163 Model Swarms: Collaborative Search to Adapt LLM Experts via Swarm Intelligence

    Cost:
        At most `members - 1` calls per item: members that read others. One plain response of every member that reads
        nobody. The fit asks for the replies of every tree that it scores, each part of a tree once.

    Records:
        Per item the `tree`, for every member the position of the one that reads it, and all members' `texts`. Of the fit
        the `tree` with its `dev` score, the `finalists` with what they scored in the search (`searched`), the best score
        after each update (`history`), whether it `stopped` early, all `evaluations` with `iteration`, `particle` and
        `matrix`, and the `budget`: dev `items`, `evaluations`, different `trees`, `possible_trees` and `replies`.

    Deviations:
        * A matrix is made a tree once, and the tree that was scored is the one that answers: the original draws again.
        * Equal trees are scored once, and equal parts of trees written once.
        * The end is drawn by how little a member sends, not by the reciprocal of that, which explodes around zero.
        * Members that read nobody give their plain responses, and answers that are read stand, numbered from 1, in
          delimited blocks between the question and its format: the original names nodes and puts the task last.
        * Dev items are drawn, not the first ones, and the best trees are compared again on all of dev.
        * The swarm stops after `patience` updates without a gain; `original_rules` restores the original's moves.
    """

    class Params(SwarmParams):
        """Settings of heterogeneous swarms."""

        ratio: float = identity("Share of the dev items that the search scores on, drawn at random.", 0.25, gt=0, le=1)
        nucleus: float = identity(
            "Probability of the choices that a tree is drawn from; 0: always the likeliest.", 0.7, ge=0, le=1
        )
        finalists: int = identity("Best trees that are compared on all dev items; 1: none.", 3, ge=1)

    def needs(self, pool: PoolInfo) -> Needs:
        """Plain responses and references on dev; on test the plain responses of members that read nobody."""
        return Needs(
            fit=FitNeeds(plain=1, references=True, generates=True),
            answer=AnswerNeeds(plain=1, plain_mode="lazy", generates=True),
            min_models=2,
        )

    def fit(self, ctx: FitContext) -> State:
        """Search on some dev items, then choose among the best trees on all."""
        params, size = self.params, len(ctx.pool)
        order = ctx.rng("searched items", "dev").permutation(len(ctx.questions)).tolist()
        drawn = sorted(order[: max(1, round(params.ratio * len(order)))])
        trial = _Trial(ctx)
        swarm = Swarm(params.swarm(), ctx.rng)
        state = swarm.start(
            swarm.random_positions(params.population, size * size), at_rest=params.starting_velocity == "zero"
        )
        evaluations: list[dict[str, Any]] = []
        found: dict[Tree, float] = {}
        for iteration in range(1, params.max_iterations + 1):
            if state.finished:
                break
            trees = [
                decoded(position, size, params.nucleus, ctx.rng("tree", f"{iteration}.{place}"))
                for place, position in enumerate(state.positions)
            ]
            scores = trial.scores(trees, [ctx.questions[place] for place in drawn])
            for place, (tree, score) in enumerate(zip(trees, scores, strict=True)):
                about = {"iteration": iteration, "particle": place, "tree": list(tree.targets), "dev": score}
                evaluations.append({**about, "matrix": [round(value, 6) for value in state.positions[place]]})
                found.setdefault(tree, score)
            state = swarm.update(state, scores)
        finalists = sorted(found, key=lambda tree: -found[tree])[: params.finalists]
        last = {tree: found[tree] for tree in finalists}
        if len(finalists) > 1:
            last = dict(zip(finalists, trial.scores(finalists, ctx.questions), strict=True))
        best = max(finalists, key=lambda tree: last[tree])
        return State(
            {
                "tree": list(best.targets),
                "dev": last[best],
                "finalists": [
                    {"tree": list(tree.targets), "searched": found[tree], "dev": last[tree]} for tree in finalists
                ],
                "history": list(state.bests),
                "stopped": state.finished,
                "evaluations": evaluations,
                "budget": {
                    "items": len(drawn),
                    "evaluations": len(evaluations),
                    "trees": len(found),
                    "possible_trees": possible(size),
                    "replies": trial.asked,
                },
            }
        )

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Let the members of the tree answer, one level after the other."""
        tree, texts = Tree(tuple(state.data["tree"])), Texts()
        grow(ctx, [tree], ctx.questions, texts)
        parts = list(tree.parts())
        for item in ctx.questions:
            yield Answer(
                item.uid,
                texts[parts[-1][1]][item.uid],
                models=(ctx.pool[tree.end].model,),
                record={
                    "tree": list(tree.targets),
                    "texts": {str(node): texts[part][item.uid] for node, part, _ in sorted(parts)},
                },
            )


class _Trial:
    """Scores trees on dev; what an interrupted fit has scored and written is remembered.

    Args:
        ctx: Of the fit.

    Attributes:
        asked: Replies asked for so far.
    """

    def __init__(self, ctx: FitContext) -> None:
        self._ctx = ctx
        self._texts = Texts()
        self._known: dict[tuple[Tree, int], float] = {}
        self._rounds = 0
        self.asked = 0

    def scores(self, trees: Sequence[Tree], items: Sequence[Question]) -> list[float]:
        """Return the mean scores of trees on items; those that were scored on as many are not scored again."""
        fresh = [tree for tree in dict.fromkeys(trees) if (tree, len(items)) not in self._known]
        if fresh:
            self._rounds += 1
            made = self._ctx.remembered(f"trees-{self._rounds}", lambda: self._scored(fresh, items))
            self.asked += made["asked"]
            _add(self._texts, made["texts"])
            self._known.update(((tree, len(items)), score) for tree, score in zip(fresh, made["scores"], strict=True))
        return [self._known[tree, len(items)] for tree in trees]

    def _scored(self, trees: Sequence[Tree], items: Sequence[Question]) -> dict[str, Any]:
        texts: Texts = {part: dict(of_part) for part, of_part in self._texts.items()}
        asked = grow(self._ctx, trees, items, texts)
        last = [list(tree.parts())[-1][1] for tree in trees]
        found = self._ctx.score([(item.uid, texts[part][item.uid]) for part in last for item in items])
        scores = []
        for place in range(len(trees)):
            of_tree = found[place * len(items) : (place + 1) * len(items)]
            scores.append(fmean([score for score in of_tree if score is not None] or [0.0]))
        new = {
            part: {uid: text for uid, text in of_part.items() if uid not in self._texts.get(part, {})}
            for part, of_part in texts.items()
        }
        return {"scores": scores, "texts": {part: of_part for part, of_part in new.items() if of_part}, "asked": asked}


def _add(texts: Texts, more: Mapping[str, Mapping[str, str]]) -> None:
    for part, of_part in more.items():
        texts.setdefault(part, {}).update(of_part)


def grow(ctx: AnswerContext | FitContext, trees: Sequence[Tree], items: Sequence[Question], texts: Texts) -> int:
    """Add what the nodes of trees write about items, and return how many replies were asked for.

    Args:
        ctx: Of the method.
        trees: Nodes of equal height are asked in one round, for all trees together.
        items: Questions.
        texts: What is known already, and then all.
    """
    wanted = {part: (height, node, tree) for tree in trees for node, part, height in tree.parts()}
    for part, (height, node, _) in wanted.items():
        missing = [item.uid for item in items if item.uid not in texts.get(part, {})]
        if height == 0 and missing:
            plain = ctx.plain(node, items=missing)
            _add(texts, {part: {uid: plain[uid].text for uid in missing}})
    asked = 0
    for level in range(1, 1 + max(height for height, _, _ in wanted.values())):
        requests, parts = [], []
        for part, (height, node, tree) in wanted.items():
            if height != level:
                continue
            for item in items:
                if item.uid not in texts.get(part, {}):
                    read = [texts[tree.part(other)][item.uid] for other in tree.read_by(node)]
                    prompt = node_prompt(item, read, last=node == tree.end)
                    requests.append(Request(node, item.uid, prompt, "answer" if node == tree.end else "contribute"))
                    parts.append(part)
        for request, part, reply in zip(requests, parts, ctx.generate(requests) if requests else [], strict=True):
            _add(texts, {part: {request.uid: reply.text}})
        asked += len(requests)
    return asked


def node_prompt(item: Question, read: Sequence[str], *, last: bool) -> Prompt:
    """Return what a member is asked that reads others' answers; the last one is asked for the final answer."""
    return blocks.compose(
        blocks.instruction("Other models answered the question below before you."),
        blocks.question(item),
        *(blocks.candidate(number, text) for number, text in enumerate(read, 1)),
        blocks.instruction("Use what helps and ignore what is wrong."),
        blocks.instruction("Write the final answer." if last else "Write your own answer."),
        blocks.answer_format(item.type),
    )
