"""Code in text: what a prompt asks to define, and which code a reply offers."""

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from moco.scoring.assertions import called_name
from moco.scoring.base import Extraction
from moco.scoring.code_blocks import DEFINITIONS, UNREADABLE, fenced_blocks, parse, parsed, pieces, without_prompts
from moco.scoring.text import without_thoughts

_ASSERTION = re.compile(r"\bassert\b[^\n]*")
_STATEMENT = re.compile(r"[ \t]*(?:import|from|def|class|async\s+def)\b|[ \t]*@\w|[A-Za-z_]\w*\s*(?::[^=\n]+)?=[^=]")
_MOST_STARTS = 40
_BROKEN = "broken"
_MOST_CUTS = 12


@dataclass(frozen=True)
class Target:
    """What a reply has to define.

    Attributes:
        entry_point: Name that tests call; None where the prompt does not say.
        preamble: Imports and helpers that the prompt shows before it.
        header: The prompt's own first lines of the function, to which a bare body belongs.
    """

    entry_point: str | None
    preamble: str = ""
    header: str = ""


def target_of(prompt: str) -> Target:
    """Return what a prompt asks to define: the function that it begins, or the one that its assertion calls."""
    lines = prompt.splitlines()
    for start in _starts(lines):
        text = "\n".join(lines[start:])
        tree = parsed(text) or parsed(text + "\n    pass")
        last = tree.body[-1] if tree and tree.body else None
        if isinstance(last, DEFINITIONS):
            first_line = min([last.lineno, *(item.lineno for item in last.decorator_list)]) - 1
            code = lines[start:]
            return Target(last.name, "\n".join(code[:first_line]).strip("\n"), "\n".join(code[first_line:]))
    for assertion in _ASSERTION.finditer(prompt):
        tree = parsed(assertion[0].strip())
        name = called_name(tree) if tree else None
        if name:
            return Target(name)
    return Target(None)


def extract_code(reply: str, target: Target) -> Extraction:
    """Return the program that a reply offers, and how it was found.

    Args:
        reply: The reply.
        target: What it has to define.
    """
    visible = without_thoughts(reply)
    if visible is None or not visible.strip():
        return Extraction(None, "empty")
    broken = Extraction(None, "none")
    for piece in pieces(visible):
        for rule, source in _offers(piece, target):
            if not rule.startswith(_BROKEN):
                return Extraction(source, rule)
            broken = broken if broken.parsed else Extraction(source, rule)
    return broken


def _offers(text: str, target: Target) -> Iterator[tuple[str, str]]:
    """Yield the programs of a text, best first, with the rule that found them; what is no program comes as broken."""
    whole = _defining(text, target, whole=True)
    if whole is not None:
        yield "reply", whole
    yield from _from_fences([block for block in fenced_blocks(text) if block.strip()], target)
    yield from _from_text(without_prompts(text), target)


def _from_fences(blocks: list[str], target: Target) -> Iterator[tuple[str, str]]:
    for number in reversed(range(len(blocks))):
        source = _defining(blocks[number], target)
        if source is not None:
            earlier = [block for block in blocks[:number] if _only_defines(block, target)]
            yield "fence", "\n\n".join([*earlier, source])
    for number in reversed(range(len(blocks))):
        source = _with_header(blocks[number], target)
        if source is not None:
            earlier = [block for block in blocks[:number] if _only_defines(block, target)]
            yield "fenced_body", "\n\n".join([*earlier, source])
    broken = [block for block in blocks if _mentions(block, target)]
    if broken:
        yield "broken_fence", broken[-1]


def _from_text(text: str, target: Target) -> Iterator[tuple[str, str]]:
    lines = text.splitlines()
    offers = ["\n".join(lines[start:]) for start in _starts(lines)]
    for offer in offers:
        source = _defining(offer, target)
        if source is not None:
            yield "prose", source
    source = _with_header(text, target)
    if source is not None:
        yield "body", source
    broken = [offer for offer in offers if _mentions(offer, target)]
    if broken:
        yield "broken_code", broken[0]


def _starts(lines: list[str]) -> list[int]:
    """Return the lines that a program may begin with."""
    return [number for number, line in enumerate(lines) if _STATEMENT.match(line)][:_MOST_STARTS]


def _defining(text: str, target: Target, *, whole: bool = False) -> str | None:
    """Return the longest beginning of a text that is a program and defines the entry point."""
    kept = text if whole else _readable_beginning(text)
    tree = parsed(kept) if kept else None
    return kept.strip("\n") if tree and defines(tree, target.entry_point) else None


def _readable_beginning(text: str, above: str = "") -> str:
    """Return the lines of a text up to where it stops being a program.

    Args:
        text: The text.
        above: Lines that stand before it.
    """
    lines = text.splitlines()
    head = above.count("\n") + 1 if above else 0
    for _ in range(_MOST_CUTS):
        try:
            parse("\n".join([above, *lines] if above else lines))
        except SyntaxError as error:
            cut = min((error.lineno or 0) - 1 - head, len(lines) - 1)
            if cut <= 0:
                return ""
            lines = lines[:cut]
        except UNREADABLE:
            return ""
        else:
            return "\n".join(lines)
    return ""


def _with_header(body: str, target: Target) -> str | None:
    """Return the prompt's header with a bare body attached, if the body is one: it has to return something."""
    if not target.header:
        return None
    dedented = textwrap.dedent(body)
    forms = [body, textwrap.indent(dedented, "    "), textwrap.indent("    " + body.lstrip(), "")]
    for form in forms:
        kept = _readable_beginning(form.strip("\n"), target.header)
        tree = parsed(f"{target.header}\n{kept}") if kept.strip() else None
        own = next(
            (node for node in (tree.body if tree else []) if getattr(node, "name", "") == target.entry_point), None
        )
        if own is not None and any(isinstance(node, ast.Return | ast.Yield | ast.YieldFrom) for node in ast.walk(own)):
            return f"{target.header}\n{kept}".strip("\n")
    return None


def defines(tree: ast.Module, name: str | None) -> bool:
    """Tell whether a program defines a name, or any function when no name is given."""
    return any(name in names if name else names for names in map(_names, _top_level(tree.body)))


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _top_level([*node.body, *node.orelse])


def _names(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
            return {name}
        case ast.ImportFrom(names=aliases):
            return {alias.asname or alias.name for alias in aliases}
    return set()


def _only_defines(block: str, target: Target) -> bool:
    """Tell whether a block only imports and defines, and leaves the entry point to others."""
    tree = parsed(block)
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    if tree is None or not tree.body or not all(isinstance(node, allowed) for node in tree.body):
        return False
    return target.entry_point is None or not defines(tree, target.entry_point)


def _mentions(text: str, target: Target) -> bool:
    name = r"\w+" if target.entry_point is None else re.escape(target.entry_point)
    return re.search(rf"\b(?:def|class)\s+{name}\b|\b{name}\s*=", text) is not None
