"""Ranges of dead rows, and the manifest as bytes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from retro_cli.chunks.manifest import ChunkManifest, Part, load_manifest, merge_ranges, with_dead
from retro_cli.chunks.part import WrittenPart
from retro_cli.store.files import FileRecord

RANGES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)), max_size=12)


def members(ranges) -> set[int]:
    return {row for first, count in ranges for row in range(first, first + count)}


@given(RANGES)
def test_merged_ranges_hold_the_same_rows_and_are_disjoint(ranges):
    merged = merge_ranges(ranges)
    assert members(merged) == members(ranges)
    assert all(sum(a) < b[0] for a, b in pairwise(merged))


def part(rows: int = 10) -> Part:
    files = (FileRecord("p.chunks.parquet", 5, "ab"), FileRecord("p.docs.parquet", 6, "cd"))
    return Part(WrittenPart("p", rows, 3, 40, 100, files), base=7, item=2)


def test_rows_die_once_however_often_they_are_named():
    dying = with_dead(with_dead(part(), [(0, 3)], [0]), [(2, 2)], [1])
    assert dying.dead_rows == ((0, 4),)
    assert dying.live_rows == 6
    assert dying.live_docs == 1


def test_a_manifest_read_back_is_equal_and_written_again_has_the_same_bytes(tmp_path):
    manifest = ChunkManifest("f", "t", 2, "none", (with_dead(part(), [(1, 1)], [0]),), 17, 3)
    manifest.save(tmp_path)
    before = (tmp_path / "manifest.json").read_bytes()
    again = load_manifest(tmp_path)
    assert again == manifest
    again.save(tmp_path)
    assert (tmp_path / "manifest.json").read_bytes() == before
