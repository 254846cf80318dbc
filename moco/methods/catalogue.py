"""Finds methods: every module below `moco/methods/<level>/`, and plug-ins by entry point."""

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from moco import methods
from moco.errors import RequestError
from moco.methods.base import LEVELS, METHODS, Method


@cache
def _import_all() -> None:
    for level in LEVELS:
        package = import_module(f"{methods.__name__}.{level}")
        for module in pkgutil.iter_modules(package.__path__):
            import_module(f"{package.__name__}.{module.name}")


def method_ids() -> tuple[str, ...]:
    """Return the ids of all methods."""
    _import_all()
    return tuple(METHODS)


def method_class(id: str, *, where: str = "") -> type[Method]:
    """Return a method by id.

    Raises:
        RequestError: There is none.
    """
    _import_all()
    return METHODS.get(id, where=where)


def make_method(id: str, params: dict[str, Any], *, where: str = "") -> Method:
    """Return a method with checked settings.

    Raises:
        RequestError: The method is unknown, or a setting is.
    """
    cls = method_class(id, where=where)
    try:
        return cls(cls.Params.model_validate(params))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RequestError(
            first["msg"], where=".".join(filter(None, (where, key))), remedy=f"see `moco methods {id}`"
        ) from None
