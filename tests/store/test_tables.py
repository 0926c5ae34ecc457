"""Parquet tables, some rows at a time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retro_cli.errors import IntegrityError
from retro_cli.store.tables import read_batches

GROUP = 4096


def _table_of_digests(path: Path, groups: int) -> None:
    """Hashes, because they do not compress."""
    with pq.ParquetWriter(path, pa.schema([("sha256", pa.string())])) as writer:
        for group in range(groups):
            digests = [hashlib.sha256(b"%d %d" % (group, row)).hexdigest() for row in range(GROUP)]
            writer.write_table(pa.table({"sha256": digests}))


def test_memory_while_a_table_is_read_does_not_grow_with_it(tmp_path: Path) -> None:
    most = {}
    for groups in (4, 64):
        path = tmp_path / f"{groups}.parquet"
        _table_of_digests(path, groups)
        before = pa.total_allocated_bytes()
        rows, peak = 0, 0
        for batch in read_batches(path, GROUP):
            rows += len(batch)
            peak = max(peak, pa.total_allocated_bytes() - before)
        assert rows == groups * GROUP
        most[groups] = peak
    assert most[64] < 1.5 * most[4]


@pytest.mark.parametrize("rows", [100, GROUP, 10 * GROUP])
def test_batches_hold_every_row_in_order_and_no_more_than_asked_for(
    tmp_path: Path, rows: int
) -> None:
    path = tmp_path / "table.parquet"
    _table_of_digests(path, 3)
    batches = list(read_batches(path, rows))
    assert max(map(len, batches)) <= rows
    assert pa.Table.from_batches(batches) == pq.read_table(path)


def test_a_table_without_rows_has_no_batches(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    _table_of_digests(path, 0)
    assert sum(map(len, read_batches(path, 10))) == 0


def test_what_is_no_table_is_an_integrity_error(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(IntegrityError, match="cannot be read"):
        list(read_batches(path, 10))
