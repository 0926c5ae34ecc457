"""Ctrl-C, from the first import to the last moment of the process.

* Before the body of a command runs there is nothing to clean up: the process ends at once.
* While it runs, Ctrl-C is a KeyboardInterrupt, for the stages to clean up after themselves.
* After it everything is said and done: Ctrl-C comes too late, and the exit code stands.

All of this is for the ``retro`` process alone: a program that uses retro keeps its own handler.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from retro_cli.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

MESSAGE = "interrupted; nothing was begun\n"
_MOMENT = 0.01  # seconds


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during work.

    A class of its own: CPython notes a plain KeyboardInterrupt that passes through an exec(), as
    the definition of every dataclass has one, and in the end dies of it though it was caught.
    """


def leave(signum: int = signal.SIGINT, frame: FrameType | None = None) -> NoReturn:
    """End the process, with one line and the exit code of an interrupted run."""
    os.write(2, MESSAGE.encode())
    os._exit(EXIT_INTERRUPTED)


def leave_until_work_begins() -> None:
    """Unless Ctrl-C is ignored, as a shell has it for what runs in the background."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)


@contextmanager
def heard_by_work() -> Iterator[None]:
    """Ctrl-C raises Interrupted inside, and does nothing afterwards."""
    ours = signal.getsignal(signal.SIGINT) is leave
    if ours:
        sys.unraisablehook = _raise_later
        signal.signal(signal.SIGINT, _raise)
    try:
        yield
    finally:
        if ours:
            come_too_late()


def come_too_late() -> None:
    """Everything is said: from here on Ctrl-C does nothing, if it was ours."""
    if signal.getsignal(signal.SIGINT) in (leave, _raise):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _raise(signum: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted


def _raise_later(lost: UnraisableHookArgs) -> None:
    """Ctrl-C may fall into a callback that cannot raise; imports have many. Then try again."""
    if lost.exc_type is Interrupted:
        signal.signal(signal.SIGALRM, _raise)
        signal.setitimer(signal.ITIMER_REAL, _MOMENT)
    else:
        sys.__unraisablehook__(lost)
