"""Trees of models: every model sends what it wrote to one other, but for the one at the end, whose words count."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moco.methods.shared.swarm import Vector

Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]

END = -1
"""Target of the node at the end."""


@dataclass(frozen=True)
class Tree:
    """Who sends to whom.

    Attributes:
        targets: For every node the node that reads it; `END` for one of them.
    """

    targets: tuple[int, ...]

    @property
    def end(self) -> int:
        """The node whose words count."""
        return self.targets.index(END)

    def read_by(self, node: int) -> list[int]:
        """Return the nodes that a node reads, in order."""
        return [other for other, target in enumerate(self.targets) if target == node]

    @cached_property
    def order(self) -> list[int]:
        """All nodes, each after those that it reads; by number where there is a choice."""
        left, placed = list(range(len(self.targets))), list[int]()
        while left:
            node = next(each for each in left if set(self.read_by(each)) <= set(placed))
            placed.append(node)
            left.remove(node)
        return placed

    def part(self, node: int) -> str:
        """Return all that a node's words depend on: equal parts of several trees have equal texts."""
        inner = ",".join(self.part(other) for other in self.read_by(node))
        return f"{node}({inner})" if inner else str(node)

    def parts(self) -> Iterator[tuple[int, str, int]]:
        """Yield every node with its part and the longest way to it, each after those that it reads."""
        height: dict[int, int] = {}
        for node in self.order:
            height[node] = max((height[other] + 1 for other in self.read_by(node)), default=0)
            # What the end reads is put to it in other words.
            yield node, self.part(node) + ("!" if node == self.end else ""), height[node]


def decoded(position: Vector, nodes: int, nucleus: float, rng: np.random.Generator) -> Tree:
    """Return a tree that a position stands for.

    The position is a matrix, row by row: how inclined a node is to send to another. A node that is little inclined to
    send becomes the end; then, one after the other, a node that is much inclined is placed before one that was placed.

    Args:
        position: Nodes x nodes numbers; those of a node with itself do not count.
        nodes: How many there are.
        nucleus: Every choice is drawn among the likeliest that have this much probability together; 0: the likeliest.
        rng: Of the draws.
    """
    inclination = np.array(position, dtype=float).reshape(nodes, nodes)
    np.fill_diagonal(inclination, 0.0)
    sent = inclination.sum(axis=1)
    end = _chosen(-sent, nucleus, rng)
    targets, placed, left = [END] * nodes, [end], [node for node in range(nodes) if node != end]
    while left:
        node = left[_chosen(sent[left], nucleus, rng)]
        targets[node] = placed[_chosen(inclination[node, placed], nucleus, rng)]
        placed = sorted([*placed, node])
        left.remove(node)
    return Tree(tuple(targets))


def _chosen(values: Numbers, nucleus: float, rng: np.random.Generator) -> int:
    """Return a place that is drawn by the softmax of values; among equal ones the later is the likelier."""
    shares = _softmax(values)
    order = sorted(range(len(shares)), key=lambda place: (-shares[place], -place))
    reached = np.cumsum(shares[order])
    kept = order[: int(np.searchsorted(reached, nucleus, side="right")) + 1]
    return kept[int(rng.choice(len(kept), p=_softmax(shares[kept])))]


def _softmax(values: Numbers) -> Numbers:
    powers: Numbers = np.exp(values - values.max())
    powers /= powers.sum()
    return powers


def possible(nodes: int) -> int:
    """Return how many trees there are."""
    return int(nodes ** (nodes - 1))
