"""Trees of models: what a matrix stands for, in which order nodes speak, and which parts trees share."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from moco.methods.shared.trees import END, Tree, decoded, possible
from moco.seeds import generator


def matrix(*rows):
    return tuple(float(value) for row in rows for value in row)


def drawn(position, nodes, seed=0, nucleus=0.7):
    return decoded(position, nodes, nucleus, generator(seed, "tree"))


@pytest.mark.parametrize("nodes", [2, 3, 4, 8])
def test_every_node_but_the_end_sends_to_one_and_all_ways_lead_to_the_end(nodes):
    for seed in range(100):
        position = generator(seed, "position").uniform(-1, 1, nodes * nodes)
        before = position.copy()
        tree = drawn(position, nodes, seed)
        assert np.array_equal(position, before)
        assert tree.targets.count(END) == 1
        assert sum(target != END for target in tree.targets) == nodes - 1
        assert tree.order[-1] == tree.end
        assert sorted(tree.order) == list(range(nodes))
        for node in range(nodes):
            way = [node]
            while tree.targets[way[-1]] != END:
                way.append(tree.targets[way[-1]])
                assert len(way) <= nodes
            assert way[-1] == tree.end


def test_a_seed_gives_one_tree_and_seeds_differ():
    position = generator(1, "position").uniform(-1, 1, 16)
    assert {drawn(position, 4, 3).targets for _ in range(5)} == {drawn(position, 4, 3).targets}
    assert len({drawn(position, 4, seed).targets for seed in range(50)}) > 3


def test_without_a_nucleus_every_choice_is_the_likeliest():
    # Rows add up to 3, -2 and 1: node 1 ends, node 0 comes before it, then node 2 chooses between them.
    position = matrix((9, 2, 1), (-1, 9, -1), (1.5, -0.5, 9))
    assert {drawn(position, 3, seed, 0.0).targets for seed in range(30)} == {(1, END, 0)}
    # Among equal ones the later is taken: node 2 ends, 1 sends to it, and 0 sends to the later of both.
    assert {drawn((0.0,) * 9, 3, seed, 0.0).targets for seed in range(30)} == {(2, 2, END)}


def test_what_a_node_would_send_to_itself_does_not_count():
    position = matrix((0, 2, 1), (-1, 0, -1), (1.5, -0.5, 0))
    with_itself = matrix((-50, 2, 1), (-1, 70, -1), (1.5, -0.5, 40))
    assert [drawn(position, 3, seed) for seed in range(30)] == [drawn(with_itself, 3, seed) for seed in range(30)]


def test_the_end_is_drawn_among_the_likeliest_by_their_flattened_shares():
    # Row sums 0, 1 and 2 give the ends shares of 0.665, 0.245 and 0.090; the first two exceed 0.7.
    position = matrix((0, 0, 0), (0.5, 0, 0.5), (1, 1, 0))
    ends = Counter(drawn(position, 3, seed).end for seed in range(4000))
    shares = [math.exp(-value) for value in (0, 1, 2)]
    first, second = (math.exp(share / sum(shares)) for share in shares[:2])
    assert set(ends) == {0, 1}
    assert ends[0] / 4000 == pytest.approx(first / (first + second), abs=0.03)
    # Everything is possible in the end.
    assert set(Counter(drawn(position, 3, seed, 1.0).end for seed in range(200))) == {0, 1, 2}


@pytest.mark.parametrize(("nodes", "count"), [(2, 2), (3, 9), (4, 64)])
def test_all_trees_are_counted(nodes, count):
    found = set()
    for targets in itertools.product(range(-1, nodes), repeat=nodes):
        if targets.count(END) == 1 and all(target != node for node, target in enumerate(targets)):
            reached = {targets.index(END)}
            for _ in range(nodes):
                reached |= {node for node, target in enumerate(targets) if target in reached}
            if len(reached) == nodes:
                found.add(targets)
    assert len(found) == possible(nodes) == count


def test_equal_parts_of_trees_have_equal_names_and_the_end_has_its_own():
    chain, other = Tree((1, 2, END, 2)), Tree((1, 3, 3, END))
    assert list(chain.parts()) == [(0, "0", 0), (1, "1(0)", 1), (3, "3", 0), (2, "2(1(0),3)!", 2)]
    assert list(other.parts()) == [(0, "0", 0), (1, "1(0)", 1), (2, "2", 0), (3, "3(1(0),2)!", 2)]
    # In the end a node reads the same, but is asked for more.
    assert list(Tree((1, END)).parts())[-1][1] == "1(0)!"
    assert chain.order == [0, 1, 3, 2]
