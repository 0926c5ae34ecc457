"""Which files a run has to read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retro_cli.chunks.inputs import KnownFile, compare_inputs, load_inputs, save_inputs
from retro_cli.corpus import InputFile


def file(uri: str, size: int = 10, mtime: int = 5) -> InputFile:
    return InputFile(uri, uri, size, mtime)


def listed(*files: InputFile) -> dict[str, InputFile]:
    return {file.uri: file for file in files}


def never(_: InputFile) -> str:
    pytest.fail("hashed a file that size and time vouch for")


def keep(_: KnownFile) -> bool:
    return False


KNOWN = {"a": KnownFile("a", 10, 5, "aa", (0,)), "b": KnownFile("b", 10, 5, "bb", (0, 1))}


def test_size_and_time_are_trusted_without_reading():
    found = compare_inputs(listed(file("a"), file("b")), KNOWN, keep, never)
    assert [f.uri for f in found.unchanged] == ["a", "b"]


def test_a_touched_file_with_the_same_bytes_is_unchanged_and_its_time_is_noted():
    found = compare_inputs(listed(file("a", mtime=9)), KNOWN, keep, lambda _: "aa")
    assert found.unchanged == [replace(KNOWN["a"], mtime_ns=9)]
    assert [f.uri for f in found.missing] == ["b"]


def test_other_bytes_are_a_change():
    found = compare_inputs(listed(file("a", size=11)), KNOWN, keep, lambda _: "other")
    assert [f.sha256 for f in found.changed] == ["other"]


def test_a_file_whose_time_is_unknown_is_always_hashed():
    known = {"a": KnownFile("a", 10, 0, "aa")}
    found = compare_inputs(listed(file("a", mtime=0)), known, keep, lambda _: "other")
    assert [f.uri for f in found.changed] == ["a"]


def test_a_file_whose_documents_must_be_found_again_counts_as_changed():
    found = compare_inputs(listed(file("a"), file("b")), KNOWN, lambda f: 1 in f.items, never)
    assert [f.uri for f in found.changed] == ["b"]
    assert [f.uri for f in found.unchanged] == ["a"]


def test_the_table_reads_back_and_has_the_same_name_in_any_order(tmp_path):
    one = save_inputs(tmp_path, list(KNOWN.values()))
    two = save_inputs(tmp_path, list(reversed(KNOWN.values())))
    assert one == two
    assert load_inputs(tmp_path, one) == KNOWN
