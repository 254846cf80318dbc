"""What a plan is asked again and again, for job after job: worked out once."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

_Self = TypeVar("_Self")
_Asked = ParamSpec("_Asked")
_Found = TypeVar("_Found")


def remembered(method: Callable[Concatenate[_Self, _Asked], _Found]) -> Callable[Concatenate[_Self, _Asked], _Found]:
    """Return a method that works out what it returns once for equal arguments, and forgets it with its object.

    For methods of what never changes, such as a study; callers leave what they get as it is.
    """
    kept = f"_{method.__name__}_by_arguments"

    @wraps(method)
    def looked_up(self: _Self, /, *asked: _Asked.args, **named: _Asked.kwargs) -> _Found:
        assert not named
        known: dict[Any, _Found] = self.__dict__.setdefault(kept, {})
        if asked not in known:
            known[asked] = method(self, *asked, **named)
        return known[asked]

    return looked_up
