"""What goes wrong in a server, and as which HTTP status it is told."""

from __future__ import annotations

import errno
from typing import Any

from retro_cli.errors import (
    FULL,
    DiskFull,
    EndpointError,
    IntegrityError,
    LockedError,
    MissingExtra,
    NotBuiltYet,
    RetroError,
    UsageError,
)


class Refused(RetroError):
    """A request that is not answered, and the status that says so."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


class Busy(Refused):
    def __init__(self) -> None:
        super().__init__(503, "too many requests are waiting", "try again in a moment")


class TooSlow(Refused):
    def __init__(self, seconds: float) -> None:
        super().__init__(504, f"no answer within {seconds:g} seconds", "ask for less")


# The first that fits counts.
_STATUSES: tuple[tuple[type[RetroError], int], ...] = (
    (MissingExtra, 501),
    (NotBuiltYet, 409),
    (UsageError, 400),
    (LockedError, 423),
    (DiskFull, 507),
    (EndpointError, 502),
    (IntegrityError, 500),
)


def status_of(error: Exception) -> int:
    """The HTTP status of what ended a request."""
    if isinstance(error, Refused):
        return error.status
    if isinstance(error, OSError) and error.errno in FULL:
        return 507
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def told(error: Exception) -> dict[str, Any]:
    """What a client is told. Of a defect no more than that there is one: the log has the rest."""
    if isinstance(error, RetroError):
        return {"error": error.message, "hint": error.hint}
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return {"error": "no space left on the server's disk", "hint": ""}
    return {"error": "the server failed", "hint": "its log says why"}
