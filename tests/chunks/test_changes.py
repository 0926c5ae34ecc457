"""What changed inside a file."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retro_cli.chunks.changes import OldDocument, compare_documents


def old(*entries: tuple[str, bytes]) -> list[OldDocument]:
    return [OldDocument(0, row, key, content) for row, (key, content) in enumerate(entries)]


def test_an_edited_record_replaces_its_old_self():
    changes = compare_documents(old(("a", b"1"), ("b", b"1")), [(0, "a", b"1"), (9, "b", b"2")])
    assert changes.positions == {9}
    assert [document.key for document in changes.replaced] == ["b"]
    assert (changes.kept, changes.added, len(changes.vanished)) == (1, 0, 0)


def test_a_moved_record_is_not_a_change():
    changes = compare_documents(old(("a", b"1"), ("b", b"1")), [(0, "b", b"1"), (9, "a", b"1")])
    assert not changes.positions
    assert changes.kept == 2


def test_records_without_a_key_match_by_content_and_never_replace():
    changes = compare_documents(old(("", b"1"), ("", b"2")), [(0, "", b"2"), (5, "", b"3")])
    assert changes.positions == {5}
    assert not changes.replaced
    assert [document.hash for document in changes.vanished] == [b"1"]


def test_equal_records_are_counted_not_merged():
    changes = compare_documents(old(("a", b"1")), [(0, "a", b"1"), (7, "a", b"1")])
    assert changes.positions == {7}
    assert changes.kept == 1


ENTRY = st.tuples(st.sampled_from(["", "a", "b", "c"]), st.sampled_from([b"1", b"2", b"3"]))


@given(st.lists(ENTRY, max_size=12), st.lists(ENTRY, max_size=12))
def test_every_record_is_accounted_for_once(before, after):
    new = [(position, key, content) for position, (key, content) in enumerate(after)]
    changes = compare_documents(old(*before), new)
    assert changes.kept + len(changes.positions) == len(after)
    assert changes.kept + len(changes.replaced) + len(changes.vanished) == len(before)
    rows = [document.row for document in (*changes.replaced, *changes.vanished)]
    assert len(set(rows)) == len(rows)


@given(st.lists(ENTRY, max_size=12))
def test_the_same_records_again_change_nothing(before):
    new = [(position, key, content) for position, (key, content) in enumerate(reversed(before))]
    changes = compare_documents(old(*before), new)
    assert not changes.positions
    assert not changes.replaced
    assert not changes.vanished
