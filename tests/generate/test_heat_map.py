"""A trace's lines into chunks by tokens; what is no trace is named by its line."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.errors import UnreadableInput
from retro_cli.generate.heat_map import read_trace


def neighbour(chunk, mass=0.5, **more):
    named = {"chunk": chunk, "document": f"d{chunk}", "source": f"s{chunk}", "score": 1}
    return {**named, "mass": mass, **more}


def line(text="word", neighbours=(), **more):
    value = {"token": 1, "text": text, "logprob": -1.5, "neighbours": list(neighbours), **more}
    return json.dumps(value).encode() + b"\n"


def read(*lines, most=12):
    return read_trace(lines, "t.jsonl", most)


def test_rows_are_chunks_in_the_order_they_were_read_and_columns_tokens():
    found = read(
        line("a", [neighbour(7, 0.75, title="T", text="words"), neighbour(3, 0.25)]),
        line(" b", [neighbour(3, 1.0), neighbour(9, None)]),
    )
    assert found.tokens == ("a", " b")
    assert [one.chunk for one in found.chunks] == [7, 3, 9]
    shares = [[cell and cell.share for cell in row] for row in found.rows]
    assert shares == [[0.75, None], [0.25, 1.0], [None, None]]
    assert found.rows[0][1] is None
    assert found.rows[2][1] is not None
    assert [one.mean for one in found.chunks] == [0.375, 0.625, 0]
    assert (found.chunks[0].title, found.chunks[0].text) == ("T", "words")
    assert found.rest == (0, 0)


def test_the_smallest_shares_make_room_and_are_summed():
    found = read(
        line("a", [neighbour(n, share) for n, share in enumerate((0.1, 0.6, 0.05, 0.25))]), most=2
    )
    assert [one.chunk for one in found.chunks] == [1, 3]
    assert found.rest == pytest.approx([0.15])


def test_a_chunk_that_is_there_twice_has_both_its_shares():
    found = read(line("a", [neighbour(4, 0.2), neighbour(4, 0.3)]))
    assert found.rows[0][0].share == pytest.approx(0.5)


def test_what_other_readers_add_is_no_fault_and_blank_lines_are_none():
    found = read(line("a", [neighbour(1, gate=0.4)], **{"lambda": 0.2}), b"\n", line("b"))
    assert found.tokens == ("a", "b")


BAD = [
    (b"{", "no JSON"),
    (b"[]", "no object"),
    (b"\xff\xfe", "no JSON"),
    (b"[" * 100_000, "no JSON"),
    (b"{}", "neighbours is no list"),
    (line(text=3), "text is no text"),
    (line(neighbours=[3]), "a neighbour is no object"),
    (line(neighbours=[neighbour("1")]), "no whole number"),
    (line(neighbours=[neighbour(True)]), "no whole number"),
    (line(neighbours=[{**neighbour(1), "source": None}]), "source is no text"),
    (line(neighbours=[neighbour(1, 1.5)]), "between 0 and 1"),
    (line(neighbours=[neighbour(1, float("nan"))]), "between 0 and 1"),
    (line(neighbours=[neighbour(1, "x")]), "between 0 and 1"),
    (line(neighbours=[neighbour(1, title=3)]), "title is no text"),
    (line(logprob="-1"), "logprob is no number"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD, ids=range(len(BAD)))
def test_what_is_no_trace_is_named_with_its_line(bad, reason):
    with pytest.raises(UnreadableInput, match=reason) as found:
        read(line("fine"), bad)
    assert "t.jsonl, line 2" in found.value.message


@pytest.mark.parametrize("lines", [(), (b"\n", b"  \n")])
def test_an_empty_file_is_no_trace(lines):
    with pytest.raises(UnreadableInput, match="no token"):
        read(*lines)


@given(st.binary(max_size=80))
def test_whatever_the_bytes_it_is_a_trace_or_a_refusal(data):
    with suppress(UnreadableInput):
        assert read(data).tokens
