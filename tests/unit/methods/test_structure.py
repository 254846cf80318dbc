"""Structure: the graphs, who sees whom in which round, and that leaving out what cannot matter changes no report."""

from itertools import product

import pytest
from support.contexts import World
from support.engines import Engine, varied
from support.items import questions
from support.rounds import answered, by_purpose, shown

from moco.errors import RequestError
from moco.methods.base import PoolInfo
from moco.methods.catalogue import make_method
from moco.methods.text.structure import adjacency, in_neighbours, update_prompt
from moco.prompts import blocks

ID = "text_structure"
GRAPHS = ("chain", "tree", "circle", "complete", "star", "wheel")


def collecting(model, prompt, sample):
    """A reply that lists, in brackets, what it was shown: the own answer first."""
    texts = [text for _, text in shown(prompt)]
    return f"{model}{sample}({' '.join(texts)})" if texts else f"{model}{sample}"


def run(size=3, replies=collecting, models=None, **params):
    settings = {name: params.pop(name) for name in ("items", "kind", "member") if name in params}
    pool = tuple("abcdefgh"[:size]) if models is None else models
    return answered(ID, params, models=pool, replies=replies, **settings)


def updates(engine, number):
    return {(asked.uid, asked.model): asked.prompt for asked in by_purpose(engine, f"update {number}")}


# The graphs


@pytest.mark.parametrize(
    ("structure", "size", "degrees"),
    [
        ("chain", 5, [1, 2, 2, 2, 1]),
        ("tree", 6, [2, 3, 2, 1, 1, 1]),
        ("circle", 5, [2, 2, 2, 2, 2]),
        ("circle", 3, [2, 2, 2]),
        ("complete", 5, [4, 4, 4, 4, 4]),
        ("star", 5, [4, 1, 1, 1, 1]),
        ("wheel", 5, [4, 3, 3, 3, 3]),
        ("wheel", 6, [5, 3, 3, 3, 3, 3]),
        *((structure, 2, [1, 1]) for structure in GRAPHS),
    ],
)
def test_named_graphs_have_their_degrees(structure, size, degrees):
    assert [sum(row) for row in adjacency(structure, size)] == degrees


@pytest.mark.parametrize(("structure", "size"), list(product(GRAPHS, range(2, 9))))
def test_named_graphs_are_symmetric_connected_and_without_loops(structure, size):
    matrix = adjacency(structure, size)
    assert all(matrix[i][j] == matrix[j][i] for i in range(size) for j in range(size))
    assert not any(matrix[node][node] for node in range(size))
    reached = {0}
    for _ in range(size):
        reached |= {j for i in reached for j in range(size) if matrix[i][j]}
    assert len(reached) == size


def test_edges_are_those_of_the_names():
    def edges(structure, size):
        matrix = adjacency(structure, size)
        return {(i, j) for i in range(size) for j in range(i, size) if matrix[i][j]}

    assert edges("chain", 4) == {(0, 1), (1, 2), (2, 3)}
    assert edges("tree", 6) == {(0, 1), (0, 2), (1, 3), (1, 4), (2, 5)}
    assert edges("circle", 4) == {(0, 1), (1, 2), (2, 3), (0, 3)}
    assert edges("star", 4) == {(0, 1), (0, 2), (0, 3)}
    assert edges("wheel", 5) == {(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (1, 4)}


def test_the_originals_star_of_four_is_complete_and_a_star_is_not():
    assert adjacency("wheel", 4) == adjacency("complete", 4) != adjacency("star", 4)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"structure": "other"}, "matrix if, and only if"),
        ({"matrix": [[0, 1], [1, 0]]}, "matrix if, and only if"),
        ({"structure": "other", "matrix": [[0, 1], [1]]}, "square"),
        ({"structure": "other", "matrix": [[0, 1, 0], [1, 0, 1]]}, "square"),
        ({"structure": "other", "matrix": [[1, 1], [1, 0]]}, "diagonal"),
        ({"structure": "other", "matrix": [[0, 2], [1, 0]]}, "matrix"),
        ({"structure": "ring"}, "structure"),
        ({"rounds": 0}, "rounds"),
    ],
)
def test_other_graphs_need_a_matrix_of_zeros_and_ones_without_loops(params, words):
    with pytest.raises(RequestError, match=words):
        make_method(ID, params)


def test_a_matrix_fits_one_size_of_pool():
    needs = make_method(ID, {"structure": "other", "matrix": [[0, 1], [0, 0]]}).needs(PoolInfo.of_size(2))
    assert (needs.min_models, needs.max_models) == (2, 2)
    needs = make_method(ID, {}).needs(PoolInfo.of_size(3))
    assert (needs.min_models, needs.max_models) == (2, None)


# Rounds


@pytest.mark.parametrize("params", [{"rounds": 1}, {"rounds": 4, "structure": "other", "matrix": [[0] * 3] * 3}])
def test_without_interaction_it_is_the_best_single_model(params):
    answers, engine, ctx = run(member=2, **params)
    assert [(answer.text, answer.models) for answer in answers] == [("c0", ("c",))] * 3
    assert engine.requests == []
    assert {(call["kind"], call["model"]) for call in ctx.calls} == {("plain", "c")}


def test_one_round_declares_no_requests():
    assert not make_method(ID, {"rounds": 1}).needs(PoolInfo.of_size(3)).answer.runs_models


@pytest.mark.parametrize("structure", GRAPHS)
def test_every_node_reads_its_own_answer_and_those_of_its_neighbours_of_the_round_before(structure):
    size = 5
    answers, engine, _ = run(size, structure=structure, rounds=3, all_nodes=True, items=2)
    sees = in_neighbours(adjacency(structure, size))
    for answer in answers:
        for number in (2, 3):
            last = answer.record["rounds"][number - 2]["answers"]
            for node, others in enumerate(sees):
                prompt = updates(engine, number)[answer.uid, "abcde"[node]]
                expected = [("your answer", last[node])]
                expected += [(f"answer {place}", last[other]) for place, other in enumerate(others, 1)]
                assert shown(prompt) == expected


def test_words_travel_one_edge_of_a_directed_chain_per_round():
    size, rounds = 5, 5
    matrix = [[int(j == i + 1) for j in range(size)] for i in range(size)]
    _, engine, _ = run(size, structure="other", matrix=matrix, rounds=rounds, all_nodes=True, items=1)
    for node in range(1, size):
        heard = [
            number
            for number in range(2, rounds + 1)
            if any("a0" in prompt for (_, model), prompt in updates(engine, number).items() if model == "abcde"[node])
        ]
        assert heard[0] - 1 == node
    assert all("a" not in {model for _, model in updates(engine, number)} for number in range(2, rounds + 1))


def test_a_node_that_sees_nobody_keeps_its_answer():
    matrix = [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    answers, _, _ = run(structure="other", matrix=matrix, rounds=3, all_nodes=True, items=1)
    assert [one["answers"][0] for one in answers[0].record["rounds"]] == ["a0"] * 3


@pytest.mark.parametrize("member", [0, 2, 4])
@pytest.mark.parametrize("structure", GRAPHS)
def test_leaving_out_what_cannot_reach_the_report_changes_no_report(structure, member):
    for rounds in (2, 3, 4):
        params = {"structure": structure, "rounds": rounds, "member": member, "replies": varied, "items": 2}
        full, all_asked, _ = run(5, all_nodes=True, **params)
        lean, asked, _ = run(5, **params)
        assert [answer.text for answer in lean] == [answer.text for answer in full]
        assert set(asked.requests) <= set(all_asked.requests)
        assert len(by_purpose(asked, f"update {rounds}")) == 2
        for answer, other in zip(lean, full, strict=True):
            for mine, theirs in zip(answer.record["rounds"], other.record["rounds"], strict=True):
                assert all(m in (None, t) for m, t in zip(mine["answers"], theirs["answers"], strict=True))


def test_only_what_can_reach_the_report_is_asked_and_read():
    _, engine, ctx = run(5, structure="chain", rounds=3, member=0, items=1)
    assert {model for _, model in updates(engine, 2)} == {"a", "b"}
    assert {model for _, model in updates(engine, 3)} == {"a"}
    assert {call["model"] for call in ctx.calls if call["kind"] == "plain"} == {"a", "b", "c"}


def test_graphs_share_what_a_node_with_equal_neighbours_is_asked():
    circle = run(3, structure="circle", rounds=2)[1]
    complete = Engine(collecting, finished=circle.finished)
    run(3, structure="complete", rounds=3, replies=complete)
    generated = [asked for asked in complete.generated if asked.purpose == "update 2"]
    assert {asked.model for asked in generated} == {"b", "c"}  # not that of the node which reports


def test_copies_sit_on_nodes_of_their_own_and_the_first_of_equals_reports():
    models = ("a", "b", "b")
    world = World(models, dev_scores={"a": 0.1, "b": 0.9})
    assert world.fit(make_method(ID, {})).data["member"] == 1
    answers, _, _ = run(models=models, member=1, items=1, rounds=2, structure="chain")
    assert answers[0].text == "b0(b0 a0 b1)"


@pytest.mark.parametrize("kind", ["exact_match", "multiple_choice"])
def test_prompts_begin_with_the_task_and_end_with_the_answer_format(kind):
    _, engine, ctx = run(kind=kind)
    items = {item.uid: item for item in ctx.questions}
    for asked in engine.requests:
        item = items[asked.uid]
        assert asked.prompt.startswith(f"A task for several assistants:\n\n{blocks.question(item)}\n\n")
        assert asked.prompt.count(blocks.question(item)) == 1
        assert asked.prompt.endswith(blocks.answer_format(kind))
        assert "with care" in asked.prompt
        assert "your updated answer" in asked.prompt


def test_answers_of_several_lines_stay_in_their_blocks():
    prompt = update_prompt(questions(1)[0], "mine\nof two", ["- one\n\n- two"])
    assert shown(prompt) == [("your answer", "mine\nof two"), ("answer 1", "- one\n\n- two")]


def test_the_record_says_how_far_nodes_agree_and_how_many_changed_their_answers():
    def convinced(model, prompt, _sample):
        if not shown(prompt):
            return {"a": "\\box{42}", "b": "$42$", "c": "\\box{7}"}[model]
        return "\\box{42}" if model == "c" else "\\box{8}" if model == "b" else "\\box{42.}"

    answers, _, _ = run(rounds=2, all_nodes=True, replies=convinced, items=1)
    (record,) = (answer.record for answer in answers)
    assert record["consensus"] == [2 / 3, 2 / 3]
    assert record["flips"] == [0, 2]
    assert (record["node"], record["matrix"]) == (0, [[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    lean, _, _ = run(rounds=2, replies=convinced, items=1)
    assert lean[0].record["rounds"][1]["answers"] == ["\\box{42.}", None, None]
    assert (lean[0].record["consensus"], lean[0].record["flips"]) == ([2 / 3, 1.0], [0, 0])
