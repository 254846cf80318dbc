"""Graph routing: a graph network over questions and members learns from dev which member answers a question best."""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from moco.config.fields import identity
from moco.methods.base import (
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
from moco.methods.shared.routing import chosen_responses
from moco.prompts import blocks

_WEIGHTS = {"performance_first": (1.0, 0.0), "balance": (0.5, 0.5), "cost_first": (0.2, 0.8)}
_EQUAL = 1e-9
_LEAST_DEV = 4

Array = NDArray[Any]


@method("api_graph_routing", level="api", papers=("2410.03834",))
class GraphRouting(Method):
    """Routes every question to the member that a graph network expects to answer it best.

    Questions and members are nodes, known by vectors of their texts that an encoder makes; edges carry how well, and at
    what cost, a member answered a dev question. The network learns on masked edges which member has the highest utility;
    the chosen member's plain response is the answer.

    Papers:
        2410.03834 GraphRouter: A Graph-based Router for LLM Selections

    Cost:
        At most `1` call per item, in which the encoder reads the question; none where nothing was learnt. One plain
        response, of the chosen member. The fit reads plain dev responses and their scores, and lets the encoder read
        dev questions and descriptions.

    Records:
        Per item the `member` that answers, and the `logits` of all. Of the fit the network (`weight`, `bias`,
        `models`), whether it `learned`, from how many `items`, how many of them are `told_apart`, the `costs` of the
        members; on dev items that it did not learn (`held_out`) the share of best routes (`held_out_share`), the loss
        (`held_out_loss`) and the `epoch` of the network that is kept, with the scores of the best member
        (`best_single`) and of perfect routes (`oracle`).

    Deviations:
        * A new question is joined to the graph of dev edges alone: in the original's graph of test questions every
          member is claimed to be perfect, so members differ by their descriptions only, and each question changes the
          routes of the others.
        * Messages are averaged, and gated by what an edge says: a sum grows with the number of questions.
        * Costs are parameters times the mean length of replies: the original's are all 1, which makes its scenarios
          one.
        * Members of equal utility share the label (`ties: first` restores the original's choice): most questions are
          answered equally well by several, and the first member would have them all.
        * Dev is split at random, steps are larger, training stops early, and it runs on the CPU: files may be sorted,
          and many small steps hardly move such a network.
        * Where no dev item tells the members apart, or there are fewer than 4, the route is drawn at random and counted
          as a fallback.
    """

    class Params(MethodParams):
        """Settings of graph routing."""

        encoder: str = identity("Model of the study that turns texts into vectors.", "encoder")
        scenario: Literal["performance_first", "balance", "cost_first"] = identity(
            "Utility of a reply: its score, half score and half cost, or mostly cost.", "performance_first"
        )
        ties: Literal["share", "drop", "first"] = identity(
            "Members of equal utility share a label, their item is left out, or the first one has it.", "share"
        )
        hidden_features: int = identity("Width of the nodes' states.", 16, ge=1)
        learning_rate: float = identity("Step size of AdamW.", 0.01, gt=0)
        weight_decay: float = identity("Decay of the weights.", 1e-4, ge=0)
        train_epochs: int = identity("Most steps of training.", 300, ge=1)
        patience: int = identity("Steps without a gain on held-out items that end the training.", 50, ge=1)
        mask_samples: int = identity("Random masks of edges per step.", 8, ge=1)
        train_mask_rate: float = identity("Share of the training edges that a mask shows.", 0.5, gt=0, lt=1)
        held_out: float = identity("Share of dev that chooses the step to stop at.", 0.2, gt=0, lt=1)

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores and replies to learn from, descriptions, an encoder; plain responses of the chosen members."""
        return Needs(
            fit=FitNeeds(plain=1, dev_scores=True, generates=True),
            answer=AnswerNeeds(plain=1, plain_mode="lazy", generates=True),
            min_models=2,
            descriptions=True,
            helpers={"encoder": Helper(self.params.encoder, frozenset({"embed"}))},
        )

    def fit(self, ctx: FitContext) -> State:
        """Train the network on dev."""
        from moco.methods.shared.graph_router import Schedule, train_router

        params = self.params
        uids, scores = _dev_scores(ctx)
        costs = _costs(ctx)
        edges, told_apart = utility_edges(scores, costs, params.scenario, params.ties)
        record: dict[str, Any] = {
            "items": len(uids),
            "told_apart": sum(told_apart),
            "costs": [round(c, 6) for c in costs],
        }
        usable = [row for row, told in enumerate(told_apart) if told or params.ties != "drop"]
        if not any(told_apart) or len(usable) < _LEAST_DEV:
            return State({**record, "learned": False})
        texts = {question.uid: blocks.question(question) for question in ctx.questions}
        questions = ctx.embed("encoder", [texts[uids[row]] for row in usable])
        descriptions = ctx.embed("encoder", [member.description for member in ctx.pool])
        order = ctx.rng("held-out items", "dev").permutation(len(usable)).tolist()
        held_out = sorted(order[: max(1, round(params.held_out * len(usable)))])
        schedule = Schedule(
            epochs=params.train_epochs,
            patience=params.patience,
            masks=params.mask_samples,
            visible=params.train_mask_rate,
            learning_rate=params.learning_rate,
            weight_decay=params.weight_decay,
        )
        tensors, validation = train_router(
            questions, descriptions, edges.of(usable), held_out, schedule, width=params.hidden_features, rng=ctx.rng
        )
        checked = [usable[row] for row in held_out]
        single = max(fmean(float(scores[row][place]) for row in checked) for place in range(len(ctx.pool)))
        oracle = fmean(float(max(scores[row])) for row in checked)
        record |= {"held_out": len(checked), "best_single": single, "oracle": oracle, **validation}
        return State({**record, "learned": True}, tensors)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Route every question by itself, then look the chosen members' responses up."""
        if not ctx.questions:
            return
        if state.data["learned"]:
            vectors = ctx.embed("encoder", [blocks.question(question) for question in ctx.questions])
            logits = route_logits(vectors, state.tensors)
            chosen = [int(row.argmax()) for row in logits]
        else:
            logits = np.zeros((len(ctx.questions), len(ctx.pool)))
            chosen = [int(ctx.rng("route", question.uid).integers(len(ctx.pool))) for question in ctx.questions]
        responses = chosen_responses(ctx, chosen)
        for question, member, row in zip(ctx.questions, chosen, logits, strict=True):
            yield Answer(
                question.uid,
                responses[question.uid].text,
                models=(ctx.pool[member].model,),
                record={"member": member, "logits": [round(float(value), 6) for value in row]},
                fallback=None if state.data["learned"] else f"fewer than {_LEAST_DEV} dev items tell the members apart",
            )


def route_logits(vectors: Array, tensors: Any) -> Array:
    """Return the logits of questions and members, each question by itself.

    Args:
        vectors: Of the questions' texts.
        tensors: The trained state: `weight`, `bias`, `models`.
    """
    states = np.stack([tensors["weight"] @ vector + tensors["bias"] for vector in np.asarray(vectors, np.float64)])
    logits: Array = np.stack([tensors["models"] @ state for state in states]) / tensors["models"].shape[1]
    return logits


def _dev_scores(ctx: FitContext) -> tuple[list[str], Array]:
    """Return the dev items that every member has a score for, and these scores, items by members."""
    by_member = [ctx.dev_scores(member.index) for member in ctx.pool]
    uids = [question.uid for question in ctx.questions if all(question.uid in scores for scores in by_member)]
    return uids, np.array([[scores[uid] for scores in by_member] for uid in uids]).reshape(len(uids), len(by_member))


def _costs(ctx: FitContext) -> list[float]:
    """Return every member's cost: its parameters times the mean length of its dev replies."""
    lengths = [
        fmean(response.completion_tokens for response in ctx.plain(member.index).values()) for member in ctx.pool
    ]
    return [(member.parameters or 1.0) * length for member, length in zip(ctx.pool, lengths, strict=True)]


def utility_edges(scores: Array, costs: Sequence[float], scenario: str, ties: str) -> tuple[Any, list[bool]]:
    """Return the edges of dev questions and members, and whether the members of each question differ in utility.

    Utility is w·effect − (1 − w)·cost with both scaled to [0, 1]; the scenario says w.

    Args:
        scores: Items by members.
        costs: By member.
        scenario: As in the settings.
        ties: Likewise.
    """
    from moco.methods.shared.graph_router import Edges

    effect = _scaled(scores)
    cost = np.broadcast_to(_scaled(np.asarray(costs, np.float64)), effect.shape)
    of_effect, of_cost = _WEIGHTS[scenario]
    utility = of_effect * effect - of_cost * cost
    best = utility >= utility.max(1, keepdims=True) - _EQUAL
    if ties == "first":
        best = np.arange(best.shape[1]) == best.argmax(1)[:, None]
    labels = best / best.sum(1, keepdims=True)
    return Edges(effect, np.array(cost), labels), [bool(row.max() - row.min() > _EQUAL) for row in utility]


def _scaled(values: Array) -> Array:
    spread = values.max(initial=-np.inf) - values.min(initial=np.inf)
    scaled: Array = (
        (values - values.min()) / spread if values.size and spread > 0 else np.zeros_like(values, np.float64)
    )
    return scaled
