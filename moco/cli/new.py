"""Write the skeleton of a method: a file that already passes the contract tests."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("what", choices=["method"], help="what to make")
    parser.add_argument("name", help="id of the method, as <level>_<name>")
    parser.add_argument(
        "--into", type=Path, default=None, help="folder for the file (default: its level's, in the package)"
    )
    parser.add_argument("--paper", help="arXiv id of its source, as 2203.11171; only a control may have none")


def run(options: argparse.Namespace) -> None:
    """Write the file."""
    import keyword
    import re

    import moco
    from moco.cli.skeletons import skeleton
    from moco.errors import RequestError
    from moco.methods.base import ARXIV_ID, LEVELS
    from moco.methods.catalogue import method_ids

    level, _, short = options.name.partition("_")
    if level not in LEVELS or not re.fullmatch(r"[a-z][a-z0-9_]*", short):
        raise RequestError(
            f"{options.name!r} is no method id",
            where="name",
            remedy=f"write <level>_<name> with a level of {', '.join(LEVELS)}",
        )
    if options.name in method_ids():
        raise RequestError(f"method {options.name!r} exists", where="name", remedy="choose another name")
    if options.paper is None and level != "control":
        raise RequestError("a method has a source", where="--paper", remedy="give its arXiv id, as --paper 2203.11171")
    if options.paper is not None and not ARXIV_ID.fullmatch(options.paper):
        raise RequestError(f"{options.paper!r} is no arXiv id", where="--paper", remedy="write it as 2203.11171")
    folder = options.into or Path(moco.__file__).parent / "methods" / level
    path = folder / f"{short}.py"
    if path.exists():
        raise RequestError("exists", where=str(path), remedy="choose another name or delete the file")
    folder.mkdir(parents=True, exist_ok=True)
    cls = "".join(word.capitalize() for word in short.split("_"))
    if keyword.iskeyword(cls) or f" {cls}" in skeleton("", level, "", None).partition("@method")[0]:
        cls += "Method"
    path.write_text(skeleton(options.name, level, cls, options.paper), encoding="utf-8")
    print(f"wrote {path}\nnext: state its idea in the docstring, its settings in Params, then write answer")
    if options.into is not None:
        print("then: name its module under the entry points of your package, and install that (docs/add-a-method.md)")
    print(
        f"try it: add `{options.name}: {{}}` to `methods` of a study\n"
        f"test it, in the folder of MoCo: {_PYTEST} tests/contract -k {options.name}"
    )


_PYTEST = ".venv/bin/python -m pytest"
