"""Dealing input into pieces of work."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from retro_cli.chunks.plan import MAX_FILES, Item, deal, weight
from retro_cli.corpus import InputFile, Slice


def file(uri: str, size: int) -> InputFile:
    return InputFile(uri, uri, size, 1)


def hashed(slices: list[Slice]) -> Iterator[tuple[Slice, str]]:
    return ((piece, f"hash of {piece.file.uri}") for piece in slices)


SIZES = st.lists(st.integers(0, 50), max_size=40)


@given(SIZES, st.integers(1, 60), st.integers(0, 9))
def test_every_slice_is_dealt_once_in_order_under_consecutive_numbers(sizes, target, first):
    slices = [Slice(file(f"{n:03d}", size)) for n, size in enumerate(sizes)]
    items = list(deal(hashed(slices), first, target))
    assert [piece for item in items for piece in item.slices] == slices
    assert [item.number for item in items] == list(range(first, first + len(items)))


@given(SIZES, st.integers(1, 60))
def test_an_item_holds_no_more_than_asked_unless_it_is_one_slice(sizes, target):
    slices = [Slice(file(f"{n:03d}", size)) for n, size in enumerate(sizes)]
    for item in deal(hashed(slices), 0, target):
        assert len(item.slices) == 1 or sum(map(weight, item.slices)) <= target


def test_a_million_tiny_files_do_not_make_one_item():
    slices = [Slice(file(f"{n:05d}", 0)) for n in range(2 * MAX_FILES + 1)]
    items = deal(hashed(slices), 0, 1 << 40)
    assert [len(item.slices) for item in items] == [MAX_FILES, MAX_FILES, 1]


def test_a_journal_line_is_for_these_bytes_these_records_and_these_settings_only():
    piece = Slice(file("a", 9))
    key = Item(0, (piece,), ("h",)).key("s")
    assert key == Item(0, (Slice(file("a", 9)),), ("h",)).key("s")
    assert key != Item(0, (piece,), ("other bytes, same size and time",)).key("s")
    assert key != Item(0, (piece,), ("h",)).key("t")
    assert key != Item(1, (piece,), ("h",)).key("s")
    assert key != Item(0, (Slice(file("a", 9), only=frozenset({3})),), ("h",)).key("s")
