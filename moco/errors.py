"""Errors that a user can cause: one line with what is wrong, where, and what to do."""

from collections.abc import Mapping


class MocoError(Exception):
    """A problem that is reported as one line, without a traceback.

    Args:
        what: What is wrong.
        where: File, key or object that it concerns.
        remedy: What the user can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        head = f"{where}: {what}" if where else what
        super().__init__(" ".join(f"{head}; {remedy}".split()) if remedy else " ".join(head.split()))


class RequestError(MocoError):
    """The request was wrong (configuration, arguments, data): exit code 2."""

    exit_code = 2


class WorkError(MocoError):
    """The request was right, but the work failed (hardware, damaged file): exit code 1."""

    exit_code = 1


class Unreplied(WorkError):
    """Some requests got no reply, and no further attempt is made; the others did.

    Attributes:
        reasons: Why, by key of the request.
    """

    def __init__(self, what: str, reasons: Mapping[str, str], *, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.reasons = reasons


class FailedInput(WorkError):
    """An input is itself a recorded failure; what is made from it is recorded as failed too."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
