"""What a snapshot may say, and what may be removed whoever pushes meanwhile."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.errors import DatabaseTooNew, IntegrityError
from retro_cli.store.remote.snapshot import (
    Snapshot,
    Stored,
    garbage,
    snapshot_key,
    snapshot_numbers,
)

HASH = "0" * 64
WHOLE = {
    "format": 1,
    "number": 2,
    "id": "x",
    "published": "2026-01-01T00:00:00+00:00",
    "files": {"chunks/manifest.json": {"push": 1, "bytes": 3, "sha256": HASH}},
}


def read(value) -> Snapshot:
    return Snapshot.from_bytes(json.dumps(value).encode(), "s3://b/x")


def test_what_is_written_is_read_again():
    files = {"a/b.json": Stored(1, 3, HASH), "c.npy": Stored(2, 10**9, HASH, "f" * 64)}
    snapshot = Snapshot(2, "id", "2026-01-01T00:00:00+00:00", files)
    assert Snapshot.from_bytes(snapshot.to_bytes(), "s3://b/x") == snapshot


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "chunks/../../evil", "/etc/passwd", "chunks//x", "", ".", "..", "a/./b",
        ".remote.json", ".lock", "chunks/.verified.json", ".hidden/x", "a\\..\\b", "a\nb", "a\0b",
        "a/", "x" * 2000, "\u202egpj.exe",
    ],
)  # fmt: skip
def test_a_name_that_could_leave_the_folder_is_refused(name):
    value = {**WHOLE, "files": {name: WHOLE["files"]["chunks/manifest.json"]}}
    with pytest.raises(IntegrityError, match="not a snapshot"):
        read(value)


def test_a_file_below_another_file_is_refused():
    stored = WHOLE["files"]["chunks/manifest.json"]
    with pytest.raises(IntegrityError, match="lies below another file"):
        read({**WHOLE, "files": {"a": stored, "a/b": stored}})


@pytest.mark.parametrize(
    "change",
    [
        {"push": 0}, {"push": "1"}, {"bytes": -1}, {"bytes": 1.5}, {"sha256": "../../x"},
        {"sha256": HASH.upper().replace("0", "G")}, {"sha256": 5}, {"blocks": "../x"},
    ],
)  # fmt: skip
def test_a_file_that_names_no_object_is_refused(change):
    stored = {**WHOLE["files"]["chunks/manifest.json"], **change}
    with pytest.raises(IntegrityError):
        read({**WHOLE, "files": {"a": stored}})


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"{}", b'{"format": "x"}', b"\xff", b"[" * 100_000]
)
def test_rubbish_is_refused(data):
    with pytest.raises(IntegrityError):
        Snapshot.from_bytes(data, "s3://b/x")


def test_a_newer_format_asks_for_a_newer_program():
    with pytest.raises(DatabaseTooNew, match="has format 2"):
        read({**WHOLE, "format": 2})


def test_only_snapshots_have_numbers():
    keys = [snapshot_key(7), snapshot_key(12), "snapshots/x.json", "snapshots/000003.json.tmp"]
    assert snapshot_numbers(keys) == [7, 12]


PUSHES = st.lists(
    st.tuples(st.sets(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 3)),
    min_size=1,
    max_size=8,
)


@given(PUSHES, st.data())
def test_garbage_of_any_push_removed_at_any_later_time_is_never_needed(pushes, data):
    """pushes: the contents of each, and how many pushes later its garbage is removed."""
    objects: set[str] = set()
    snapshots: list[dict[int, Stored]] = []
    late: list[tuple[int, list[str]]] = []
    for number, (contents, delay) in enumerate(pushes, 1):
        before = snapshots[-1] if snapshots else {}
        now = {c: before.get(c, Stored(number, 1, f"{c:064x}")) for c in contents}
        loser = {Stored(number, 1, f"{c:064x}").key for c in data.draw(st.sets(st.integers(0, 9)))}
        objects |= {stored.key for stored in now.values()} | loser
        snapshots.append(now)
        needed = {stored.key for stored in now.values()}
        late.append((number + delay, garbage(objects, number, needed)))
        for when, keys in late:
            if when == number:
                objects -= set(keys)
        assert needed <= objects
