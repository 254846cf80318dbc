"""The rule sets by which replies are scored."""

from typing import Literal, get_args

RuleSet = Literal["strict", "paper", "paper-1.1"]
"""Our own rules; the original's of the time of its paper; the original's as of its release 1.1.2."""

RULE_SETS: tuple[RuleSet, ...] = get_args(RuleSet)
