"""Small Parquet tables, read whole. Unlike ``pq.read_table`` this does not import the dataset
machinery, which would cost a cold query 50 ms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def read_columns(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The named columns of a file (all of them by default), memory-mapped while reading."""
    with pq.ParquetFile(path, memory_map=True) as file:
        return file.read(columns=list(columns) if columns is not None else None)
