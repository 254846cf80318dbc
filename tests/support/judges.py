"""Scripted models that judge: each answer is a function of its own input, and every request is remembered."""

import hashlib
import re
from collections.abc import Sequence

from moco.config.scoring import Scoring
from moco.scoring.base import Rating, Tools

_DIMENSIONS = 8


def reward_of(role: str, prompt: str, reply: str) -> float:
    """Return the reward of a reply, between -5 and 5."""
    number = int(hashlib.sha256(f"{role}|{prompt}|{reply}".encode()).hexdigest()[:8], 16)
    return round(10 * number / 0xFFFFFFFF - 5, 6)


class Judges:
    """Answers for all models that score.

    The verifier says yes to a student answer that equals the reference but for case. A text's vector counts its
    letters by their place in the alphabet, modulo eight.
    """

    def __init__(self, verdict: str | None = None) -> None:
        self._verdict = verdict
        self.prompts: list[str] = []
        self.rated: list[tuple[str, str, str]] = []
        self.limits: set[int | None] = set()
        self.embedded: list[tuple[str, str]] = []

    def verify(self, prompts: Sequence[str]) -> list[str]:
        """Return verdicts."""
        self.prompts.extend(prompts)
        return [self._verdict if self._verdict is not None else _verdict(prompt) for prompt in prompts]

    def reward(self, role: str, pairs: Sequence[tuple[str, str]], limit: int | None) -> list[Rating]:
        """Return ratings."""
        self.rated.extend((role, *pair) for pair in pairs)
        self.limits.add(limit)
        return [Rating(reward_of(role, *pair), len(pair[1].split())) for pair in pairs]

    def embed(self, texts: Sequence[str], pooling: str) -> list[list[float]]:
        """Return vectors."""
        self.embedded.extend((pooling, text) for text in texts)
        return [
            [float(sum(ord(c) % _DIMENSIONS == place for c in text)) for place in range(_DIMENSIONS)] for text in texts
        ]


def _verdict(prompt: str) -> str:
    shown = dict(re.findall(r"\[(reference answer|student answer)\]\n(.*?)\n\[end\]", prompt, re.DOTALL))
    same = shown["reference answer"].casefold() == shown["student answer"].casefold()
    return f"Final Decision: {'Yes' if same else 'No'}"


def tools(judges: Judges | None = None, **settings: object) -> Tools:
    """Return what scorers may use, with scripted models."""
    return Tools(models=judges or Judges(), settings=Scoring.model_validate(settings))
