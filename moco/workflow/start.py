"""What the Snakefile calls once: from its configuration to a plan, with the environment that jobs inherit."""

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from snakemake.logging import logger
from snakemake.utils import update_config

from moco.config.expand import wildcard_in
from moco.config.load import InvalidStudy, study_from
from moco.config.runtime import write_study_file
from moco.config.yaml_file import parse_yaml, typed
from moco.errors import MocoError, RequestError
from moco.home import STUDY
from moco.workflow.check import structural_problems
from moco.workflow.plan import Plan


def start(config: dict[str, Any], workflow: Any) -> Plan:
    """Return the plan of a configuration, or stop Snakemake with one line per mistake and exit code 2.

    Jobs find the `moco` of this environment first on their path, and the study's file in `MOCO_STUDY`.

    Args:
        config: The merged configuration.
        workflow: Snakemake's workflow object.
    """
    replayed = "replay" in config
    update_config(config, {key: typed(value) for key, value in workflow.config_settings.config.items()})
    for path in () if replayed else workflow.overwrite_configfiles:
        _read_as_check_does(Path(path), config)
    origin = (
        str(config["replay"])
        if replayed
        else ", ".join(str(path) for path in workflow.overwrite_configfiles) or "config/config.yaml"
    )
    try:
        plan, content = _replayed(config, workflow) if replayed else (_planned(config, origin), config)
        os.environ[STUDY] = str(write_study_file(content, Path()))
    except InvalidStudy as error:
        _stop(*(problem.line(error.origin) for problem in error.problems))
    except MocoError as error:
        _stop(str(error) if replayed else f"{origin}: {error}")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.environ["PYTHONHASHSEED"] = "0"
    return plan


def name_report(workflow: Any) -> None:
    """Say where the report lies, where a run was to make it.

    Args:
        workflow: Snakemake's workflow object, whose jobs are done.
    """
    paths = {Path(path) for job in workflow.dag.targetjobs for path in (*job.input, *job.output)}
    for report in sorted(path for path in paths if path.name == "report.html"):
        logger.info(f"open {report}, or read the tables in {report.parent / 'tables'}")


def _read_as_check_does(path: Path, config: dict[str, Any]) -> None:
    """Stop at what `moco check` refuses in a configuration file, but which Snakemake has read without a word.

    A workflow that uses this one as a module may have other settings in its file; those are its own business.
    """
    try:
        content, found = parse_yaml(path)
    except MocoError as error:
        _stop(str(error))
    if found and content.keys() <= config.keys():
        _stop(*(problem.line(str(path)) for problem in found))


def _planned(config: dict[str, Any], origin: str) -> Plan:
    study = study_from(config, origin)
    problems = structural_problems(study)
    if problems:
        raise InvalidStudy(problems, origin)
    plan = Plan(study)
    plan.build()
    return plan


def _replayed(config: dict[str, Any], workflow: Any) -> tuple[Plan, dict[str, Any]]:
    from moco.workflow.replay import replay  # brings pyarrow, which other plans do without

    path = Path(str(config["replay"]))
    if wildcard_in(path):
        what = f"Snakemake takes {wildcard_in(path)} for a wildcard"
        raise RequestError(what, where=str(path), remedy="rename the file, or link it under a name without braces")
    if workflow.overwrite_configfiles or len(config) > 1:
        sys.stderr.write(f"moco: the configuration of {path} holds; all other settings are left aside\n")
    plan, content = replay(path)
    # Snakemake itself refuses other targets, in a line that does not say why; targets are unknown here.
    sys.stderr.write(f"moco: {plan.notice}\n")
    return plan, content


def _stop(*lines: str) -> NoReturn:
    for line in lines:
        sys.stderr.write(f"moco: {line}\n")
    raise SystemExit(2)
