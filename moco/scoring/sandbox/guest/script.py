"""A program under the original's rules: its exit status and its error output decide, whatever it does to get there."""

import builtins
import os
import random
import sys
import types
from pathlib import Path
from typing import Any

from .confine import confine, forget_harness, read_order

_REFUSED = ("socket.", "subprocess.")


def _watch(folder: str) -> None:
    """Refuse sockets, subprocesses and files outside the folder, as the original's audit hook does."""
    places = (folder, sys.base_prefix, sys.base_exec_prefix, str(Path(os.__file__).parent))
    readable = tuple(f"{os.path.realpath(place)}/" for place in places)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_REFUSED) or event in ("os.system", "os.posix_spawn"):
            raise PermissionError(f"{event} is not allowed")
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith(readable):
                raise PermissionError(f"no access to {path}")

    sys.addaudithook(hook)


def main() -> None:
    """Run one program as the main module."""
    order = read_order()
    confine(order["limits"])
    forget_harness()
    folder = Path.cwd()
    path = folder / "solution.py"
    path.write_text(order["source"], encoding="utf-8", errors="surrogatepass")
    sys.path.insert(0, str(folder))
    sys.argv = [str(path)]
    import _sitebuiltins

    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D")
    random.seed(0)
    os.write(order["ready"], b"1")
    os.close(order["ready"])
    _watch(str(folder))
    module = types.ModuleType("__main__")
    module.__dict__.update({"__file__": str(path), "sys": sys, "os": os})
    sys.modules["__main__"] = module
    exec(compile(order["source"], str(path), "exec", dont_inherit=True), module.__dict__)
