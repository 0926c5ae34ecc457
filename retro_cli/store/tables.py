"""Parquet tables, read whole or some rows at a time. Unlike ``pq.read_table`` this does not import
the dataset machinery, which would cost a cold query 50 ms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from retro_cli.errors import IntegrityError
from retro_cli.store.here import in_blocks

DAMAGE = (OSError, pa.ArrowException, ValueError, LookupError, TypeError, MemoryError)
_BUFFER = 1 << 18  # bytes of a column that are read at once


def open_parquet(path: Path) -> pq.ParquetFile:
    """A file mapped into memory, or what is read of a remote one. Raises OSError, ArrowException,
    and what fetching it does."""
    file = in_blocks(path)
    if file is None:
        return pq.ParquetFile(path, memory_map=True)
    return pq.ParquetFile(pa.PythonFile(file, mode="r"), pre_buffer=True)


def read_columns(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The named columns of a file (all of them by default). Raises IntegrityError."""
    with readable(path), open_parquet(path) as file:
        return file.read(columns=list(columns) if columns is not None else None)


def read_batches(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    """All columns of a file, at most ``rows`` rows at a time, in memory that does not grow with
    the file. Raises IntegrityError.
    """
    source = in_blocks(path) or path
    with readable(path), pq.ParquetFile(source, buffer_size=_BUFFER) as file:
        for group in range(file.num_row_groups):  # Arrow fetches all groups that it is asked for
            yield from file.iter_batches(batch_size=rows, row_groups=[group])


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Around what reads a table that retro wrote. Raises IntegrityError for any damage to it, which
    also shows as columns, rows or characters that are not there, or as sizes that no memory has."""
    try:
        yield
    except DAMAGE as error:
        raise IntegrityError(
            f"{path} cannot be read ({error})", "run retro chunk with the same inputs to mend it"
        ) from error
