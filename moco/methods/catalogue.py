"""Finds methods: every module below `moco/methods/<level>/`, and plug-ins by entry point."""

import pkgutil
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pydantic import ValidationError

from moco import methods
from moco.config.problems import InvalidStudy, Problem, problems_of
from moco.errors import MocoError, RequestError
from moco.methods.base import LEVELS, METHODS, Method, PoolInfo
from moco.registry import fault

_ANY_SIZE = 2  # of a pool


@cache
def _import_all() -> None:
    for level in LEVELS:
        package = import_module(f"{methods.__name__}.{level}")
        for module in pkgutil.iter_modules(package.__path__):
            name = f"{package.__name__}.{module.name}"
            METHODS.load(name, partial(import_module, name))


@cache
def _import_one(id: str) -> None:
    """Import the file that a method's id names, so that a plan reads no more of them than its study has methods."""
    level, _, name = id.partition("_")
    module = f"{methods.__name__}.{level}.{name}"
    if level in LEVELS and name.isidentifier() and find_spec(module) is not None:
        METHODS.load(module, partial(import_module, module))


def method_ids() -> tuple[str, ...]:
    """Return the ids of all methods."""
    _import_all()
    return tuple(METHODS)


def broken_modules() -> dict[str, str]:
    """Return the modules that should hold methods but cannot be imported, with what is wrong.

    Raises:
        RequestError: Two methods have one id.
    """
    for id in method_ids():
        if id in METHODS.collisions:
            raise METHODS.collisions[id]
    return dict(METHODS.broken)


def method_class(id: str, *, where: str = "") -> type[Method]:
    """Return a method by id.

    Raises:
        RequestError: There is none.
    """
    _import_one(id)
    if id not in METHODS:
        _import_all()
    return METHODS.get(id, where=where)


def make_method(id: str, params: dict[str, Any], *, where: str = "") -> Method:
    """Return a method with checked settings.

    Raises:
        RequestError: The method is unknown, or cannot say what it needs.
        InvalidStudy: Settings are wrong; it carries all mistakes.
    """
    cls = method_class(id, where=where)
    try:
        settings = cls.Params.model_validate(params)
    except ValidationError as error:
        hint = f"see `moco methods {id}`"
        found = [
            Problem(".".join(filter(None, (where, each.key))), each.what, f"{each.remedy}; {hint}".removeprefix("; "))
            for each in problems_of(cls.Params, error)
        ]
        raise InvalidStudy(found, "") from None
    try:
        made = cls(settings)
        made.needs(PoolInfo.of_size(_ANY_SIZE))
    except MocoError:
        raise
    except Exception as error:
        raise RequestError(
            f"method {id} fails ({fault(error)})", where=where, remedy=f"correct {cls.__module__}"
        ) from error
    return made
