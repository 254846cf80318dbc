"""Rankings of genes: nDCG above that of a ranking without knowledge."""

from math import log2

import pytest

from moco.scoring.catalogue import scorer_for
from moco.tasks.item import Question, Reference

GENES = ["TP53", "brca1 ", "MYC", "EGFR"]
SCORES = [2.0, 1.0, 0.0, -1.0]


def verdict(rules, reply, genes=GENES, scores=SCORES):
    gold = {"genes": genes, "scores": scores}
    question = Question("u", "t", "test", "gene_ranking", "q", "q")
    return scorer_for("gene_ranking", rules).score(question, Reference("u", gold, "relevance"), reply)


def expected(gains, scores):
    discounts = [1 / log2(rank + 1) for rank in range(1, 5)]
    best = sum(g * d for g, d in zip(sorted((max(s, 0) for s in scores), reverse=True), discounts, strict=True))
    mean = sum(scores) / 4
    chance = mean * sum(discounts) / best
    found = sum(g * d for g, d in zip(gains, discounts, strict=False)) / best
    return max(0, (found - chance) / (1 - chance))


@pytest.mark.parametrize(
    ("reply", "paper", "strict"),
    [
        ("TP53, BRCA1", [2, 1], [2, 1]),
        ("egfr, tp53", [-1, 2], [0, 2]),
        ("EGFR, NOSUCH, TP53, TP53", [-1, 0, 2], [0, 0, 2]),
        ("<Final Answer>myc,\nTP53</final answer> or BRCA1, TP53", [0, 2], [0, 2]),
        ("<final_answer>TP53</final_answer>", [], [2]),
        ("<final answer>MYC</final answer> no: <final answer>TP53</final answer>", [0], [2]),
        ("1. TP53\n2. BRCA1", [], [2, 1]),
        ("The genes are TP53, BRCA1, and so on", [0, 1], None),
        ("none", [], []),
        (" , ,", [], None),
        ("<think>MYC</think>TP53, BRCA1", [0, 1], [2, 1]),
    ],
)
def test_scores(reply, paper, strict):
    clipped = [max(score, 0) for score in SCORES]
    for rules in ("paper", "paper-1.1"):
        assert verdict(rules, reply).score == pytest.approx(expected(paper, SCORES))
    found = verdict("strict", reply)
    if strict is None:
        assert (found.score, found.status) == (0, "unparsed")
    else:
        assert found.score == pytest.approx(expected(strict, clipped))


def test_the_best_ranking_is_1_and_only_100_ranks_count():
    genes, scores = [f"G{number}" for number in range(150)], [1.0] * 120 + [0.0] * 30
    assert verdict("strict", ", ".join(genes[:100]), genes, scores).score == pytest.approx(1)
    late = ", ".join([*genes[120:], *(f"X{number}" for number in range(70)), *genes[:5]])
    assert verdict("strict", late, genes, scores).score == 0


def test_items_without_relevance():
    for scores in ([0.0] * 4, [-1.0] * 4):
        assert verdict("strict", "TP53", scores=scores).status == "invalid"
        assert verdict("paper-1.1", "TP53", scores=scores).score == 0
    assert verdict("paper-1.1", "TP53", scores=[1.0] * 4).score == 0  # where every ranking is as good as any other
