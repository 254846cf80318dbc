"""Sentences that stand below tables and figures."""

from moco.analysis.results import Spec
from moco.analysis.statistics import LEVEL, RESAMPLES

_LISTED = 8
_DIGITS = 12

ATTRIBUTED = (
    "Costs are attributed: what a system needs when it works alone, whether or not it was cached, so that two methods"
    " that read the same response both pay for it. FLOPs are 2 per parameter and token read or written (6 in training);"
    " attention over the context is not counted."
)


UNKNOWN_SIZE = "FLOPs are - where a served model of unknown size took part; such models are never loaded."


def configuration(spec: Spec) -> str:
    """Return the first digits of the digest of a study's configuration, as the end of a phrase that names the study."""
    digest = spec.get("configuration")
    return f", configuration {digest[:_DIGITS]}" if digest else ""


def whose(spec: Spec) -> str:
    """Return the sentence on every table and figure that says which study it is of."""
    return f"Study {spec['study']}{configuration(spec)}."


def study_notes(spec: Spec) -> tuple[str, ...]:
    """Return what every table and figure of scores says about its numbers."""
    seeds = ", ".join(str(seed) for seed in spec["seeds"])
    return (
        f"Scorer: {spec['scorer']}. Seeds: {len(spec['seeds'])} ({seeds}). Class: {spec['class']}.",
        f"Intervals: {LEVEL:.0%} percentile bootstrap over items, {RESAMPLES:,} resamples; an item's score is its mean"
        " over seeds, so that the variation between seeds is not part of the interval. Where all scores are 0 or all"
        " are 1: Wilson's interval; where two systems differ equally on all items, by 0 or by 1: Tango's.",
    )


def listed(names: list[str]) -> str:
    """Return names as a list that stays short."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
