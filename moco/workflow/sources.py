"""Source hashes: a job reruns when the code that decides its result changes, and not for comments or layout."""

import ast
import hashlib
import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]
HASHED_PACKAGES = (
    *("moco.prompts", "moco.decoding", "moco.merging", "moco.training", "moco.scoring"),
    *(f"moco.methods.{level}" for level in ("api", "text", "logit", "weight", "control", "shared")),
)
"""Packages whose code decides results. All others carry them: contexts, jobs, the store, records, configuration.

They count wherever they are imported; a module that a stage names itself (`moco.jobs.mix`) counts anyway.
"""


def syntax_digest(source: str) -> str:
    """Return a digest of a module's syntax tree.

    Positions, comments, docstrings and layout do not count, nor do fields that only some Python versions have.
    """
    return _digest(ast.parse(source))


def _digest(tree: ast.AST) -> str:
    return hashlib.sha256(_walk(tree).encode()).hexdigest()


def _walk(node: Any) -> str:
    if isinstance(node, ast.AST):
        parts = [
            f"{name}={_walk(value)}"
            for name, value in ast.iter_fields(node)
            if name not in ("kind", "type_comment") and value is not None and value != []
            for value in [_without_docstring(node, name, value)]
        ]
        return f"{type(node).__name__}({','.join(parts)})"
    if isinstance(node, list):
        return f"[{','.join(_walk(item) for item in node)}]"
    return f"{type(node).__name__}:{node!r}"


def _without_docstring(node: ast.AST, name: str, value: Any) -> Any:
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if name != "body" or not isinstance(node, holders) or ast.get_docstring(node, clean=False) is None:
        return value
    return value[1:]


def _imported(tree: ast.AST, module: str) -> set[str]:
    """Return the dotted names that a module imports, wherever in it, names of packages and of their members."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
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
    tree = ast.parse(source)
    return _digest(tree), frozenset(_imported(tree, module))


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
