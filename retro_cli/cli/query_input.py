"""What ``retro query`` is asked, from files and from standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from retro_cli.errors import InputNotFound, UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_QUERIES_HINT = "one query a line, or JSON lines, in UTF-8"


def load_vectors(path: Path) -> npt.NDArray[np.float32]:
    """(n, dim) unit rows. Raises UsageError for what is no file of finite numbers."""
    import numpy as np

    hint = "give a .npy file of numbers, of shape (n, dim)"
    try:
        with path.open("rb") as file:
            found = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputNotFound(f"{path} cannot be read ({why})", hint) from error
    if found.dtype.kind not in "iuf":
        raise UsageError(f"{path} holds values of type {found.dtype}", hint)
    with np.errstate(over="ignore"):
        matrix = np.atleast_2d(found).astype(np.float32)
        norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise UsageError(f"{path} holds a vector that is zero or not finite", "check the vectors")
    unit: npt.NDArray[np.float32] = matrix / norms
    return unit


def read_queries(name: str) -> Iterator[tuple[str, str]]:
    """(id, text) of each line of a file, or of standard input (``-``), read as it arrives.

    A file that cannot be opened is told at once, before anything is written.
    """
    piped = name == "-"
    called = "standard input" if piped else name
    if piped and sys.stdin is None:
        raise InputNotFound("standard input is closed", _QUERIES_HINT)
    try:
        lines = open(sys.stdin.fileno() if piped else name, encoding="utf-8-sig", closefd=not piped)  # noqa: SIM115
    except OSError as error:
        raise _unreadable(called, error) from error
    return _read(lines, called)


def _read(lines: TextIO, name: str) -> Iterator[tuple[str, str]]:
    try:
        with lines:
            yield from _parsed(lines, name)
    except OSError as error:
        raise _unreadable(name, error) from error
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x}, {error.reason}"
        raise UsageError(f"{name} is not UTF-8 ({byte})", "convert it first") from error


def _unreadable(name: str, error: OSError) -> InputNotFound:
    if isinstance(error, FileNotFoundError):
        return InputNotFound(f"no file {name}", _QUERIES_HINT)
    return InputNotFound(f"{name} cannot be read ({error.strerror})", _QUERIES_HINT)


def _parsed(lines: Iterable[str], name: str) -> Iterator[tuple[str, str]]:
    for number, raw in enumerate(lines, 1):
        words = raw.strip()
        if not words:
            continue
        if not words.startswith("{"):
            yield str(number), words
            continue
        try:
            value = json.loads(words)
        except ValueError as error:
            raise UsageError(f"{name}, line {number}: {error}", "one JSON object a line") from error
        text = next((value[f] for f in ("text", "question", "query") if value.get(f)), None)
        if not isinstance(text, str):
            raise UsageError(f"{name}, line {number}: no text", "a query needs a field 'text'")
        named = (value[f] for f in ("_id", "id") if value.get(f) not in (None, ""))
        yield str(next(named, number)), text
