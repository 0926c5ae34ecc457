"""Which files a run has to read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.chunks.inputs import (
    Compared,
    KnownFile,
    compare_inputs,
    load_inputs,
    paired,
    save_inputs,
)
from retro_cli.corpus import InputFile


def file(uri: str, size: int = 10, mtime: int = 5) -> InputFile:
    return InputFile(uri, uri, size, mtime)


def never(_: InputFile) -> str:
    pytest.fail("hashed a file that size and time vouch for")


def keep(_: KnownFile) -> bool:
    return False


A, B = KnownFile("a", 10, 5, "aa", (0,)), KnownFile("b", 10, 5, "bb", (0, 1))


def test_size_and_time_are_trusted_without_reading():
    found = compare_inputs([file("a"), file("b")], [A, B], keep, never)
    assert list(found) == [Compared("unchanged", A, A, "a"), Compared("unchanged", B, B, "b")]


def test_a_touched_file_with_the_same_bytes_is_unchanged_and_its_time_is_noted():
    touched, missing = compare_inputs([file("a", mtime=9)], [A, B], keep, lambda _: "aa")
    assert (touched.state, touched.now, touched.before) == ("unchanged", A._replace(mtime_ns=9), A)
    assert missing == Compared("missing", B, B)


def test_a_file_that_the_table_lacks_is_new_and_hashed():
    new, _ = compare_inputs([file("0"), file("a")], [A], keep, lambda _: "00")
    assert new == Compared("new", KnownFile("0", 10, 5, "00"), None, "0")


def test_other_bytes_are_a_change():
    (changed,) = compare_inputs([file("a", size=11)], [A], keep, lambda _: "other")
    assert (changed.state, changed.now.sha256) == ("changed", "other")


def test_a_file_whose_time_is_unknown_is_always_hashed():
    known = [KnownFile("a", 10, 0, "aa")]
    (changed,) = compare_inputs([file("a", mtime=0)], known, keep, lambda _: "other")
    assert changed.state == "changed"


def test_a_file_whose_documents_must_be_found_again_counts_as_changed():
    found = compare_inputs([file("a"), file("b")], [A, B], lambda f: 1 in f.items, never)
    assert [(f.state, f.now) for f in found] == [("unchanged", A), ("changed", B)]


def test_the_table_reads_back_as_often_as_wanted_and_equal_ones_have_one_name(tmp_path):
    one, two = save_inputs(tmp_path, [A, B]), save_inputs(tmp_path, iter([A, B]))
    assert one == two
    table = load_inputs(tmp_path, one)
    assert list(table) == list(table) == [A, B]


def test_a_table_of_many_files_is_written_and_read_in_blocks(tmp_path):
    files = [KnownFile(f"{n:06d}", n, n, f"hash {n}", (n,) * (n % 3), n % 2) for n in range(40_000)]
    assert list(load_inputs(tmp_path, save_inputs(tmp_path, iter(files)))) == files


URIS = st.lists(st.text("abc", min_size=1, max_size=2), unique=True).map(sorted)


@given(URIS, URIS)
def test_two_lists_are_paired_by_uri(left, right):
    pairs = list(paired(map(file, left), map(file, right)))
    uris = sorted({*left, *right})
    assert pairs == [
        (file(uri) if uri in left else None, file(uri) if uri in right else None) for uri in uris
    ]
