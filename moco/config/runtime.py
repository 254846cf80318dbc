"""Runtime and numerics settings travel beside the plan, never in it: in the environment variable MOCO_RUNTIME.

A command that is typed by hand without it runs with the defaults and gives the same result.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from moco.config.engine import EngineSettings
from moco.config.models import ServerModel, ServerRequests
from moco.config.study import Study

VARIABLE = "MOCO_RUNTIME"

LAST_ATTEMPT = "MOCO_LAST_ATTEMPT"
"""Set where failures are recorded and no further attempt follows."""


def runtime_json(study: Study) -> str:
    """Return the value of MOCO_RUNTIME for a study: settings of engines and scoring, and what happens to failed work."""
    own = {
        name: entry.engine.slice("runtime", "numerics")
        for name, entry in study.models.items()
        if entry.engine is not None
    }
    served = {
        name: entry.requests.slice("runtime") for name, entry in study.models.items() if isinstance(entry, ServerModel)
    }
    settings = {
        "engine": study.engine.slice("runtime", "numerics"),
        "models": own,
        **({"served": served} if served else {}),
        "priced": [name for name, entry in study.models.items() if entry.priced],
        "scoring": study.scoring.slice("runtime"),
        "failures": study.failures,
        "retries": study.retries,
    }
    return json.dumps(settings, sort_keys=True)


def runtime_settings() -> dict[str, Any]:
    """Return the runtime settings of this process; empty when the command was typed by hand."""
    return dict(json.loads(os.environ.get(VARIABLE) or "{}"))


def engine_settings(model: str, identity: Mapping[str, Any]) -> EngineSettings:
    """Return the engine settings of a resolved model: its identity, and this machine's runtime settings."""
    given = runtime_settings()
    runtime = given.get("models", {}).get(model, given.get("engine", {}))
    return EngineSettings.model_validate({**runtime, **identity})


def records_items() -> bool:
    """Return whether items without a reply are to be recorded as failed, instead of ending the job."""
    return os.environ.get(LAST_ATTEMPT) == "1"


def is_priced(model: str, *, served: bool) -> bool:
    """Return whether replies of a resolved model are dear: as the study says, or else if it is a served one."""
    declared = runtime_settings().get("priced")
    return served if declared is None else model in declared


def server_requests(model: str) -> ServerRequests:
    """Return how a served model is asked from this machine."""
    return ServerRequests.model_validate(runtime_settings().get("served", {}).get(model, {}))
