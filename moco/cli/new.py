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


def run(options: argparse.Namespace) -> None:
    """Write the file."""
    import keyword
    import re

    import moco
    from moco.errors import RequestError
    from moco.methods.base import LEVELS
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
    folder = options.into or Path(moco.__file__).parent / "methods" / level
    path = folder / f"{short}.py"
    if path.exists():
        raise RequestError("exists", where=str(path), remedy="choose another name or delete the file")
    folder.mkdir(parents=True, exist_ok=True)
    cls = "".join(word.capitalize() for word in short.split("_"))
    if keyword.iskeyword(cls) or f" {cls}" in _SKELETON.partition("@method")[0]:
        cls += "Method"
    path.write_text(_SKELETON.format(id=options.name, level=level, cls=cls), encoding="utf-8")
    print(f"wrote {path}\nnext: state its idea in the docstring, its settings in Params, then write answer")
    if options.into is not None:
        print("then: name its module under the entry points of your package, and install that (docs/add-a-method.md)")
    print(
        f"try it: add `{options.name}: {{}}` to `methods` of a study\n"
        f"test it, in the folder of MoCo: {_PYTEST} tests/contract -k {options.name}"
    )


_PYTEST = ".venv/bin/python -m pytest"

_SKELETON = '''"""One line on what the method does."""

from collections.abc import Iterator

from moco.config.fields import identity
from moco.methods.base import Answer, AnswerNeeds, Method, MethodParams, Needs, PoolInfo, State, method
from moco.methods.context import AnswerContext


@method("{id}", level="{level}", papers=("0000.00000",))  # the arXiv id of the source
class {cls}(Method):
    """One line that says what the method does with the pool.

    One paragraph on how. Then, where it applies: "Differs from the original: ...".
    """

    class Params(MethodParams):
        """Settings of the method."""

        member: int = identity("Position of the member that answers.", 0, ge=0)

    def needs(self, pool: PoolInfo) -> Needs:
        """What the method reads and runs, known before any model exists."""
        return Needs(answer=AnswerNeeds(plain=1))

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Yield one answer per question."""
        member = ctx.pool[min(self.params.member, len(ctx.pool) - 1)]
        responses = ctx.plain(member.index)
        for question in ctx.questions:
            yield Answer(question.uid, responses[question.uid].text, models=(member.model,))
'''
