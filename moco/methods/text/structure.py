"""Structure: members sit on the nodes of a graph and rewrite their answers with those of their neighbours in view."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import model_validator

from moco.config.fields import identity
from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Method, MethodParams, Needs, PoolInfo, State, method
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.rounds import answers, first_round, next_round
from moco.methods.shared.selection import best_on_dev
from moco.methods.shared.voting import ballot
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question

Matrix = Sequence[Sequence[int]]
"""Entry [i][j] is 1 where node j sees node i."""


def adjacency(structure: str, size: int) -> list[list[int]]:
    """Return the matrix of a named graph, which is symmetric and has no edge from a node to itself."""
    nodes = range(size)
    spokes = [(0, node) for node in nodes]
    edges = {
        "chain": [(node, node + 1) for node in nodes[:-1]],
        "tree": [((node - 1) // 2, node) for node in nodes[1:]],
        "circle": [(node, (node + 1) % size) for node in nodes],
        "complete": [(one, other) for one in nodes for other in nodes],
        "star": spokes,
        "wheel": [*spokes, *((node, node % (size - 1) + 1) for node in nodes[1:])],
    }[structure]
    matrix = [[0] * size for _ in nodes]
    for one, other in edges:
        matrix[one][other] = matrix[other][one] = int(one != other)
    return matrix


def in_neighbours(matrix: Matrix) -> list[list[int]]:
    """Return whom each node sees, in node order."""
    size = range(len(matrix))
    return [[other for other in size if matrix[other][node]] for node in size]


def wanted(sees: Sequence[Sequence[int]], node: int, rounds: int) -> list[set[int]]:
    """Return the nodes of every round whose answers can still reach the last one of a node."""
    found = [{node}]
    while len(found) < rounds:
        found.insert(0, found[0].union(*(sees[each] for each in found[0])))
    return found


def update_prompt(item: Question, own: str, others: Sequence[str]) -> Prompt:
    """Return the prompt in which a node updates its answer after reading its neighbours'."""
    return blocks.compose(
        blocks.instruction("A task for several assistants:"),
        blocks.question(item),
        blocks.instruction("Your last answer and those of others:"),
        blocks.block("your answer", own),
        *(blocks.candidate(number, text) for number, text in enumerate(others, 1)),
        blocks.instruction("Consider all of them with care. Write your updated answer."),
        blocks.answer_format(item.type),
    )


@method("text_structure", level="text", papers=("2410.15686",))
class Structure(Method):
    """Members on the nodes of a graph rewrite their answers in rounds; the node best on dev reports its last one.

    Round 1 is the plain response. In every further round each node sees its own last answer and those of the nodes
    that it is linked with; all nodes answer at once.

    Papers:
        2410.15686 NetSafe: Exploring the Topological Safety of Multi-agent System

    Cost:
        At most `members * (rounds - 1)` calls per item: the updates of nodes that see others and, without `all_nodes`,
        can still reach the report. One plain response of every member that can; dev scores.

    Records:
        Per item all `rounds`, each with the `answers` in pool order, null where a node was not asked, and what was
        `extracted` from them; the `node` that reports and the `matrix`; by round the share of nodes with the most
        frequent answer (`consensus`) and how many nodes changed theirs (`flips`). Of the fit the `member` on that node
        and all members' `dev_means`.

    Deviations:
        * A star is a hub with spokes. The original's has a ring around them and equals the complete graph with up to
          four members; it is called `wheel`.
        * What cannot reach the report is not asked, unless `all_nodes` wants it for the record.
        * Answers stand in delimited blocks, and the answer format is repeated at the end.
    """

    class Params(MethodParams):
        """Settings of the structure."""

        structure: Literal["chain", "tree", "circle", "complete", "star", "wheel", "other"] = identity(
            "The graph, with members as nodes in pool order; the first is the root or hub. `other`: see `matrix`.",
            "complete",
        )
        matrix: tuple[tuple[Literal[0, 1], ...], ...] | None = identity(
            "The graph where it is `other`: 1 in row i and column j lets member j see member i.", None
        )
        rounds: int = identity("Rounds in total; the first is the plain answer.", 3, ge=1)
        all_nodes: bool = identity(
            "Ask all nodes in all rounds, for the record, even where it changes no report.", False
        )

        @model_validator(mode="after")
        def _matrix_fits(self) -> Self:
            if (self.matrix is not None) != (self.structure == "other"):
                raise ValueError("give a matrix if, and only if, the structure is `other`")
            size = len(self.matrix or ())
            if any(len(row) != size or row[place] for place, row in enumerate(self.matrix or ())):
                raise ValueError("the matrix must be square, with zeros on its diagonal: a node sees itself anyway")
            return self

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores choose the node that reports; round 1 is shared."""
        size = None if self.params.matrix is None else len(self.params.matrix)
        return Needs(
            fit=FitNeeds(dev_scores=True),
            answer=AnswerNeeds(plain=1, plain_mode="lazy", generates=self.params.rounds > 1, extracts=True),
            min_models=size or 2,
            max_models=size,
        )

    def fit(self, ctx: FitContext) -> State:
        """Choose the node that reports."""
        return best_on_dev(ctx)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Update answers round by round."""
        node, size = state.data["member"], len(ctx.pool)
        matrix = self.params.matrix or adjacency(self.params.structure, size)
        sees = in_neighbours(matrix)
        nodes = (
            [set(range(size))] * self.params.rounds if self.params.all_nodes else wanted(sees, node, self.params.rounds)
        )
        history = first_round(ctx, nodes[0])
        for number, among in enumerate(nodes[1:], 2):
            prompts = {
                (item.uid, each): update_prompt(item, last[each], [last[other] for other in sees[each]])
                for item in ctx.questions
                for last in [answers(history, item)]
                for each in sorted(among)
                if sees[each]
            }
            if prompts:
                next_round(ctx, history, prompts, f"update {number}", among)
        for item in ctx.questions:
            yield Answer(
                item.uid,
                answers(history, item)[node],
                models=(ctx.pool[node].model,),
                record={
                    "rounds": history[item.uid],
                    "node": node,
                    "matrix": [list(row) for row in matrix],
                    **_agreement(ctx, item, history[item.uid]),
                },
            )


def _agreement(ctx: AnswerContext, item: Question, rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return, by round, the share of nodes with the most frequent answer, and how many changed theirs."""
    cast = [ballot(ctx, item, [text or "" for text in one["answers"]]) for one in rounds]
    known = [sum(text is not None for text in one["answers"]) for one in rounds]
    flips = [
        sum(
            before != after
            for before, after, text in zip(earlier.forms, later.forms, one["answers"], strict=True)
            if text is not None
        )
        for earlier, later, one in zip(cast, cast[1:], rounds[1:], strict=False)
    ]
    return {
        "consensus": [max(one.votes.values(), default=0) / count for one, count in zip(cast, known, strict=True)],
        "flips": [0, *flips],
    }
