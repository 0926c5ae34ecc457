"""Rows by id: the same whatever is held of what was read before."""

from __future__ import annotations

import pytest
from helpers import write_jsonl
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.chunks.manifest import require_manifest
from retro_cli.chunks.rows import ChunkRows
from retro_cli.database import Database
from retro_cli.store.layout import Layout

CHUNKS = 900  # of four row groups


@pytest.fixture(scope="module")
def layout(tmp_path_factory, static_encoder):
    folder = tmp_path_factory.mktemp("rows")
    texts = [{"id": f"d{n}", "text": f"the ferry {n} left"} for n in range(CHUNKS)]
    Database.chunk(folder / "a.db", write_jsonl(folder / "a.jsonl", texts), encoder=static_encoder)
    return Layout(folder / "a.db")


def rows(layout, **how):
    return ChunkRows(layout.chunks, require_manifest(layout.chunks).parts, **how)


@given(st.lists(st.lists(st.integers(0, CHUNKS - 1), max_size=6), max_size=8))
def test_a_row_is_the_same_whether_its_group_is_held_or_not(layout, asked):
    much, nothing = rows(layout), rows(layout, held_bytes=0)
    for ids in asked:
        assert much.get(ids) == nothing.get(ids)
        assert much.tokens(ids) == nothing.tokens(ids)
        assert [row.id for row in much.get(ids)] == ids


def test_no_more_is_held_than_may_be_and_what_was_used_last_stays(layout):
    bound = 2 * max(rows(layout)._group(*_group(layout, n)).nbytes for n in range(3))
    held = rows(layout, held_bytes=bound)
    for chunk in (0, 300, 0, 600):
        held.get([chunk])
    assert sum(table.nbytes for table in held._groups.values()) == held._groups_bytes <= bound
    assert [group for _, group, _ in held._groups] == [0, 2]
    held.close()
    assert not held._groups


def _group(layout, number):
    part = require_manifest(layout.chunks).parts[0]
    columns = ["document", "source", "title", "position", "start", "end", "text", "has_next"]
    return part.chunks_file, number, columns
