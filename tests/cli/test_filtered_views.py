"""What a rule takes is gone from every view, not only from queries."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from helpers import write_jsonl


def test_export_leaves_out_what_a_rule_takes_unless_asked(retro, db, tmp_path):
    assert retro("filter", "add", db, "--source", "letters", "--reason", "test").code == 0
    retro("export", db, "some.jsonl")
    retro("export", db, "all.jsonl", "--with-filtered")

    def sources(name):
        return [json.loads(line)["source"] for line in (tmp_path / name).read_text().splitlines()]

    everything = sources("all.jsonl")
    assert everything.count("letters") == 10
    assert sources("some.jsonl") == [source for source in everything if source != "letters"]


SAID = "the lamp of the night keeper burns oil until the tide turns at the light and the boat"


def said_twice(retro, tmp_path, static_encoder):
    """A database with a text of several chunks that two documents hold."""
    records = [
        {"id": "first", "source": "s1", "title": "one", "text": SAID},
        {"id": "other", "source": "s1", "title": "two", "text": "the ferry in the storm"},
        {"id": "second", "source": "s2", "title": "three", "text": SAID},
    ]
    write_jsonl(tmp_path / "a.jsonl", records)
    how = ["--encoder", static_encoder, "--tokens", 8, "--dedup", "chunk"]
    assert retro("build", "a.jsonl", "--db", "a.db", *how).code == 0
    return records


@pytest.mark.parametrize("loss", ["a rule", "an edit"])
def test_export_names_a_text_after_a_document_that_is_left(retro, static_encoder, tmp_path, loss):
    records = said_twice(retro, tmp_path, static_encoder)
    if loss == "a rule":
        assert retro("filter", "add", "a.db", "--doc", "first", "--reason", "x").code == 0
    else:
        write_jsonl(tmp_path / "a.jsonl", records[1:])
        assert retro("build", "a.jsonl", "--db", "a.db", "--prune").code == 0
    assert retro("export", "a.db", "a.parquet").code == 0
    rows = pq.read_table("a.parquet").to_pylist()
    assert {row["document"] for row in rows} == {"other", "second"}
    for row in rows:
        assert row["source"] == {"other": "s1", "second": "s2"}[row["document"]]
        shown = retro("show", "a.db", row["id"], "--json").rows[0]
        assert shown["document"] == row["document"]
        assert row["text"] in str(shown)


def test_vectors_by_the_names_of_what_is_left_come_back(retro, static_encoder, tmp_path):
    records = said_twice(retro, tmp_path, static_encoder)
    write_jsonl(tmp_path / "a.jsonl", records[1:])
    assert retro("build", "a.jsonl", "--db", "a.db", "--prune").code == 0
    assert retro("export", "a.db", "v.parquet", "--vectors").code == 0
    before = retro("query", "a.db", "the boat", "--json").rows
    back = retro("embed", "a.db", "--from", "v.parquet", "--encoder", static_encoder)
    assert back.code == 0, back.err
    assert retro("index", "a.db").code == 0
    assert retro("query", "a.db", "the boat", "--json").rows == before


def test_show_hides_the_text_of_a_chunk_that_a_rule_takes_unless_asked(retro, db):
    hit = retro("query", db, "a letter about boat 1", "--source", "letters", "--json")
    chunk = hit.rows[0]["hits"][0]["chunk"]
    retro("filter", "add", db, "--source", "letters", "--reason", "test")
    shown = retro("show", db, chunk)
    assert shown.code == 0
    assert "letter about" not in shown.out
    assert "kept out by a rule" in shown.out
    assert "letter about" in retro("show", db, chunk, "--all").out
    around = retro("show", db, chunk, "--json").rows[0]["around"]
    assert [piece["text"] for piece in around] == [None] * len(around)


def test_no_rule_comes_from_the_environment(retro, db, monkeypatch):
    monkeypatch.setenv("RETRO_WHERE", "year >= 1995")
    monkeypatch.setenv("RETRO_LEVEL", "doc")
    monkeypatch.setenv("RETRO_YES", "1")
    added = retro("filter", "add", db, "--source", "letters", "--reason", "test", "--json")
    assert added.code == 0, added.err
    assert added.rows[0]["rule"]["where"] == ""
    assert retro("filter", "add", db, "--source", "*", "--reason", "all").code == 2
