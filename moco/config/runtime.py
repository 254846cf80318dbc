"""The study's file: how the configuration reaches the jobs, with the settings that are in no key and no parameter.

The Snakefile writes the configuration that it was read with to `.moco/studies/{digest}.json`, once and for good, and
names that file in `MOCO_STUDY`. A verb takes from there what its names on the command line stand for.
"""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from moco.config.engine import EngineSettings
from moco.config.load import study_from
from moco.config.models import ServerModel, ServerRequests
from moco.config.study import Study
from moco.digest import digest
from moco.errors import RequestError, WorkError
from moco.home import STUDY

LAST_ATTEMPT = "MOCO_LAST_ATTEMPT"
"""Set where failures are recorded and no further attempt follows."""


def write_study_file(config: Mapping[str, Any], project: Path) -> Path:
    """Write a configuration as the immutable file that jobs read, and return its absolute path.

    Args:
        config: The configuration, as it was read.
        project: The project folder.

    Raises:
        WorkError: The folder cannot be written.
    """
    text = json.dumps(config, ensure_ascii=False, default=str)  # in its own order, which tables follow
    path = project.absolute() / ".moco" / "studies" / f"{digest(text)[:32]}.json"
    if path.is_file():
        return path
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        what = f"cannot be written ({error.strerror})"
        raise WorkError(what, where=str(path.parent), remedy="run in a folder of your own") from None
    return path


def current_study() -> Study | None:
    """Return the study of this job; None where a command was typed by hand without one."""
    path = os.environ.get(STUDY)
    return _read(path) if path else None


@cache
def _read(path: str) -> Study:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        remedy = "copy the command with its variables from the head of a job's log"
        raise RequestError(f"cannot be read ({error})", where=f"{STUDY}={path}", remedy=remedy) from None
    return study_from(content, path)


def required_study() -> Study:
    """Return the study of this job.

    Raises:
        RequestError: None is named.
    """
    study = current_study()
    if study is None:
        remedy = "copy the command with its variables from the head of a job's log"
        raise RequestError("no study is named", where=STUDY, remedy=remedy)
    return study


def engine_settings(model: str, identity: Mapping[str, Any]) -> EngineSettings:
    """Return the engine settings of a resolved model: its identity, and this machine's runtime settings."""
    study = current_study()
    if study is None:
        return EngineSettings.model_validate(dict(identity))
    settings = study.engine_of(model) if model in study.models else study.engine
    return EngineSettings.model_validate({**settings.slice("runtime", "numerics"), **identity})


def scoring_workers() -> int:
    """Return how many programs are scored at once."""
    study = current_study()
    return study.scoring.code.workers if study else 1


def code_is_allowed() -> bool:
    """Return whether programs that models wrote may run; a job that names no study has its permission in its slice."""
    study = current_study()
    return study is None or study.scoring.code.allow


def failure_settings() -> tuple[bool, int]:
    """Return whether failed work is recorded, and how many attempts follow the first."""
    study = current_study()
    return (False, 0) if study is None else (study.failures == "record", study.retries)


def records_items() -> bool:
    """Return whether items without a reply are to be recorded as failed, instead of ending the job."""
    return os.environ.get(LAST_ATTEMPT) == "1"


def is_priced(model: str, *, served: bool) -> bool:
    """Return whether replies of a resolved model are dear: as the study says, or else if it is a served one."""
    study = current_study()
    return served if study is None or model not in study.models else study.models[model].priced


def server_requests(model: str) -> ServerRequests:
    """Return how a served model is asked from this machine."""
    study = current_study()
    entry = study.models.get(model) if study else None
    return entry.requests if isinstance(entry, ServerModel) else ServerRequests()
