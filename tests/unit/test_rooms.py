"""Arrows between the packages of `moco` run one way."""

import ast
from pathlib import Path

import moco

LAYERS = (
    {"errors", "registry", "digest", "home", "locks", "seeds", "devices", "progress", "generated", "paths"},
    {"config", "records", "scoring.assertions"},
    {"tasks", "prompts", "scoring", "zoo"},
    {"models"},
    {"store", "engines", "decoding", "bundle", "fetching"},
    {"training", "merging", "evolution"},
    {"methods"},
    {"jobs"},
    {"workflow", "machine"},
    {"analysis", "zoo.build", "zoo.shape"},
    {"cli", "terminal", "project"},
)
"""From the bottom to the top: a package imports from its own layer and from those below it."""

ROOT = Path(moco.__file__).parent


def modules() -> dict[str, Path]:
    """Return the dotted names of all modules, without `moco.`, and their files."""
    names = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(part for part in parts if part != "__init__")] = path
    return names


def imported(path: Path, known: set[str]) -> set[str]:
    """Return the modules below `moco` that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:  # relative ones stay in their package
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {member for member in members if member.removeprefix("moco.") in known} or {node.module}
    return {name.removeprefix("moco.") for name in found if name.startswith("moco.")} & known


def layer(module: str) -> int | None:
    """Return the layer of a module: that of its longest listed name; None for the package itself and its entry."""
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((number for name in names for number, rooms in enumerate(LAYERS) if name in rooms), None)


def test_every_module_belongs_to_a_layer():
    assert {name for name in modules() if layer(name) is None} == {"", "__main__"}


def test_no_module_imports_from_a_layer_above():
    found = modules()
    upward = {
        f"{name} imports {other}"
        for name, path in found.items()
        if layer(name) is not None
        for other in imported(path, set(found))
        if layer(other) is not None and layer(other) > layer(name)
    }
    assert upward == set()


def test_a_new_arrow_upward_is_found(tmp_path):
    path = tmp_path / "store.py"
    path.write_text("def late():\n    from moco.cli import main\n")
    assert imported(path, set(modules())) == {"cli"}
    assert layer("cli") > layer("store.shard")
