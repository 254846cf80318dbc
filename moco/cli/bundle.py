"""Pack what a study made into one file, check such a file, or unpack it (docs/reproduce.md)."""

import argparse
from pathlib import Path
from typing import Any


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="pack a finished study")
    create.add_argument("--config", type=Path, required=True, metavar="STUDY.yaml", help="its configuration")
    _add_results(create)
    create.add_argument("--output", type=Path, required=True, metavar="FILE", help="the bundle, such as study.tar.zst")
    create.add_argument(
        "--with-tasks", action="store_true", help="put in questions, references and prompts where licences allow it"
    )
    verify = actions.add_parser("verify", help="say everything that is wrong with a bundle")
    verify.add_argument("file", type=Path, metavar="FILE", help="a bundle")
    extract = actions.add_parser("extract", help="check a bundle and unpack it")
    extract.add_argument("file", type=Path, metavar="FILE", help="a bundle")
    where = extract.add_mutually_exclusive_group()
    where.add_argument("--output", type=Path, metavar="DIR", help="folder for all of it, instead of a results folder")
    _add_results(where)


def _add_results(parser: Any) -> None:
    about = "the study's results folder (default: results/STUDY)"
    parser.add_argument("--results", type=Path, metavar="DIR", help=about)


def _results(options: argparse.Namespace, study: str) -> Path:
    """Return the results folder of a study."""
    return options.results or Path("results") / study


def run(options: argparse.Namespace) -> int:
    """Run one action; `verify` returns 1 when it finds a problem."""
    return {"create": _create, "verify": _verify, "extract": _extract}[options.action](options)


def _create(options: argparse.Namespace) -> int:
    from moco.bundle.create import create_bundle
    from moco.config.load import load_study
    from moco.workflow.bundled import study_files
    from moco.workflow.plan import Plan

    study = load_study(options.config)
    plan, results = Plan(study), _results(options, study.study)
    manifest = create_bundle(
        study,
        {name: task.entry for name, task in plan.matrix.tasks.items()},
        study_files(plan, results),
        results,
        options.output,
        with_tasks=options.with_tasks,
        home=options.config.resolve().parent,
    )
    print(f"{options.output}: {len(manifest.entries)} files, {options.output.stat().st_size:,} bytes")
    for task, about in manifest.tasks.items():
        print(f"{task}: {'with' if about['items'] else 'without'} its items ({about['reason']})")
    for reason in sorted(set(manifest.left_out.values())):
        print(f"{list(manifest.left_out.values()).count(reason)} files left out: {reason}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from moco.bundle.verify import bundle_problems

    problems = bundle_problems(options.file)
    for line in problems:
        print(f"{options.file}: {line}")
    if not problems:
        print(f"{options.file}: in order")
    return 1 if problems else 0


def _extract(options: argparse.Namespace) -> int:
    from moco.bundle.verify import extract, read_head

    folder = options.output or _results(options, read_head(options.file)[0].study)
    written = extract(options.file, folder, results_only=options.output is None)
    print(f"{written} files written below {folder}")
    return 0
