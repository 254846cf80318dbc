"""Scoring of replies: `scorer_for(type, rules)` gives the scorer of a task type under `paper` or `strict` rules."""

from moco.scoring.base import Case, Extraction, Scorer, Tools, Verdict, score_cases
from moco.scoring.catalogue import scorer_for, scorer_module, task_types

__all__ = [
    "Case",
    "Extraction",
    "Scorer",
    "Tools",
    "Verdict",
    "score_cases",
    "scorer_for",
    "scorer_module",
    "task_types",
]
