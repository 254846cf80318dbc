"""What a job's scorers may use: permissions from its slice of the configuration, workers from this machine."""

from collections.abc import Mapping
from typing import Any

from moco.config.runtime import code_is_allowed, scoring_workers
from moco.config.scoring import Scoring
from moco.scoring.base import CodeTools, Tools


def tools_for(spec: Mapping[str, Any]) -> Tools:
    """Return the tools of a job whose scorers ask no model.

    Args:
        spec: The job's slice of the configuration. It has `code` where replies are programs, which the study must allow to run.
    """
    workers = scoring_workers()
    code = CodeTools(**spec["code"]) if "code" in spec and code_is_allowed() else None
    return Tools(workers=workers, code=code, settings=Scoring.model_validate(spec.get("scoring") or {}))
