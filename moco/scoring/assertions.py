"""What an assertion of a programming task calls."""

import ast
import builtins


def called_name(tree: ast.AST) -> str | None:
    """Return the outermost function that an assertion calls: one of Python's own only if it calls no other."""
    pending = [tree]
    names = []
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names.append(node.func.id)
        pending.extend(ast.iter_child_nodes(node))
    return next((name for name in names if not hasattr(builtins, name)), names[0] if names else None)
