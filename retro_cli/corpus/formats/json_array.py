"""A JSON array of records, or JSON objects one after another, read as a stream."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from retro_cli.corpus import reading
from retro_cli.corpus.encoding import undecodable
from retro_cli.corpus.fields import Fields
from retro_cli.corpus.formats.jsonl import require_object
from retro_cli.corpus.reading import Reading, Records
from retro_cli.corpus.streams import blocks
from retro_cli.errors import UnreadableInput

_NEAR_END = 16  # longer than any literal or escape that a block's end can cut in two
_SPACE = re.compile(r"[ \t\n\r\ufeff]*")
_raw_decode = json.JSONDecoder(parse_constant=lambda name: None).raw_decode


def documents(work: Reading) -> Records:
    """Position is the record's ordinal. What follows broken JSON cannot be found any more."""
    fields = Fields(work.file.uri, work.options)
    last = work.last_wanted()
    position = 0
    stream, encoding = work.open_lines()
    with stream:
        values = elements(_decoded(blocks(stream), encoding))
        while position <= last:
            try:
                value = next(values, _END)
            except UnreadableInput as error:
                yield work.reject(position, f"item {position}", error)
                return
            if value is _END:
                return
            if work.wanted(position):
                try:
                    yield fields.document(require_object(value), position)
                except UnreadableInput as error:
                    yield work.reject(position, f"item {position}", error, _shown(value))
            position += 1


_END = object()


def _shown(value: object) -> str:
    if isinstance(value, dict):
        shown = {name: v if isinstance(v, str) else type(v) for name, v in value.items()}
        return ", ".join(f"{name}: {shown[name]!s:.60}" for name in list(shown)[:10])
    return str(value)[:400] if isinstance(value, str | int | float) else type(value).__name__


def _decoded(parts: Iterable[bytes], encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    consumed = 0
    try:
        for part in parts:
            consumed += len(part)
            yield decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        yield error.object[: error.start].decode(encoding)
        raise undecodable(error, consumed - len(error.object)) from error


def elements(parts: Iterable[str]) -> Iterator[Any]:
    """The elements of a JSON array, or the values of a JSON stream, cut in any blocks.

    Memory is bounded by the largest element. Raises UnreadableInput at the first thing that is
    not JSON, and at an element of more than MAX_RECORD characters.
    """
    window = _Window(parts)
    if window.peek() == "[":
        window.take()
        yield from _array(window)
    else:
        while window.peek():
            yield window.value()


def _array(window: _Window) -> Iterator[Any]:
    """What follows an opening bracket, to the end of the file."""
    letter = window.peek()
    while letter != "]":
        yield window.value()
        letter = window.peek()
        if letter not in (",", "]"):
            raise UnreadableInput(_unexpected(letter, "',' or ']'"))
        if letter == ",":
            window.take()
    window.take()
    if letter := window.peek():
        raise UnreadableInput(_unexpected(letter, "the end of the file"))


def _unexpected(letter: str, expected: str) -> str:
    found = repr(letter) if letter else "the end of the file"
    return f"broken JSON: {found} instead of {expected}"


class _Window:
    """A sliding buffer over text; at least the value being read is in it."""

    def __init__(self, parts: Iterable[str]) -> None:
        self._parts = iter(parts)
        self._buffer = ""
        self._at = 0
        self._ended = False
        self._failure: UnreadableInput | None = None  # raised once all before it is used up

    def _more(self, wanted: int) -> None:
        """Read at least ``wanted`` further characters, if there are so many."""
        pieces = [self._buffer[self._at :]]
        while wanted > 0:
            piece = self._next_part()
            if piece is None:
                self._ended = True
                break
            pieces.append(piece)
            wanted -= len(piece)
        self._buffer, self._at = "".join(pieces), 0

    def _next_part(self) -> str | None:
        try:
            return next(self._parts, None)
        except UnreadableInput as error:
            self._failure = error
            return None

    def peek(self) -> str:
        """The next character that is not white space, or "" at the end."""
        while True:
            match = _SPACE.match(self._buffer, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return ""
            self._more(1)

    def take(self) -> None:
        self._at += 1

    def value(self) -> Any:
        """The next value. Reads on, in doubling steps, until it is complete."""
        self.peek()
        while True:
            held = len(self._buffer)
            try:
                value, end = _raw_decode(self._buffer, self._at)
                # A number at the very end of the buffer may go on in the next block.
                if self._ended or end < held - _NEAR_END or isinstance(value, dict | list | str):
                    self._at = end
                    return value
            except RecursionError as error:
                raise UnreadableInput("JSON nested too deep") from error
            except json.JSONDecodeError as error:
                broken = UnreadableInput(f"broken JSON: {error.msg}")
                if not _may_be_cut(error, held):
                    raise broken from error
                if self._ended:
                    raise (self._failure or broken) from error
            except ValueError as error:
                raise UnreadableInput(f"broken JSON: {error}") from error
            if held - self._at > reading.MAX_RECORD:
                raise UnreadableInput(f"a record of more than {reading.MAX_RECORD >> 20} MiB")
            self._more(max(held - self._at, 1))


def _may_be_cut(error: json.JSONDecodeError, held: int) -> bool:
    """Whether the error can come from the buffer's end rather than from the data."""
    return error.msg.startswith("Unterminated string") or error.pos >= held - _NEAR_END
