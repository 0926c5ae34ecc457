"""Input made to hurt: bombs, endless lines, deep nesting, random damage. Memory is measured."""

from __future__ import annotations

import gzip
import json
import random
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from corpus.helpers import COMPRESSORS, good, make_file, records, rejected

from retro_cli.corpus import (
    Document,
    InputFile,
    Listing,
    ReadOptions,
    Rejected,
    Slice,
    list_inputs,
    read,
    split,
)
from retro_cli.corpus.formats.html import extract
from retro_cli.store.scratch import Scratch

MIB = 1 << 20


def peak_memory(work) -> float:
    """The most MiB that Python held at once while ``work`` ran."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


def consume(file, **options) -> tuple[int, list[Rejected]]:
    count, bad = 0, []
    for record in read(Slice(file), ReadOptions(**options)):
        if isinstance(record, Document):
            count += 1
        else:
            bad.append(record)
    return count, bad


# MiB of content, and the most memory that reading it may take. A kilobyte of zstandard data can
# stand for 32 MiB, which come at once.
SIZES = {"": (48, 24), "gz": (48, 24), "bz2": (48, 24), "xz": (48, 24), "zst": (256, 100)}


@pytest.fixture
def small_limit(monkeypatch):
    monkeypatch.setattr("retro_cli.corpus.reading.MAX_RECORD", 2 * MIB)


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_an_endless_line_is_set_aside_in_bounded_memory(tmp_path, small_limit, compression):
    head = b'{"text": "good"}\n'
    size, limit = SIZES[compression]
    data = head + b'{"text": "' + b"a" * (size * MIB) + b'"}\n' + head
    file = make_file(tmp_path, "a.jsonl", COMPRESSORS[compression](data))
    del data
    found: list[tuple[int, list[Rejected]]] = []
    assert peak_memory(lambda: found.append(consume(file))) < limit
    count, (bad,) = found[0]
    assert count == 2
    assert (bad.where, bad.position, bad.reason) == ("line 2", 17, "a line of more than 2 MiB")
    assert len(bad.excerpt) == 200


@pytest.mark.parametrize("compression", [c for c in COMPRESSORS if c])
@pytest.mark.parametrize(
    ("name", "start"),
    [("a.txt", b""), ("a.html", b"<html>"), ("a.json", b'[{"text": "'), ("a.csv", b'text\n"')],
)
def test_a_decompression_bomb_is_set_aside_in_bounded_memory(
    tmp_path, small_limit, compression, name, start
):
    size, limit = SIZES[compression]
    bomb = COMPRESSORS[compression](start + b"a" * (size * MIB))
    file = make_file(tmp_path, f"{name}.{compression}", bomb)
    del bomb
    found: list[tuple[int, list[Rejected]]] = []
    assert peak_memory(lambda: found.append(consume(file))) < limit
    count, bad = found[0]
    assert count == 0
    assert "2 MiB" in bad[0].reason


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json", "a.csv"])
def test_many_records_are_read_in_flat_memory(tmp_path, name):
    rows = [{"id": str(i), "text": f"{i} " * 150} for i in range(40_000)]
    if name == "a.json":
        data = json.dumps(rows).encode()
    elif name == "a.csv":
        data = ("id,text\n" + "".join(f"{r['id']},{r['text']}\n" for r in rows)).encode()
    else:
        data = gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode(), 1)
    file = make_file(tmp_path, name, data)
    del rows, data
    found: list[tuple[int, list[Rejected]]] = []
    assert peak_memory(lambda: found.append(consume(file))) < 8
    assert found == [(40_000, [])]


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz", "zst"])
def test_a_truncated_stream_gives_its_records_and_then_one_rejection(tmp_path, compression):
    rows = "".join(json.dumps({"text": random.Random(i).randbytes(40).hex()}) + "\n"
                   for i in range(30_000))  # fmt: skip
    packed = COMPRESSORS[compression](rows.encode())
    file = make_file(tmp_path, f"a.jsonl.{compression}", packed[: len(packed) * 4 // 5])
    count, (bad,) = consume(file)
    assert count > 10_000
    assert bad.reason.startswith("truncated ")
    assert bad.where == f"line {count + 1}"
    assert bad.position == sum(len(line) + 1 for line in rows.split("\n")[:count])


def test_a_broken_checksum_is_noticed(tmp_path):
    packed = bytearray(gzip.compress(b'{"text": "a"}\n'))
    packed[-8] ^= 1
    found = records(make_file(tmp_path, "a.jsonl.gz", bytes(packed)))
    assert [r.reason for r in found if isinstance(r, Rejected)]


def test_an_xz_file_cannot_demand_gigabytes(tmp_path):
    import lzma

    greedy = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    data = lzma.compress(b"hello", filters=greedy)
    (bad,) = rejected(make_file(tmp_path, "a.txt.xz", data))
    assert "xz data is broken" in bad.reason


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", '{"text": "a", "x": ' + "[" * 50_000 + "]" * 50_000 + "}"),
        ("a.json", '[{"text": "a", "x": ' + '{"a":' * 50_000 + "1" + "}" * 50_001 + "]"),
        ("a.jsonl", '{"text": "a", "x": ' + '{"a":' * 900 + "1" + "}" * 901),
    ],
)
def test_deep_nesting_is_survived(tmp_path, name, data):
    (found,) = records(make_file(tmp_path, name, data))
    assert isinstance(found, Document) or found.reason == "JSON nested too deep"


def test_a_quote_that_never_closes_loses_one_row_only(tmp_path):
    rows = [f"{i},words of row {i}" for i in range(20_000)]
    rows[10] = '10,"the quote never closes'
    file = make_file(tmp_path, "a.csv", "id,text\n" + "\n".join(rows))
    count, (bad,) = consume(file)
    assert count == 19_999
    assert bad.where == "line 12"


def test_a_field_over_the_limit_loses_one_row_only(tmp_path, monkeypatch):
    monkeypatch.setattr("retro_cli.corpus.formats.table.MAX_FIELD", 1000)
    data = "id,text\n1,good\n2," + "x" * 5000 + "\n3,good\n"
    file = make_file(tmp_path, "a.csv", data)
    assert [d.key for d in good(file)] == ["1", "3"]
    assert "field larger than field limit" in rejected(file)[0].reason


SAMPLES = {
    "a.jsonl": "".join(json.dumps({"id": i, "text": f"é row {i}"}) + "\n" for i in range(200)),
    "a.json": json.dumps([{"id": i, "text": f"é row {i}"} for i in range(200)]),
    "a.csv": "id,text\n" + "".join(f'{i},"é, row {i}"\n' for i in range(200)),
    "a.tsv": "".join(f"{i}\té row {i}\n" for i in range(200)),
    "a.html": "<html><body>" + "<p>é row</p>" * 200,
    "a.md": "# Title\n" + "é row\n" * 200,
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("compression", ["", "gz", "zst"])
def test_random_damage_never_raises_and_never_gives_undecodable_text(tmp_path, name, compression):
    source = random.Random(name)
    whole = COMPRESSORS[compression](SAMPLES[name].encode())
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(source.choice([1, 3, 30])):
            data[source.randrange(len(data))] = source.randrange(256)
        file = make_file(tmp_path, name, bytes(data[: source.choice([None, len(data) // 2])]))
        for record in records(file):
            "".join([record.uri, getattr(record, "text", ""), str(record)]).encode()
        split(file, ReadOptions(), 500)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_random_damage_to_columnar_files_never_raises(tmp_path, kind):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"id": range(300), "text": [f"é row {i}" for i in range(300)]})
    path = tmp_path / f"whole.{kind}"
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=100)
    else:
        with pa.ipc.new_file(path, table.schema) as out:
            out.write_table(table, max_chunksize=100)
    whole = path.read_bytes()
    source = random.Random(kind)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(source.choice([1, 3, 30])):
            data[source.randrange(8, len(data))] = source.randrange(256)
        file = make_file(tmp_path, f"damaged.{kind}", bytes(data))
        for record in records(file):
            str(record).encode()
        split(file, ReadOptions(), 500)


@pytest.mark.parametrize(
    "markup",
    ["<" * 30_000, "<a " * 20_000, "<!--" * 20_000, "<p>" * 50_000, "&" * 50_000, "<nav>" * 50_000,
     "</" * 30_000, "<![CDATA[" * 10_000, "<script>" * 20_000, "<a b='" * 10_000],
)  # fmt: skip
def test_hostile_markup_is_parsed(markup):
    title, text = extract("<p>before</p>" + markup)
    assert title == ""
    assert text.startswith("before")


def test_many_files_are_listed_in_small_memory(tmp_path):
    for i in range(4000):
        (tmp_path / f"{i:04d}.txt").touch()
    found: list[int] = []
    peak = peak_memory(lambda: found.append(len(list(list_inputs([str(tmp_path)])))))
    assert found == [4000]
    assert peak * MIB / 4000 < 700  # bytes a file


def test_a_listing_is_no_larger_for_more_files():
    def listed(count: int) -> None:
        listing = Listing(Scratch())
        for number in range(count):
            name = f"corpus/{number * 7919 % count}.txt"
            listing.add(InputFile(name, name, number, number << 40))
        files = (file.uri for file in listing)
        assert sum(before < after for before, after in pairwise(files)) == count - 1

    assert peak_memory(lambda: listed(150_000)) < 1.3 * peak_memory(lambda: listed(50_000))


def test_names_cannot_inject_control_characters_into_messages(tmp_path):
    (bad,) = rejected(make_file(tmp_path, "a.csv", "a\x1b[31m,b\n1,2\n"))
    assert "\x1b" not in bad.reason
    (bad,) = rejected(make_file(tmp_path, "a.jsonl", '{"\\ud800\\u001b": "x"}\n'))
    assert bad.reason.encode().isascii()
    assert "\x1b" not in bad.reason


def test_importing_the_corpus_package_is_light():
    import subprocess

    code = (
        "import sys, retro_cli.corpus; "
        "print({'pyarrow', 'numpy', 'fsspec', 'zstandard', 'torch'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
    assert Path(__file__).exists()
