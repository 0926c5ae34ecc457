"""Small Parquet tables, read whole. Unlike ``pq.read_table`` this does not import the dataset
machinery, which would cost a cold query 50 ms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from retro_cli.errors import IntegrityError


def read_columns(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The named columns of a file (all of them by default). Raises IntegrityError."""
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            return file.read(columns=list(columns) if columns is not None else None)
    except (OSError, pa.ArrowException) as error:
        raise IntegrityError(
            f"{path} cannot be read ({error})", "run retro chunk with the same inputs to mend it"
        ) from error
