"""Models that score replies, run through the store: a verifier, reward models, an encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from moco import paths
from moco.config.decoding import Decoding
from moco.config.runtime import engine_settings
from moco.config.scoring import Scoring
from moco.engines.base import Pooling
from moco.home import home, store_root
from moco.jobs.inference import Inference
from moco.methods.base import Request
from moco.models.info import ModelInfo
from moco.scoring.base import Rating, Tools
from moco.scoring.judges import ROLES, Role
from moco.scoring.tools import tools_for
from moco.store.generations import GenerationStore


def judge_infos(results: Path, scoring: Mapping[str, Any] | None) -> list[ModelInfo]:
    """Return the resolved models that judge; the scorers' slice of the configuration names them."""
    names = dict.fromkeys(_roles(Scoring.model_validate(scoring or {})).values())
    return [ModelInfo.read(results / paths.model_json(name)) for name in names]


def _roles(settings: Scoring) -> dict[Role, str]:
    return {role: name for role in ROLES if (name := getattr(settings, role)) is not None}


def job_tools(results: Path, spec: Mapping[str, Any], inference: Inference | None = None) -> Tools:
    """Return what scorers may use in a job, models included.

    Args:
        results: The results folder.
        spec: The job's slice of the configuration; `scoring` in it names the models.
        inference: Of the job, whose loaded models are shared; a new one when left out.

    Raises:
        FailedInput: A model is a recorded failure.
    """
    tools = tools_for(spec)
    roles = _roles(tools.settings)
    if not roles:
        return tools
    if inference is None:
        inference = Inference({}, {}, GenerationStore(store_root(results)), home(results))
    for info in judge_infos(results, spec["scoring"]):
        if not inference.knows(info.name):
            inference.add(info, engine_settings(info.name, info.engine))
    return replace(tools, models=LoadedJudges(inference, roles, tools.settings))


class LoadedJudges:
    """The models that score, each loaded when something is missing in the store.

    Args:
        inference: Knows the models.
        roles: Model of each role.
        settings: Settings of scorers.
    """

    def __init__(self, inference: Inference, roles: Mapping[Role, str], settings: Scoring) -> None:
        self.inference = inference
        self._roles, self._settings = dict(roles), settings

    def verify(self, prompts: Sequence[str]) -> list[str]:
        """Return the verifier's greedy reply to each prompt."""
        decoding = Decoding(temperature=0, max_new_tokens=self._settings.verdict_tokens)
        verifier = self._roles["verifier"]
        requests = [Request(verifier, "", prompt, "verdict", decoding=decoding) for prompt in prompts]
        # Greedy, so the seed is in no key.
        return [reply.response.text for reply in self.inference.run(requests, 0, "verdicts")]

    def reward(
        self, role: Literal["reward", "second_reward"], pairs: Sequence[tuple[str, str]], limit: int | None
    ) -> list[Rating]:
        """Rate replies; arguments as in `ScoringModels`."""
        return self.inference.reward(self._roles[role], pairs, limit)

    def embed(self, texts: Sequence[str], pooling: Pooling) -> list[Sequence[float]]:
        """Return the vector of each text; arguments as in `ScoringModels`."""
        return self.inference.embed(self._roles["encoder"], texts, pooling)
