"""What a file is, by content first and name second."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus.helpers import COMPRESSORS

from retro_cli.corpus import Format, detect
from retro_cli.errors import UnreadableInput

LINE = b'{"_id": "1", "title": "T", "text": "hello"}\n'


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"]}), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.txt", b"hello", "text"),
        ("a.txt", b"[1] a footnote, not JSON", "text"),
        ("a.md", b"# hi", "markdown"),
        ("a.rst", b"hi\n==", "rst"),
        ("a.HTML", b"<p>x", "html"),
        ("page", b" \n<!DOCTYPE html><p>x", "html"),
        ("corpus.jsonl", LINE * 2, "jsonl"),
        ("corpus.json", LINE * 2, "jsonl"),
        ("corpus.json", b'{\n "text": "x"\n}', "json"),
        ("corpus.json", b'[\n {"text": "x"}]', "json"),
        ("corpus.jsonl", b'[{"text": "x"}]', "json"),
        ("broken.jsonl", b'{"text": \n', "jsonl"),
        ("part-0000", LINE * 2, "jsonl"),
        ("part-0000", b'[{"text": 1}]', "json"),
        ("part-0000", b"{ not json }\n", "text"),
        ("part-0000", b"plain words", "text"),
        ("script.py", b"import os\n", "text"),
        ("psgs_w100", b"id\ttext\ttitle\n1\ta\tb\n", "tsv"),
        ("a.csv", b"text,label\n", "csv"),
        ("a.tsv", b"1\tx\n", "tsv"),
        ("a.bin", parquet(), "parquet"),
        ("a.arrow", b"ARROW1\0\0", "arrow"),
        ("a.arrow", b"\xff\xff\xff\xff\x10\0\0\0", "arrow"),
        ("a", b"%PDF-1.7", "pdf"),
        ("a", b"WARC/1.0\r\n", "warc"),
        ("empty", b"", "text"),
        ("a.txt", "héllo".encode("utf-16"), "text"),
        ("https://host/corpus.jsonl?token=1", LINE, "jsonl"),
    ],
)
def test_kinds_are_recognised(name, head, kind):
    assert detect(head, name) == Format(kind)


@pytest.mark.parametrize("compression", [c for c in COMPRESSORS if c])
@pytest.mark.parametrize("name", ["corpus.jsonl.gz", "corpus.bin", "corpus"])
def test_compression_is_recognised_by_content_and_what_is_inside_too(compression, name):
    assert detect(COMPRESSORS[compression](LINE * 3), name) == Format("jsonl", compression)


def test_a_head_cut_in_the_middle_of_compressed_data_is_enough():
    head = COMPRESSORS["gz"](b"\n".join(b"%d" % (i * i) for i in range(50_000)))[:1000]
    assert detect(head, "numbers.txt.gz") == Format("text", "gz")


@pytest.mark.parametrize(
    ("name", "head", "reason"),
    [
        ("a.zip", b"PK\x03\x04....", "archive"),
        ("a.docx", b"PK\x03\x04....", "archive"),
        ("a.tar", b"x" * 257 + b"ustar\0", "archive"),
        ("a.tar.gz", COMPRESSORS["gz"](b"x" * 257 + b"ustar\0" + b"\0" * 300), "archive"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary"),
        ("a.txt", b"text\0with nul", "binary"),
        ("a.parquet", b"not parquet", "not a Parquet file"),
        ("a.pdf", b"", "not a PDF file"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(name, head, reason):
    with pytest.raises(UnreadableInput, match=reason):
        detect(head, name)
