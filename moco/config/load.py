"""From YAML to a study; every mistake becomes one line with file, key and remedy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from moco.config.problems import InvalidStudy, Problem, problems_of
from moco.config.registered import with_registry
from moco.config.study import Study
from moco.config.tasks import TaskEntry
from moco.config.yaml_file import misfits, parse_yaml, read_yaml

__all__ = ["InvalidStudy", "Problem", "load_study", "read_yaml", "study_from", "task_from"]

_RUNTIME_KEYS = ("replay",)


def study_from(config: Mapping[str, Any], origin: str) -> Study:
    """Return the study that a configuration declares.

    Args:
        config: The configuration; keys that only steer a run (`replay`) are left out.
        origin: File name for messages.

    Raises:
        InvalidStudy: It has mistakes.
    """
    content = {key: value for key, value in config.items() if key not in _RUNTIME_KEYS}
    problems = list(misfits(content))
    if any("holds itself" in problem.what for problem in problems):
        raise InvalidStudy(problems, origin)
    if isinstance(content.get("tasks"), Mapping):
        content["tasks"], mistakes = with_registry(content["tasks"])
        problems += [Problem(mistake.where, mistake.what, mistake.remedy) for mistake in mistakes]
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        known = {problem.key for problem in problems}
        problems += [problem for problem in problems_of(Study, error) if problem.key not in known]
    if problems:
        raise InvalidStudy(problems, origin, content)
    return study


def task_from(content: Any, origin: str) -> TaskEntry:
    """Return the task that a configuration of one task declares.

    Args:
        content: The entry, as below `tasks` of a study.
        origin: File name or place for messages.

    Raises:
        InvalidStudy: It has mistakes.
    """
    try:
        return TaskEntry.model_validate(content)
    except ValidationError as error:
        raise InvalidStudy(problems_of(TaskEntry, error), origin) from None


def load_study(path: Path) -> Study:
    """Return the study of a YAML file.

    Raises:
        InvalidStudy: It has mistakes, those of its YAML included.
        RequestError: The file is missing, not YAML, or not a mapping.
    """
    content, found = parse_yaml(path)
    try:
        study = study_from(content, str(path))
    except InvalidStudy as error:
        raise InvalidStudy(found + error.problems, str(path), error.content) from None
    if found:
        raise InvalidStudy(found, str(path), content)
    return study
