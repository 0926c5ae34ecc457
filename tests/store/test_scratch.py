"""Rows and bytes put aside come back as they were."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.store.scratch import Scratch, SortedSpool, Spool


class Row(NamedTuple):
    name: str
    number: int

    @classmethod
    def make(cls, values: list[Any]) -> Row:
        return cls(*values)


ROWS = st.lists(st.builds(Row, st.text(max_size=3), st.integers(0, 3)), max_size=30)


def test_bytes_come_back_in_any_order_and_the_file_has_no_name(tmp_path):
    scratch = Scratch(tmp_path)
    places = [scratch.put(data) for data in (b"one", b"", b"three")]
    assert [scratch.get(place) for place in reversed(places)] == [b"three", b"", b"one"]
    assert not list(tmp_path.iterdir())


def test_the_file_is_closed_with_its_last_user():
    scratch = Scratch()
    scratch.put(b"something")
    descriptor = scratch._descriptor
    os.fstat(descriptor)
    del scratch
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)


def test_rows_are_read_as_often_as_wanted_also_at_the_same_time():
    spool = Spool(Scratch(), Row.make)
    rows = [Row(f"\udc80 {number}\n", number) for number in range(2000)]
    for row in rows:
        spool.append(row)
    assert len(spool) == 2000
    assert list(zip(spool, spool, strict=True)) == list(zip(rows, rows, strict=True))


@given(ROWS, st.integers(1, 8))
def test_rows_are_sorted_however_few_may_be_in_memory(rows, in_memory):
    spool = SortedSpool(Scratch(), Row.make, in_memory)
    spool.extend(rows)
    assert len(spool) == len(rows)
    assert list(spool) == sorted(rows)
