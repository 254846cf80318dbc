"""Find every mistake in one or more studies before any job; one line each."""

import argparse
from pathlib import Path

from moco.cli.options import add_results


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="configuration of a study")
    add_results(parser)


def run(options: argparse.Namespace) -> int:
    """Print the mistakes and return 2 when there are any."""
    import sys

    from moco.config.load import InvalidStudy, Problem, load_study
    from moco.config.partial import readable
    from moco.config.study import Study
    from moco.errors import MocoError
    from moco.workflow.check import all_problems

    lines: list[str] = []
    studies: list[tuple[Path, Study]] = []
    for path in options.files:
        try:
            study = load_study(path)
        except InvalidStudy as error:
            rest = readable(error.content, error.problems)
            further = all_problems(rest, options.results, part=True) if rest is not None else []
            found = [*error.problems, *(problem for problem in further if not problem.warning)]
            lines += [problem.line(str(path)) for problem in found]
            continue
        except MocoError as error:
            lines.append(str(error))
            continue
        problems = all_problems(study, options.results)
        lines += [problem.line(str(path)) for problem in problems if not problem.warning]
        for problem in problems:
            if problem.warning:
                print(f"warning: {problem.line(str(path))}", file=sys.stderr)
        for other_path, other in studies:
            if other.study == study.study:
                lines.append(Problem("study", f"{other_path} has the same name", "rename one of them").line(str(path)))
        studies.append((path, study))
    for line in lines:
        print(line, file=sys.stderr)
    if not lines:
        for path, study in studies:
            print(f"{path}: study {study.study} is ready ({_size(study)})")
    return 2 if lines else 0


def _size(study: object) -> str:
    from moco.config.study import Study
    from moco.workflow.matrix import Matrix

    assert isinstance(study, Study)
    matrix = Matrix(study)
    return (
        f"{len(matrix.models)} models, {len(matrix.pools)} pools, {len(matrix.tasks)} tasks in {len(matrix.batches)} "
        f"batches, {len(matrix.variants)} method variants, {len(matrix.not_applicable)} pairs not applicable"
    )
