"""CSV, TSV, and MS MARCO's collection.tsv."""

from __future__ import annotations

import csv
import io

import pytest
from corpus.helpers import by_slices, documents, good, make_file, records, rejected
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.corpus import Document


def test_a_csv_gives_a_document_a_row_with_the_other_columns_as_metadata(tmp_path):
    data = 'id,text,label,empty\r\n1,"two\r\nlines, quoted ""so""",x,\r\n2,plain,,\r\n'
    file = make_file(tmp_path, "a.csv", data)
    first = 'two\r\nlines, quoted "so"'
    assert documents(file) == [
        Document(file.uri, "1", first, "", file.uri, '{"label":"x"}', 21),
        Document(file.uri, "2", "plain", "", file.uri, "{}", data.index("2,plain")),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_whatever_the_texts_hold(tmp_path, delimiter):
    out = io.StringIO()
    rows = [["id", "text", "title"], *([str(i), "a,b;c\td|e, f; g", "t"] for i in range(5))]
    csv.writer(out, delimiter=delimiter).writerows(rows)
    file = make_file(tmp_path, "a.csv", out.getvalue())
    assert [d.text for d in documents(file)] == ["a,b;c\td|e, f; g"] * 5


def test_a_dpr_passage_file_is_read_without_options(tmp_path):
    data = 'id\ttext\ttitle\n1\t"Aaron ""A."" is"\tAaron\n2\tMoses\tMoses\n'
    file = make_file(tmp_path, "psgs_w100.tsv", data)
    assert [(d.key, d.text, d.title) for d in documents(file)] == [
        ("1", 'Aaron "A." is', "Aaron"),
        ("2", "Moses", "Moses"),
    ]


def test_a_collection_without_header_is_recognised_and_splits(tmp_path):
    lines = [f'{i}\tPassage "{i}, with an open quote' for i in range(200)]
    file = make_file(tmp_path, "collection.tsv", "\n".join(lines))
    found = documents(file)
    assert found[0].key == "0"
    assert found[199].text == 'Passage "199, with an open quote'
    assert by_slices(file, 1000) == found
    assert len({d.position for d in found}) == 200


def test_a_collection_line_without_a_tab_is_set_aside(tmp_path):
    lines = [f"{i}\twords" for i in range(30)]
    lines[25] = "no tab here"
    bad = rejected(make_file(tmp_path, "collection.tsv", "\n".join(lines)))
    assert [(r.where, r.reason) for r in bad] == [("line 26", "no tab between id and passage")]


def test_a_two_column_tsv_with_a_header_is_no_collection(tmp_path):
    file = make_file(tmp_path, "a.tsv", "id\ttext\n1\thello\n")
    assert [d.text for d in documents(file)] == ["hello"]


def test_a_bad_row_loses_only_itself(tmp_path):
    data = (
        "id,text\n1,good\n2,too,many\n3\n4,\n"  # lines 1 to 5
        '5,"never closed\n6,good\n7,"bad" quote\n8,good\n'  # 6 to 9
    )
    file = make_file(tmp_path, "a.csv", data)
    assert [d.key for d in good(file)] == ["1", "6", "8"]
    assert [(r.where, r.position) for r in rejected(file)] == [
        ("line 3", data.index("2,too")),
        ("line 4", data.index("3\n")),
        ("line 5", data.index("4,")),
        ("line 6", data.index("5,")),
        ("line 8", data.index("7,")),
    ]
    reasons = [r.reason for r in rejected(file)]
    assert reasons[:3] == [
        "3 fields where the header names 2",
        "1 field where the header names 2",
        "empty text",
    ]
    assert all(reason.startswith("broken row: ") for reason in reasons[3:])


def test_an_invalid_byte_loses_only_its_row(tmp_path):
    file = make_file(tmp_path, "a.csv", b"id,text\n1,good\n2,caf\xe9\n3,good\n")
    assert [d.key for d in good(file)] == ["1", "3"]
    assert rejected(file)[0].reason == "not valid utf-8 at byte 20 (0xe9)"


@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        ("a,b\n1,2\n", {}, "has no text column; columns: a, b (name the right one with --text"),
        ("text,b\n1,2\n", {"text_field": "x"}, "has no column 'x'; columns: text, b"),
        ("text,text\n1,2\n", {}, "two columns are named 'text'"),
        ("", {}, "has no header row"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_rejected_file(tmp_path, data, options, reason):
    (bad,) = records(make_file(tmp_path, "a.csv", data), **options)
    assert bad.where == "file"
    assert bad.reason.startswith(reason)


def test_a_marked_utf16_table_is_read(tmp_path):
    file = make_file(tmp_path, "a.csv", "id,text\n1,café\n".encode("utf-16"))
    assert documents(file)[0].text == "café"


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), min_size=1)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_what_the_csv_writer_writes_is_read_back(tmp_path_factory, rows, delimiter):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([["id", "text", "mark"], *([a, b, "m"] for a, b in rows)])
    file = make_file(tmp_path_factory.getbasetemp(), "any.csv", out.getvalue())
    assert [(d.key, d.text) for d in good(file)] == [(a, b) for a, b in rows if b.strip()]
    for document in good(file):
        assert good_at(file, document.position) == [document]


def good_at(file, position):
    return records(file, only=[position])
