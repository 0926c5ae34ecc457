"""Parquet and Arrow."""

from __future__ import annotations

import datetime
import decimal
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus.helpers import by_slices, documents, good, make_file, records, rejected

from retro_cli.corpus import Document, ReadOptions, list_inputs, split


def rows(count):
    return [{"id": i, "text": f"row {i} é", "title": "T", "n": i % 3} for i in range(count)]


def write_parquet(folder, table, **options):
    pq.write_table(table, folder / "a.parquet", **options)
    return next(iter(list_inputs([str(folder / "a.parquet")])))


def write_arrow(folder, table, *, stream=False, batch=100):
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(folder / "a.arrow", table.schema) as out:
        out.write_table(table, max_chunksize=batch)
    return next(iter(list_inputs([str(folder / "a.arrow")])))


WRITERS = {
    "parquet": lambda folder, table: write_parquet(folder, table, row_group_size=100),
    "arrow file": write_arrow,
    "arrow stream": lambda folder, table: write_arrow(folder, table, stream=True),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_rows_are_documents_by_row_number_whole_in_slices_and_selected(tmp_path, kind):
    file = WRITERS[kind](tmp_path, pa.Table.from_pylist(rows(2050)))
    found = documents(file)
    assert [d.position for d in found] == list(range(2050))
    assert found[2049] == Document(file.uri, "2049", "row 2049 é", "T", file.uri, '{"n":0}', 2049)
    assert by_slices(file, 1000) == found
    assert records(file, only=[3, 2049]) == [found[3], found[2049]]


@pytest.mark.parametrize("kind", ["parquet", "arrow file"])
def test_slices_are_runs_of_groups_that_know_their_size(tmp_path, kind):
    file = WRITERS[kind](tmp_path, pa.Table.from_pylist(rows(1000)))
    pieces = split(file, ReadOptions(), 5000)
    assert len(pieces) > 1
    assert pieces[0].start == 0
    assert pieces[-1].stop == 10
    assert all(a.stop == b.start for a, b in pairwise(pieces))
    assert all(piece.unit == "groups" and piece.nbytes > 0 for piece in pieces)


def test_values_that_json_has_no_type_for_become_strings_or_are_dropped(tmp_path):
    table = pa.table(
        {
            "text": ["t"],
            "day": [datetime.date(2020, 1, 2)],
            "when": [datetime.datetime(2020, 1, 2, 3, 4, 5)],
            "price": [decimal.Decimal("1.50")],
            "tags": [["a", "b"]],
            "blob": [b"\x00\xff"],
            "nan": [float("nan")],
            "null": pa.nulls(1),
        }
    )
    expected = '{"day":"2020-01-02","price":"1.50","tags":["a","b"],"when":"2020-01-02T03:04:05"}'
    assert documents(write_parquet(tmp_path, table))[0].metadata == expected


def test_texts_stored_as_bytes_are_decoded_strictly(tmp_path):
    table = pa.table({"text": pa.array(["café".encode(), b"caf\xe9"], pa.binary())})
    file = write_parquet(tmp_path, table)
    assert [d.text for d in good(file)] == ["café"]
    assert [(r.where, r.reason) for r in rejected(file)] == [("row 1", "'text' is not valid utf-8")]


def test_a_string_column_with_invalid_utf8_loses_only_those_rows(tmp_path):
    raw = pa.array([b"good", b"caf\xe9", b"fine"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    file = write_arrow(tmp_path, pa.table({"text": text, "n": [1, 2, 3]}))
    assert [d.text for d in good(file)] == ["good", "fine"]
    assert rejected(file)[0].where == "row 1"


def test_a_null_or_empty_text_is_set_aside(tmp_path):
    file = write_parquet(tmp_path, pa.table({"text": ["a", None, ""]}))
    assert [(r.where, r.reason) for r in rejected(file)] == [
        ("row 1", "empty text"),
        ("row 2", "empty text"),
    ]


@pytest.mark.parametrize(
    ("columns", "options", "reason"),
    [
        ({"a": [1], "b": [2]}, {}, "has no text column; columns: a, b"),
        ({"text": ["a"]}, {"id_field": "x"}, "has no column 'x'; columns: text"),
        ({"text": [1]}, {}, "'text' is not a string but int"),
    ],
)
def test_a_file_without_the_right_columns_says_which_it_has(tmp_path, columns, options, reason):
    (bad,) = records(write_parquet(tmp_path, pa.table(columns)), **options)
    assert bad.reason.startswith(reason)


@pytest.mark.parametrize("keep", [4, 100, 0.5, 0.99])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_damaged_file_is_set_aside_and_never_raises(tmp_path, kind, keep):
    whole = WRITERS[kind](tmp_path, pa.Table.from_pylist(rows(500)))
    with open(whole.path, "rb") as source:
        data = source.read()
    suffix = whole.uri.rpartition(".")[2]
    cut = make_file(tmp_path, f"cut.{suffix}", data[: keep if keep > 1 else int(len(data) * keep)])
    assert records(cut)[-1].reason
    assert split(cut, ReadOptions(), 10)


def test_damage_inside_a_parquet_file_keeps_the_groups_before_it(tmp_path):
    texts = [f"{i:0200d}" for i in range(300)]
    file = write_parquet(
        tmp_path, pa.table({"text": texts}), row_group_size=100, use_dictionary=False,
        compression="zstd",
    )  # fmt: skip
    with open(file.path, "rb") as source:
        data = bytearray(source.read())
    offset = pq.ParquetFile(file.path).metadata.row_group(2).column(0).data_page_offset
    data[offset : offset + 40] = b"\xff" * 40
    damaged = make_file(tmp_path, "damaged.parquet", bytes(data))
    assert [d.text for d in good(damaged)] == texts[:200]
    assert [(r.where, r.position) for r in rejected(damaged)] == [("row 200", 200)]
