"""The lines of a text file that somebody else wrote, or of standard input as they arrive."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import BinaryIO

from retro_cli.corpus.streams import MAGIC, decompressed
from retro_cli.errors import InputNotFound, UnreadableInput, UsageError

STDIN = "-"
_HINT = "a file of lines in UTF-8, plain or compressed"
_LONGEST = max(map(len, MAGIC.values()))


def called(name: str) -> str:
    """How messages name an input."""
    return "standard input" if name == STDIN else name


def numbered_lines(name: str, *, every: bool = False) -> Iterator[tuple[int, str]]:
    """(number, line without its end) of each line that is not blank; a file may be compressed.

    every: also of blank lines, and of what is not UTF-8, its bytes being lone surrogates. Raises
    InputNotFound at once for what cannot be opened; while it is read, for what cannot be read, and
    UsageError for what is not UTF-8.
    """
    if name == STDIN and sys.stdin is None:
        raise InputNotFound("standard input is closed", _HINT)
    try:
        raw = open(sys.stdin.fileno() if name == STDIN else name, "rb", closefd=name != STDIN)  # noqa: SIM115
    except OSError as error:
        raise _unreadable(name, error) from error
    return _read(raw, name, every)


def _read(raw: io.BufferedReader, name: str, every: bool) -> Iterator[tuple[int, str]]:
    errors = "surrogateescape" if every else "strict"
    try:
        with io.TextIOWrapper(_plain(raw, name), encoding="utf-8-sig", errors=errors) as lines:
            for number, line in enumerate(lines, 1):
                if every or line.strip():
                    yield number, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x}, {error.reason}"
        raise UsageError(f"{called(name)} is not UTF-8 ({byte})", "convert it first") from error
    except (OSError, UnreadableInput) as error:
        raise _unreadable(name, error) from error


def _plain(raw: io.BufferedReader, name: str) -> BinaryIO:
    """The bytes, decompressed if their beginning says so; what is piped in is not waited for."""
    head = b"" if name == STDIN else raw.peek(_LONGEST)
    return decompressed(raw, next((kind for kind, m in MAGIC.items() if head.startswith(m)), ""))


def _unreadable(name: str, error: OSError | UnreadableInput) -> InputNotFound:
    if isinstance(error, FileNotFoundError):
        return InputNotFound(f"no file {name}", _HINT)
    why = error.strerror if isinstance(error, OSError) else error
    return InputNotFound(f"{called(name)} cannot be read ({why})", _HINT)
