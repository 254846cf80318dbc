"""Source hashes: a job reruns when the code that decides its result changes, and not for comments or layout."""

import ast
import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]
HASHED_PACKAGES = (
    *("moco.prompts", "moco.decoding", "moco.merging", "moco.training", "moco.scoring", "moco.evolution"),
    *(f"moco.methods.{level}" for level in ("api", "text", "logit", "weight", "control", "shared")),
)
"""Packages whose code decides results. All others carry them: contexts, jobs, the store, records, configuration.

They count wherever they are imported; a module that a stage names itself (`moco.jobs.mix`) counts anyway.
"""


_LEFT_OUT = frozenset({"kind", "type_comment"})
_WITH_DOCSTRINGS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def syntax_digest(source: str) -> str:
    """Return a digest of a module's syntax tree.

    Positions, comments, docstrings and layout do not count, nor do fields that only some Python versions have.
    """
    return _digest(ast.parse(source), [])


def _digest(tree: ast.AST, imports: list[ast.Import | ast.ImportFrom]) -> str:
    return hashlib.sha256(_walk(tree, imports).encode()).hexdigest()


def _walk(node: Any, imports: list[ast.Import | ast.ImportFrom]) -> str:
    """Return the canonical form of a node, and add the imports within to a list: a second walk would take as long."""
    if isinstance(node, list):
        return f"[{','.join([_walk(item, imports) for item in node])}]"
    name = type(node).__name__
    if not isinstance(node, ast.AST):
        return f"{name}:{node!r}"
    if isinstance(node, ast.Import | ast.ImportFrom):
        imports.append(node)
    parts = []
    for field in node._fields:
        value = getattr(node, field, None)
        if value is None or value == [] or field in _LEFT_OUT:
            continue
        if field == "body" and isinstance(node, _WITH_DOCSTRINGS) and _is_docstring(value[0]):
            value = value[1:]
        parts.append(f"{field}={_walk(value, imports)}")
    return f"{name}({','.join(parts)})"


def _is_docstring(first: ast.stmt) -> bool:
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _imported(imports: Iterable[ast.Import | ast.ImportFrom], module: str) -> set[str]:
    """Return the dotted names that a module imports, wherever in it, names of packages and of their members."""
    names: set[str] = set()
    for node in imports:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        else:
            base = node.module or ""
            if node.level:
                parent = module.rsplit(".", node.level)[0]
                base = f"{parent}.{base}" if base else parent
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


@cache
def _file_of(module: str) -> Path | None:
    if module.partition(".")[0] == _PACKAGE.name:
        stem = _PACKAGE.parent.joinpath(*module.split("."))
        return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)
    try:
        spec = importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _is_hashed(module: str, own: frozenset[str]) -> bool:
    if module.partition(".")[0] in own:
        return True
    return any(module == package or module.startswith(f"{package}.") for package in HASHED_PACKAGES)


@cache
def _own_packages(package: str) -> frozenset[str]:
    """Return the top-level packages of the distribution that a plug-in's package belongs to; none for `moco` itself."""
    if package == _PACKAGE.name:
        return frozenset()
    known = importlib.metadata.packages_distributions()
    mine = set(known.get(package, ()))
    return frozenset({package, *(name for name, owners in known.items() if mine & set(owners))})


@cache
def _summary(source: str, module: str) -> tuple[str, frozenset[str]]:
    """Return a module's digest and what it imports."""
    imports: list[ast.Import | ast.ImportFrom] = []
    return _digest(ast.parse(source), imports), frozenset(_imported(imports, module))


def source_hash(*modules: str) -> str:
    """Return the hash of modules and, transitively, of what they import that decides results.

    That is `HASHED_PACKAGES` and, for a plug-in, all packages of its own distribution.
    """
    own = frozenset(name for module in modules for name in _own_packages(module.partition(".")[0]))
    pending, files = list(modules), {}
    while pending:
        module = pending.pop()
        path = _file_of(module)
        if module in files or path is None:
            continue
        files[module], imported = _summary(path.read_text(encoding="utf-8"), module)
        pending.extend(name for name in imported if _is_hashed(name, own))
    listing = ",".join(f"{module}:{files[module]}" for module in sorted(files))
    return hashlib.sha256(listing.encode()).hexdigest()[:16]
