"""The lines of a stream: bounded in length, with their byte offsets and absolute numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from retro_cli.corpus import reading
from retro_cli.corpus.reading import Reading
from retro_cli.corpus.streams import blocks, open_stream
from retro_cli.errors import UnreadableInput

_BOM = b"\xef\xbb\xbf"


class Lines:
    """Iterates over the lines that begin in a slice, with their line ends.

    While a line is in the consumer's hands, ``offset`` is where it begins. A line longer than
    MAX_RECORD comes cut to one byte more than that; ``check`` refuses it.
    """

    def __init__(self, work: Reading, stream: BinaryIO) -> None:
        self._work = work
        self._stream = stream
        self._index = -1  # of the current line in this slice
        self._before: int | None = 0 if work.piece.start == 0 else None
        self._first = 0
        self.offset = work.piece.start

    def __iter__(self) -> Iterator[bytes]:
        stop = self._work.piece.stop
        limit = reading.MAX_RECORD + 1
        readline = self._stream.readline
        self._align()
        while stop is None or self.offset < stop:
            self._index += 1
            line = readline(limit)
            if not line:
                return
            size = len(line)
            if size == limit and line[-1] != 10:
                size += self._skip_line()
            yield line.removeprefix(_BOM) if self.offset == 0 else line
            self.offset += size

    def _align(self) -> None:
        """Go to the first line that begins at ``start`` or after it."""
        start = self._work.piece.start
        if start:
            self._stream.seek(start - 1)
            self.offset = start - 1 + self._skip_line()
        self._first = self.offset

    def _skip_line(self) -> int:
        skipped = 0
        while rest := self._stream.readline(1 << 20):
            skipped += len(rest)
            if rest[-1] == 10:
                break
        return skipped

    def number(self) -> int:
        """The current line's number in the file, from 1. Counts what lies before only now."""
        if self._before is None:
            self._before = count_lines(self._work, self._first)
        return self._before + self._index + 1

    def check(self, line: bytes) -> bytes:
        if len(line) > reading.MAX_RECORD:
            raise UnreadableInput(f"a line of more than {reading.MAX_RECORD >> 20} MiB")
        return line


def count_lines(work: Reading, stop: int) -> int:
    """How many line ends the first ``stop`` bytes of an uncompressed file hold."""
    count = 0
    with open_stream(work.file) as stream:
        for block in blocks(stream):
            count += block[:stop].count(b"\n")
            stop -= len(block)
            if stop <= 0:
                break
    return count
