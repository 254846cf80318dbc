"""Scoring of replies: `scorer_for(type, rules)` gives the scorer of a task type under `paper` or `strict` rules."""

from moco.scoring.base import Extraction, Scorer, Verdict
from moco.scoring.catalogue import scorer_for, scorer_module, task_types

__all__ = ["Extraction", "Scorer", "Verdict", "scorer_for", "scorer_module", "task_types"]
