"""CSV and TSV with a header, and MS MARCO's collection.tsv (id, tab, passage; no header)."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from retro_cli.corpus import reading
from retro_cli.corpus.encoding import decode, glance
from retro_cli.corpus.fields import ID, TEXT, Fields
from retro_cli.corpus.lines import Lines
from retro_cli.corpus.reading import Reading, Records
from retro_cli.errors import UnreadableInput
from retro_cli.wording import counted

MAX_FIELD = 1 << 26  # characters in one field: more is a quote that never closes
_DELIMITERS = ",;\t|"
_SAMPLE = 20  # records that decide about the delimiter
_ID = re.compile(r"[\w.:#/-]{1,100}")


def documents(work: Reading) -> Records:
    if is_collection(work):
        return _collection(work)
    return _table(work)


def head_lines(work: Reading) -> list[str]:
    """The complete lines of the file's head, decoded, for looking only."""
    encoding = work.encoding()
    text = glance(work.head(), encoding)
    lines = text.splitlines(keepends=True)
    return lines[:-1] if len(lines) > 1 and not text.endswith(("\n", "\r")) else lines


def is_collection(work: Reading) -> bool:
    """Whether a file is MS MARCO's form: each line an id, one tab and a passage, no header."""
    lines = [line for line in head_lines(work)[:_SAMPLE] if line.strip()]
    pairs = [line.rstrip("\r\n").split("\t") for line in lines]
    if not pairs or not all(len(pair) == 2 and _ID.fullmatch(pair[0]) for pair in pairs):
        return False
    names = {name.strip().lower() for name in pairs[0]}
    return names.isdisjoint(ID) and names.isdisjoint(TEXT)


def _collection(work: Reading) -> Records:
    fields = Fields(work.file.uri, work.options)
    last = work.last_wanted()
    stream, encoding = work.open_lines()
    with stream:
        lines = Lines(work, stream)
        try:
            for line in lines:
                position = lines.offset
                if position > last:
                    return
                if not work.wanted(position) or not line.strip():
                    continue
                try:
                    text = decode(lines.check(line), encoding, position).rstrip("\r\n")
                    key, tab, passage = text.partition("\t")
                    if not tab:
                        raise UnreadableInput("no tab between id and passage")
                    yield fields.document({"id": key, "text": passage}, position)
                except UnreadableInput as error:
                    yield work.reject(position, f"line {lines.number()}", error, line)
        except UnreadableInput as error:
            yield work.reject(lines.offset, f"line {lines.number()}", error)


def _table(work: Reading) -> Records:
    """Rows are records; the byte where a row begins is its position."""
    csv.field_size_limit(MAX_FIELD)
    fields = Fields(work.file.uri, work.options)
    last = work.last_wanted()
    delimiter = sniff_delimiter(head_lines(work), "\t" if work.options.format == "tsv" else ",")
    stream, encoding = work.open_lines()
    with stream:
        lines = _RowLines(work, stream, encoding)
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        header = _read_header(rows)
        fields.roles(header)
        while not lines.broken:
            lines.begin_row()
            try:
                row = next(rows, None)
            except (UnreadableInput, csv.Error) as error:
                if work.wanted(lines.offset) or lines.broken:
                    yield work.reject(
                        lines.offset, lines.where(), _as_unreadable(error), lines.first
                    )
                lines.resume_after_first()
                continue
            if row is None or lines.offset > last:
                return
            if not row or not work.wanted(lines.offset):
                continue
            try:
                yield fields.document(_record(header, row), lines.offset)
            except UnreadableInput as error:
                yield work.reject(lines.offset, lines.where(), error, lines.first)


def _as_unreadable(error: Exception) -> UnreadableInput:
    return error if isinstance(error, UnreadableInput) else UnreadableInput(f"broken row: {error}")


class _RowLines:
    """Feeds the lines of a file to ``csv.reader``, which takes as many as a row has.

    It remembers where the row in hand begins. A row that turns out broken (a quote that never
    closes, say) gives all its lines but the first back, so that only the first is lost.
    """

    def __init__(self, work: Reading, stream: BinaryIO, encoding: str) -> None:
        self._lines = Lines(work, stream)
        self._fresh = iter(self._lines)
        self._encoding = encoding
        self._taken: list[tuple[int, int, bytes]] = []  # offset, line number, bytes
        self._given_back: deque[tuple[int, int, bytes]] = deque()
        self._size = 0
        self.offset = 0
        self.broken = False  # nothing more can be read

    @property
    def first(self) -> bytes:
        return self._taken[0][2] if self._taken else b""

    def where(self) -> str:
        return f"line {self._taken[0][1] if self._taken else self._lines.number()}"

    def begin_row(self) -> None:
        self._taken.clear()
        self._size = 0

    def resume_after_first(self) -> None:
        self._given_back.extendleft(reversed(self._taken[1:]))

    def __iter__(self) -> _RowLines:
        return self

    def __next__(self) -> str:
        taken = self._take()
        offset, _, line = taken
        if not self._taken:
            self.offset = offset
        self._taken.append(taken)
        self._size += len(line)
        if self._size > reading.MAX_RECORD:
            raise UnreadableInput(f"a row of more than {reading.MAX_RECORD >> 20} MiB")
        return decode(line, self._encoding, offset)

    def _take(self) -> tuple[int, int, bytes]:
        if self._given_back:
            return self._given_back.popleft()
        try:
            line = next(self._fresh)
        except UnreadableInput:
            self.broken = True
            if not self._taken:
                self.offset = self._lines.offset
            raise
        return self._lines.offset, self._lines.number(), line


def _read_header(rows: Iterator[list[str]]) -> tuple[str, ...]:
    try:
        return _header(next(rows, None))
    except csv.Error as error:
        raise UnreadableInput(f"broken header row: {error}") from error


def _header(row: list[str] | None) -> tuple[str, ...]:
    if not row:
        raise UnreadableInput("has no header row")
    names = tuple(name.strip() for name in row)
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise UnreadableInput(f"two columns are named {twice[0]!r}", "rename one of them")
    return names


def _record(header: tuple[str, ...], row: list[str]) -> dict[str, str]:
    if len(row) != len(header):
        raise UnreadableInput(f"{counted(len(row), 'field')} where the header names {len(header)}")
    return dict(zip(header, row, strict=True))


def sniff_delimiter(lines: list[str], default: str) -> str:
    """The delimiter under which most of the first rows have as many fields as the header."""
    best, chosen = (0.0, 0), default
    for delimiter in _DELIMITERS:
        try:
            rows = [row for row in islice(csv.reader(lines, delimiter=delimiter), _SAMPLE) if row]
        except csv.Error:
            continue
        if not rows or len(rows[0]) < 2:
            continue
        agreement = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        if (agreement, len(rows[0])) > best:
            best, chosen = (agreement, len(rows[0])), delimiter
    return chosen
