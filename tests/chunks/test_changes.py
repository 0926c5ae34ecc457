"""What changed inside a file."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.chunks.changes import (
    OLD,
    Documents,
    compare_documents,
    content_digest,
    name_digest,
)


def old(*entries: tuple[str, bytes]) -> Documents:
    rows = [
        (0, row, name_digest(key), content_digest(key, content))
        for row, (key, content) in enumerate(entries)
    ]
    return np.array(rows, OLD)


def test_an_edited_record_replaces_its_old_self():
    changes = compare_documents([old(("a", b"1"), ("b", b"1"))], [(0, "a", b"1"), (9, "b", b"2")])
    assert list(changes.positions) == [9]
    assert changes.replaced["row"].tolist() == [1]
    assert (changes.kept, changes.added, len(changes.vanished)) == (1, 0, 0)


def test_a_moved_record_is_not_a_change():
    changes = compare_documents([old(("a", b"1"), ("b", b"1"))], [(0, "b", b"1"), (9, "a", b"1")])
    assert not changes.positions
    assert changes.kept == 2


def test_records_without_a_key_match_by_content_and_never_replace():
    changes = compare_documents([old(("", b"1"), ("", b"2"))], [(0, "", b"2"), (5, "", b"3")])
    assert list(changes.positions) == [5]
    assert not len(changes.replaced)
    assert changes.vanished["row"].tolist() == [0]


def test_equal_records_are_counted_not_merged():
    changes = compare_documents([old(("a", b"1"))], [(0, "a", b"1"), (7, "a", b"1")])
    assert list(changes.positions) == [7]
    assert changes.kept == 1


def test_more_records_than_are_matched_at_once():
    many = [(f"k{i}", b"%16d" % (i % 7)) for i in range(40_000)]
    after = [
        (i, key, b"new" if i % 1000 == 0 else content) for i, (key, content) in enumerate(many)
    ]
    changes = compare_documents([old(*many)], reversed(after))
    assert list(changes.positions) == list(range(0, 40_000, 1000))
    assert changes.replaced["row"].tolist() == list(range(0, 40_000, 1000))
    assert (changes.kept, changes.added, len(changes.vanished)) == (39_960, 0, 0)


ENTRY = st.tuples(st.sampled_from(["", "a", "b", "c"]), st.sampled_from([b"1", b"2", b"3"]))


@given(st.lists(ENTRY, max_size=12), st.lists(ENTRY, max_size=12), st.integers(2, 5))
def test_the_number_of_piles_and_blocks_changes_nothing(before, after, piles):
    new = [(position, key, content) for position, (key, content) in enumerate(after)]
    whole, documents = compare_documents([old(*before)], new), old(*before)
    blocks = [documents[start : start + 3] for start in range(0, len(documents), 3)]
    dealt = compare_documents(blocks, new, piles=piles)
    assert (dealt.positions, dealt.added, dealt.kept) == (whole.positions, whole.added, whole.kept)
    assert dealt.replaced.tolist() == whole.replaced.tolist()
    assert dealt.vanished.tolist() == whole.vanished.tolist()


@given(st.lists(ENTRY, max_size=12), st.lists(ENTRY, max_size=12))
def test_every_record_is_accounted_for_once(before, after):
    new = [(position, key, content) for position, (key, content) in enumerate(after)]
    changes = compare_documents([old(*before)], new)
    assert changes.kept + len(changes.positions) == len(after)
    assert changes.kept + len(changes.replaced) + len(changes.vanished) == len(before)
    rows = [*changes.replaced["row"], *changes.vanished["row"]]
    assert len(set(rows)) == len(rows)


@given(st.lists(ENTRY, max_size=12))
def test_the_same_records_again_change_nothing(before):
    new = [(position, key, content) for position, (key, content) in enumerate(reversed(before))]
    changes = compare_documents([old(*before)], new)
    assert not changes.positions
    assert not len(changes.replaced)
    assert not len(changes.vanished)
