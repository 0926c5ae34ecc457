"""What retro query is asked: lines of a file or of standard input, and vectors."""

from __future__ import annotations

import json

import numpy as np
import pytest

MARK = b"\xef\xbb\xbf"


@pytest.fixture(params=["file", "-"])
def ask(retro, db, tmp_path, request):
    """Asks these bytes, from a file or through standard input."""

    def run(data: bytes):
        if request.param == "-":
            return retro("query", db, "--queries", "-", "--json", stdin=data)
        (tmp_path / "q.txt").write_bytes(data)
        return retro("query", db, "--queries", "q.txt", "--json")

    return run


@pytest.mark.parametrize("line", [b"the ferry", b'{"id": "1", "text": "the ferry"}'])
def test_a_byte_order_mark_is_no_part_of_the_first_query(ask, line):
    plain, marked = ask(line + b"\r\nthe boat\n"), ask(MARK + line + b"\r\nthe boat\n")
    assert marked.rows == plain.rows
    assert [row["text"] for row in marked.rows] == ["the ferry", "the boat"]


def test_a_query_without_an_id_is_named_by_its_line(ask):
    names = [{"id": None}, {"id": ""}, {}, {"_id": None, "id": "b"}, {"id": 0}, {"_id": "a"}]
    lines = [json.dumps({**name, "text": "the ferry"}) for name in names]
    asked = ask("\n".join(lines).encode())
    assert [row["query"] for row in asked.rows] == ["1", "2", "3", "b", "0", "a"]


BAD = {
    b"": "the line is blank",
    b"  \t": "the line is blank",
    b"caf\xe9": "can't decode byte 0xe9",
    b"{nonsense": "Expecting property name",
    b'{"a":' * 100_000: "recursion",
    b'{"id": "x"}': "no text",
    b'{"id": "x", "text": 7}': "no text",
    b'{"text": "  "}': "no text",
    b'{"text": "\\ud800"}': "surrogates not allowed",
    b"[" * 3 + b"{": "",  # words, as any other
}


def test_each_line_is_answered_also_one_that_is_no_query(ask):
    good = b"the ferry"
    asked = ask(b"\n".join([good, *BAD, good]) + b"\n")
    assert asked.code == 3
    first, *bad, last = asked.rows
    assert first["hits"] == last["hits"] != []
    assert len(bad) == len(BAD)
    for row, why in zip(bad, BAD.values(), strict=True):
        assert why in row.get("error", "")
        assert bool(why) != bool(row["hits"])
    assert [row["query"] for row in bad[:5]] == ["2", "3", "4", "5", "6"]


@pytest.mark.parametrize("shape", ["csv", "trec", "table", "parquet"])
def test_a_line_that_is_no_query_is_told_where_no_row_can_tell_it(retro, db, tmp_path, shape):
    words = ["query", db, "--queries", "-", "-k", 2, "--format", shape, "--out"]
    alone = retro(*words, "a", stdin=b"the ferry\n")
    assert alone.code == 0
    mixed = retro(*words, "b", stdin=b"the ferry\n\n{nonsense\n")
    assert mixed.code == 3
    assert "query 2 has no answer: the line is blank" in mixed.err
    assert "query 3 has no answer: Expecting" in mixed.err
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_closed_standard_input_is_said_to_be_closed(retro, db, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    refused = retro("query", db, "--queries", "-")
    assert (refused.code, "standard input is closed" in refused.err) == (2, True)


def test_a_folder_holds_no_queries(retro, db, archive):
    refused = retro("query", db, "--queries", archive)
    assert refused.code == 2
    assert "archive cannot be read (Is a directory)" in refused.err


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.array(["the", "ferry"]), "<U5"),
        (np.ones((1, 24), complex), "complex128"),
        (np.ones((1, 24), bool), "bool"),
        (np.zeros((1, 24)), "zero or not finite"),
        (np.full((1, 24), 1e300), "zero or not finite"),
        (np.ones((1, 2, 24)), "dimensions"),
        (np.ones(23), "dimensions"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_vectors_that_are_none_are_refused_in_words(retro, db, tmp_path, values, says):
    np.save(tmp_path / "v.npy", values)
    refused = retro("query", db, "--vectors", "v.npy")
    assert (refused.code, says in refused.err) == (2, True), refused.err
    assert "hint:" in refused.err
    assert "defect" not in refused.err


@pytest.mark.parametrize("kind", ["empty", "folder", "archive", "text"])
def test_a_file_that_holds_no_array_is_refused_in_words(retro, db, tmp_path, kind):
    path = tmp_path / "v.npy"
    if kind == "folder":
        path.mkdir()
    elif kind == "archive":
        np.savez(path.open("wb"), np.ones((1, 24)))
    else:
        path.write_bytes(b"" if kind == "empty" else b"the ferry left the harbour")
    refused = retro("query", db, "--vectors", path)
    assert (refused.code, "v.npy cannot be read" in refused.err) == (2, True), refused.err
    assert "defect" not in refused.err


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64])
def test_vectors_of_any_real_type_are_scaled_and_searched(retro, db, tmp_path, dtype):
    np.save(tmp_path / "v.npy", np.arange(1, 25).astype(dtype))
    np.save(tmp_path / "w.npy", np.arange(1, 25).astype(np.float32)[None] / 2)
    first, second = (retro("query", db, "--vectors", f"{n}.npy").rows for n in "vw")
    assert first == second
    assert len(first[0]["hits"]) == 5


def test_a_missing_file_of_queries_leaves_an_earlier_result_as_it_was(retro, db, tmp_path):
    earlier = tmp_path / "run.txt"
    earlier.write_text("what was found yesterday\n")
    refused = retro("query", db, "--queries", tmp_path / "none.txt", "--out", earlier)
    assert refused.code == 2
    assert "no file" in refused.err
    assert earlier.read_text() == "what was found yesterday\n"
