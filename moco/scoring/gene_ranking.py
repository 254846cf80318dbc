"""Scorers of rankings of genes: how much better than chance the most relevant ones stand on top."""

import math
import re
from collections.abc import Callable, Iterable, Sequence

from moco.scoring.base import SCORERS, Extraction, ReadingScorer, Verdict
from moco.scoring.text import visible_answer
from moco.tasks.item import Question, Reference

DEPTH = 100
"""Ranks that count."""

_TAGGED = re.compile(r"<final answer>(.*?)</final answer>", re.IGNORECASE | re.DOTALL)
_LOOSELY_TAGGED = re.compile(r"<final[\s_-]?answer>(.*?)</final[\s_-]?answer>", re.IGNORECASE | re.DOTALL)
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9._/@-]*")
_LIST_MARK = re.compile(r"^[\s*•-]*(?:\d+[.)]\s+)?", re.MULTILINE)


def ndcg(gains: Sequence[float], ideal: Iterable[float]) -> float:
    """Return the discounted cumulative gain of the first 100 ranks, as a share of the best there is; 0 if that is 0."""
    best = _dcg(sorted((max(gain, 0.0) for gain in ideal), reverse=True))
    return _dcg(gains) / best if best else 0.0


def skill(gains: Sequence[float], ideal: Sequence[float]) -> float:
    """Return nDCG on a scale on which a ranking without knowledge is 0 and the best is 1; what is worse is 0 too."""
    mean = math.fsum(ideal) / len(ideal) if ideal else 0.0
    chance = ndcg([mean] * min(DEPTH, len(ideal)), ideal)
    return 0.0 if chance == 1 else max(0.0, (ndcg(gains, ideal) - chance) / (1 - chance))


def _dcg(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains[:DEPTH], start=1))


class _GeneRanking(ReadingScorer):
    """What both rule sets share.

    Args:
        genes: Reads genes, in order and without repeats, out of what was extracted.
        gain: What a gene of some relevance is worth.
    """

    def __init__(self, genes: Callable[[str], list[str]], gain: Callable[[float], float]) -> None:
        self._genes, self._gain = genes, gain

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return the genes in their order."""
        return ", ".join(self._genes(parsed))

    def compared(self, question: Question, reference: Reference, found: Extraction) -> Verdict:  # noqa: ARG002
        """Return how well the genes are ranked."""
        if found.parsed is None:
            return Verdict(0.0, None, found.rule, "unparsed")
        names, scores = reference.gold["genes"], [self._gain(score) for score in reference.gold["scores"]]
        relevance = {name.strip().upper(): score for name, score in zip(names, scores, strict=True)}
        genes = self._genes(found.parsed)
        gains = [relevance.get(gene, 0.0) for gene in genes]
        details = {"genes": float(len(genes)), "known": float(sum(gene in relevance for gene in genes))}
        return Verdict(skill(gains, scores), found.parsed, found.rule, details=details)


class GeneRankingPaper(_GeneRanking):
    """Scores by the original rules; without tags the whole reply is read as a list, be it one or not."""

    def __init__(self) -> None:
        super().__init__(_listed, lambda score: score)

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the reply, which is read as a whole."""
        return Extraction(reply, "reply")


class GeneRankingStrict(_GeneRanking):
    """Scores lists of gene symbols: the last tagged one, or a reply that is nothing else. Nothing is worth less than 0."""

    def __init__(self) -> None:
        super().__init__(_symbols, lambda score: max(score, 0.0))

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the genes that a reply lists, or None."""
        visible = visible_answer(reply)
        if visible is None:
            return Extraction(None, "empty")
        tagged = _LOOSELY_TAGGED.findall(visible)
        genes = _symbols(tagged[-1] if tagged else visible)
        if not genes:
            return Extraction(None, "none")
        return Extraction(", ".join(genes), "tags" if tagged else "list")

    def compared(self, question: Question, reference: Reference, found: Extraction) -> Verdict:
        """Return how well the genes are ranked; an item without a relevant gene is invalid."""
        if not reference.valid or not any(score > 0 for score in reference.gold["scores"]):
            return Verdict(None, found.parsed, found.rule, "invalid")
        return super().compared(question, reference, found)


def _listed(reply: str) -> list[str]:
    tagged = _TAGGED.search(reply)
    pieces = (tagged[1] if tagged else reply).split(",")
    return list(dict.fromkeys(name for piece in pieces if (name := piece.strip().upper())))


def _symbols(text: str) -> list[str]:
    """Return the genes of a list, one a line or parted by commas; none if anything else is there."""
    pieces = re.split(r"[,;\n]", _LIST_MARK.sub("", text))
    names = [name for piece in pieces if (name := piece.strip().strip("*`.").upper())]
    return list(dict.fromkeys(names)) if all(map(_SYMBOL.fullmatch, names)) else []


for _rules in ("paper", "paper-1.1"):
    SCORERS.add(f"gene_ranking/{_rules}", GeneRankingPaper())
SCORERS.add("gene_ranking/strict", GeneRankingStrict())
