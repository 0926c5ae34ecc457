"""Every error a user can meet, in one tree. Each has a message, a hint and an exit code.

* RetroError                     1  something failed
  + UsageError                   2  the command or its options are wrong
    - InputNotFound              2  a named input does not exist, or holds nothing
    - UnreadableInput            2  an input cannot be read in the format it claims
    - ConfigError                2  retro.toml, an environment variable or a saved choice is wrong
    - EncoderMismatch            2  the vectors came from another encoder
    - DatabaseTooNew             2  written by a newer version of retro
    - NotBuiltYet                2  an earlier stage has to run first
    - MissingExtra               2  an optional package is not installed
  + IntegrityError               4  bytes on disk are not the bytes that were written
  + LockedError                  5  another process is writing to the database
  + DiskFull                     1  no space left; nothing half-written is visible
  + TrainingDiverged             1  the loss is no number any more; the last checkpoint is whole
  + EndpointError                1  a server with a language model does not answer as it should
  + RemoteError                  1  a place behind a URL cannot be reached, read or written

Two endings are not errors of their own: a run that set records or queries aside exits 3
(``EXIT_QUARANTINED``), and Ctrl-C exits 130 (``EXIT_INTERRUPTED``).
"""

from __future__ import annotations

import errno

EXIT_OK = 0
EXIT_QUARANTINED = 3
EXIT_WORK_FOUND = 3
EXIT_INTERRUPTED = 130
FULL = (errno.ENOSPC, errno.EDQUOT)  # what the system says of a disk, or a quota, that is used up


class RetroError(Exception):
    """The root of the tree: one line that says what went wrong, one that says what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # An error of a worker process reaches the parent whole, whatever its own __init__ takes.
        return _rebuilt, (type(self), self.message, self.hint)


def _rebuilt(kind: type[RetroError], message: str, hint: str) -> RetroError:
    error = kind.__new__(kind)
    RetroError.__init__(error, message, hint)
    return error


class UsageError(RetroError):
    exit_code = 2


class InputNotFound(UsageError):
    pass


class UnreadableInput(UsageError):
    pass


class ConfigError(UsageError):
    pass


class EncoderMismatch(UsageError):
    pass


class DatabaseTooNew(UsageError):
    pass


class NotBuiltYet(UsageError):
    pass


class MissingExtra(UsageError):
    def __init__(self, what: str, extra: str, *commands: str) -> None:
        """commands: what has to be run besides."""
        install = [f"pip install 'retro-cli[{extra}]'", *commands]
        super().__init__(f"{what} needs the extra '{extra}'", " && ".join(install))


class IntegrityError(RetroError):
    exit_code = 4


class LockedError(RetroError):
    exit_code = 5


class DiskFull(RetroError):
    pass


class TrainingDiverged(RetroError):
    pass


class EndpointError(RetroError):
    pass


class RemoteError(RetroError):
    pass
