"""What holds for every format: slices, selection and compression change nothing."""

from __future__ import annotations

import json

import fsspec
import pytest
from corpus.helpers import COMPRESSORS, by_slices, documents, make_file, records
from hypothesis import given, settings
from hypothesis import strategies as st

from retro_cli.corpus import (
    InputFile,
    ReadOptions,
    Rejected,
    Slice,
    list_inputs,
    open_stream,
    raw_blocks,
    read,
    split,
)
from retro_cli.errors import UnreadableInput

LINES = st.lists(
    st.one_of(
        st.text(max_size=30).map(lambda text: json.dumps({"text": text}, ensure_ascii=False)),
        st.sampled_from(["", "  ", "broken", '{"text": "a"}\r', '{"title": "é"}']),
    ).map(lambda line: line.encode("utf-8", "replace")),
    max_size=25,
)


@given(LINES, st.integers(1, 200), st.booleans())
def test_the_slices_of_a_file_together_read_as_the_whole(tmp_path_factory, lines, target, ends):
    data = b"\n".join(lines) + (b"\n" if ends else b"")
    file = make_file(tmp_path_factory.getbasetemp(), "slices.jsonl", data)
    assert by_slices(file, target) == records(file)


@given(LINES, st.lists(st.integers(0, 400), max_size=6))
def test_any_cuts_give_each_record_once(tmp_path_factory, lines, cuts):
    file = make_file(tmp_path_factory.getbasetemp(), "cuts.jsonl", b"\n".join(lines))
    edges = [0, *sorted(cuts)]
    pieces = [
        Slice(file, start, stop)
        for start, stop in zip(edges, [*edges[1:], None], strict=True)
    ]  # fmt: skip
    found = [record for piece in pieces for record in read(piece, ReadOptions())]
    assert found == records(file)


@given(LINES, st.sets(st.integers(0, 24)), st.integers(1, 300))
def test_only_selects_exactly_the_named_positions(tmp_path_factory, lines, chosen, target):
    file = make_file(tmp_path_factory.getbasetemp(), "only.jsonl", b"\n".join(lines))
    whole = records(file)
    expected = [record for i, record in enumerate(whole) if i in chosen]
    only = [record.position for record in expected]
    assert records(file, only=only) == expected
    pieces = [
        Slice(piece.file, piece.start, piece.stop, only)
        for piece in split(file, ReadOptions(), target)
    ]
    assert [r for piece in pieces for r in read(piece, ReadOptions())] == expected


@pytest.mark.parametrize("compression", [c for c in COMPRESSORS if c])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", "".join(json.dumps({"text": f"é {i}"}) + "\n" for i in range(20_000))),
        ("a.json", json.dumps([{"text": f"é {i}"} for i in range(20_000)])),
        ("a.csv", "id,text\n" + "".join(f"{i},é {i}\n" for i in range(20_000))),
        ("a.txt", "é " * 300_000),
    ],
)
def test_compressed_files_read_like_plain_ones(tmp_path, compression, name, data):
    plain = make_file(tmp_path, name, data)
    packed = make_file(tmp_path, f"{name}.{compression}", COMPRESSORS[compression](data.encode()))
    assert [(d.text, d.position) for d in documents(packed)] == [
        (d.text, d.position) for d in documents(plain)
    ]
    assert split(packed, ReadOptions(), 1) == [Slice(packed)]


@pytest.mark.parametrize("compression", COMPRESSORS)
@given(members=st.lists(st.binary(max_size=300), min_size=1, max_size=4), size=st.integers(1, 99))
@settings(max_examples=30)
def test_streams_of_several_members_are_one_stream(tmp_path_factory, compression, members, size):
    packed = b"".join(COMPRESSORS[compression](member) for member in members)
    if compression == "gz":
        packed += b"\0" * 512  # as tape archives pad them
    file = make_file(tmp_path_factory.getbasetemp(), "members", packed)
    with open_stream(file, compression) as stream:
        parts = list(iter(lambda: stream.read(size), b""))
    assert b"".join(parts) == b"".join(members)


@given(st.lists(st.binary(min_size=200, max_size=400), min_size=3, max_size=5))
@settings(max_examples=20)
@pytest.mark.parametrize("compression", [c for c in COMPRESSORS if c])
def test_a_truncated_stream_gives_all_before_the_break(tmp_path_factory, compression, members):
    packed = [COMPRESSORS[compression](member) for member in members]
    cut = b"".join(packed[:-1]) + packed[-1][:-5]
    file = make_file(tmp_path_factory.getbasetemp(), "cut", cut)
    got: list[bytes] = []
    stream = open_stream(file, compression)
    with stream, pytest.raises(UnreadableInput, match="truncated"):
        got.extend(iter(lambda: stream.read1(64), b""))
    assert b"".join(got).startswith(b"".join(members[:-1]))


def test_raw_blocks_are_the_stored_bytes(tmp_path):
    data = COMPRESSORS["gz"](b"hello" * 1000)
    assert b"".join(raw_blocks(make_file(tmp_path, "a.gz", data))) == data


def test_a_file_behind_an_url_reads_and_splits_like_a_local_one():
    system = fsspec.filesystem("memory")
    data = "".join(json.dumps({"text": f"row {i}"}) + "\n" for i in range(500))
    system.pipe("/read-test/a.jsonl", data.encode())
    try:
        file = next(iter(list_inputs(["memory://read-test/a.jsonl"])))
        assert [d.text for d in documents(file)] == [f"row {i}" for i in range(500)]
        assert by_slices(file, 1000) == documents(file)
    finally:
        system.rm("/read-test", recursive=True)


def test_a_spooled_stream_keeps_its_own_name(tmp_path):
    spooled = make_file(tmp_path, "spool", '{"text": "a"}\n')
    file = InputFile("-", spooled.path, spooled.size, spooled.mtime_ns)
    assert [(d.uri, d.source) for d in documents(file)] == [("-", "-")]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("gone.txt", "cannot be read: No such file"), ("folder", "cannot be read: Is a directory")],
)
def test_a_file_that_cannot_be_opened_is_one_rejected(tmp_path, name, reason):
    (tmp_path / "folder").mkdir()
    file = InputFile(name, str(tmp_path / name), 10, 0)
    (bad,) = records(file)
    assert isinstance(bad, Rejected)
    assert (bad.where, bad.position) == ("file", 0)
    assert bad.reason.startswith(reason)
    assert split(file, ReadOptions(), 1) == [Slice(file)]


def test_reading_is_lazy(tmp_path):
    file = make_file(tmp_path, "a.jsonl", '{"text": "a"}\n' * 100_000)
    assert next(read(Slice(file), ReadOptions())).text == "a"
