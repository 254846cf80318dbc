"""What the Snakefile calls once: from its configuration to a plan, with the environment that jobs inherit."""

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from moco.config.load import InvalidStudy, study_from
from moco.config.runtime import VARIABLE, runtime_json
from moco.errors import MocoError
from moco.workflow.check import structural_problems
from moco.workflow.plan import Plan
from moco.workflow.slugs import refuse_taken_slugs


def start(config: dict[str, Any], workflow: Any) -> Plan:
    """Return the plan of a configuration, or stop Snakemake with one line per mistake and exit code 2.

    Jobs find the `moco` of this environment first on their path, and the study's runtime settings in `MOCO_RUNTIME`.

    Args:
        config: The merged configuration.
        workflow: Snakemake's workflow object.
    """
    origin = ", ".join(str(path) for path in workflow.overwrite_configfiles) or "config/config.yaml"
    try:
        study = study_from(config, origin)
        problems = structural_problems(study)
        if problems:
            raise InvalidStudy(problems, origin)
        plan = Plan(study)
        plan.build()
        refuse_taken_slugs(study, Path("results"))
    except InvalidStudy as error:
        _stop(*(problem.line(error.origin) for problem in error.problems))
    except MocoError as error:
        _stop(f"{origin}: {error}")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.environ["PYTHONHASHSEED"] = "0"
    os.environ[VARIABLE] = runtime_json(study)
    return plan


def _stop(*lines: str) -> NoReturn:
    for line in lines:
        sys.stderr.write(f"moco: {line}\n")
    raise SystemExit(2)
