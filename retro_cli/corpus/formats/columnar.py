"""Parquet and Arrow (file and stream): rows, read a batch at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from retro_cli.corpus import remote
from retro_cli.corpus.fields import Fields, Roles
from retro_cli.corpus.inputs import InputFile, Slice
from retro_cli.corpus.reading import Reading, Records
from retro_cli.corpus.streams import head_of, open_stream
from retro_cli.errors import UnreadableInput

# What pyarrow raises at damaged files; a column name may not be UTF-8, a length may be absurd.
DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError)
_ROWS = 1024  # turned into Python objects at a time


def documents(work: Reading) -> Records:
    """Position is the row number, from 0. Parquet row groups are read one by one."""
    if work.compression:
        raise UnreadableInput("a compressed Parquet or Arrow file", "decompress it first")
    fields = Fields(work.file.uri, work.options)
    with ExitStack() as opened:
        row = 0
        try:
            for start, batch in _batches(work, fields, opened):
                row = start
                if start > work.last_wanted():
                    return
                yield from _documents(work, fields, start, batch)
                row = start + batch.num_rows
        except DAMAGE as error:
            failure = _unreadable(error)
            if row == 0:
                raise failure from error
            yield work.reject(row, f"row {row}", failure)


def split_groups(file: InputFile, target_bytes: int) -> list[Slice]:
    """Runs of row groups (Parquet) or record batches (Arrow files) of about ``target_bytes``."""
    try:
        with ExitStack() as opened:
            sizes = _group_sizes(file, opened)
    except DAMAGE as error:
        raise _unreadable(error) from error
    pieces: list[Slice] = []
    start, held = 0, 0
    for i, size in enumerate(sizes):
        held += size
        if held >= target_bytes or i == len(sizes) - 1:
            pieces.append(Slice(file, start, i + 1, unit="groups", nbytes=held))
            start, held = i + 1, 0
    return pieces if len(pieces) > 1 else [Slice(file)]


def _unreadable(error: Exception) -> UnreadableInput:
    """What is wrong with a file. A failing disk or network is not: its error passes through."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return UnreadableInput(f"not readable as Parquet or Arrow: {first}")


def _group_sizes(file: InputFile, opened: ExitStack) -> list[int]:
    if _kind(file) == "parquet":
        footer = opened.enter_context(_parquet(file)).metadata
        return [footer.row_group(i).total_byte_size for i in range(footer.num_row_groups)]
    if _kind(file) == "arrow stream":
        return [file.size]
    count = _arrow_file(file, opened).num_record_batches
    return [file.size // count] * count if count else []


def _kind(file: InputFile) -> str:
    head = head_of(file)[:6]
    if head.startswith(b"PAR1"):
        return "parquet"
    return "arrow file" if head == b"ARROW1" else "arrow stream"


def _source(file: InputFile) -> Any:
    return open_stream(file) if remote.is_url(file.path) else os.fspath(file.path)


def _parquet(file: InputFile) -> pq.ParquetFile:
    return pq.ParquetFile(_source(file), buffer_size=1 << 20, pre_buffer=False)


def _arrow_file(
    file: InputFile, opened: ExitStack, fields: list[int] | None = None
) -> pa.ipc.RecordBatchFileReader:
    source = _source(file)
    handle = opened.enter_context(pa.OSFile(source) if isinstance(source, str) else source)
    options = pa.ipc.IpcReadOptions(included_fields=fields or [])
    return pa.ipc.open_file(handle, options=options)


def _batches(
    work: Reading, fields: Fields, opened: ExitStack
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(first row number, rows) of the slice."""
    kind = _kind(work.file)
    if kind == "parquet":
        return _parquet_batches(work, fields, opened)
    if kind == "arrow file":
        return _arrow_batches(work, fields, opened)
    return _stream_batches(work, fields, opened)


def _parquet_batches(
    work: Reading, fields: Fields, opened: ExitStack
) -> Iterator[tuple[int, pa.RecordBatch]]:
    file = opened.enter_context(_parquet(work.file))
    columns = _columns(file.schema_arrow, fields)
    row = 0
    for group in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if work.piece.start <= group and (work.piece.stop is None or group < work.piece.stop):
            first = row
            for batch in file.iter_batches(_ROWS, row_groups=[group], columns=columns):
                yield first, batch
                first += batch.num_rows
        row += rows


def _arrow_batches(
    work: Reading, fields: Fields, opened: ExitStack
) -> Iterator[tuple[int, pa.RecordBatch]]:
    file = _arrow_file(work.file, opened)
    names = _columns(file.schema, fields)
    row = 0
    if work.piece.start:
        counting = _arrow_file(work.file, opened, [0])  # reads one column only
        row = sum(counting.get_batch(i).num_rows for i in range(work.piece.start))
    stop = file.num_record_batches if work.piece.stop is None else work.piece.stop
    for i in range(work.piece.start, stop):
        batch = file.get_batch(i)
        yield from _cut(row, batch.select(names))
        row += batch.num_rows


def _stream_batches(
    work: Reading, fields: Fields, opened: ExitStack
) -> Iterator[tuple[int, pa.RecordBatch]]:
    stream = pa.ipc.open_stream(opened.enter_context(open_stream(work.file)))
    names = _columns(stream.schema, fields)
    row = 0
    for batch in stream:
        yield from _cut(row, batch.select(names))
        row += batch.num_rows


def _cut(row: int, batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    for start in range(0, batch.num_rows, _ROWS):
        yield row + start, batch.slice(start, _ROWS)


def _columns(schema: pa.Schema, fields: Fields) -> list[str]:
    """The columns to read: those with a role, and of the rest what can be metadata."""
    twice = [name for name in schema.names if schema.names.count(name) > 1]
    if twice:
        raise UnreadableInput(f"two columns are named {twice[0]!r}", "rename one of them")
    roles: Roles = fields.roles(schema.names)
    named = (roles.text, roles.id, roles.title, roles.source)
    return [
        name for name in schema.names if name in named or not _is_binary(schema.field(name).type)
    ]


def _is_binary(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    )


def _documents(work: Reading, fields: Fields, start: int, batch: pa.RecordBatch) -> Records:
    chosen = [i for i in range(batch.num_rows) if work.wanted(start + i)]
    if not chosen:
        return
    names = batch.schema.names
    columns = [_values(batch.column(i)) for i in range(len(names))]
    for i in chosen:
        position = start + i
        record = {name: column[i] for name, column in zip(names, columns, strict=True)}
        try:
            yield fields.document(record, position)
        except UnreadableInput as error:
            yield work.reject(position, f"row {position}", error, str(record)[:400])


def _values(column: pa.Array) -> list[Any]:
    """Python values; a string that is not valid UTF-8 stays bytes.

    The data is validated first: wrong offsets would make pyarrow read outside its buffers.
    """
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return [_decoded(value) for value in _as_bytes(column).to_pylist()]
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        values = [_value(scalar) for scalar in column]
    return values


def _as_bytes(column: pa.Array) -> pa.Array:
    """A string column as bytes. Raises ArrowInvalid if more than its UTF-8 is broken."""
    for strings, binary in (
        (pa.string(), pa.binary()),
        (pa.large_string(), pa.large_binary()),
        (pa.string_view(), pa.binary_view()),
    ):
        if column.type == strings:
            view = column.view(binary)
            view.validate(full=True)
            return view
    raise pa.ArrowInvalid("a column is damaged")


def _decoded(value: bytes | None) -> Any:
    try:
        return value if value is None else value.decode()
    except UnicodeDecodeError:
        return value


def _value(scalar: pa.Scalar) -> Any:
    """None for a date that Python has no type for."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return None
