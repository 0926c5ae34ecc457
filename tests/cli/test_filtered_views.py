"""What a rule takes is gone from every view, not only from queries."""

from __future__ import annotations

import json


def test_export_leaves_out_what_a_rule_takes_unless_asked(retro, db, tmp_path):
    assert retro("filter", "add", db, "--source", "letters", "--reason", "test").code == 0
    retro("export", db, "some.jsonl")
    retro("export", db, "all.jsonl", "--with-filtered")

    def sources(name):
        return [json.loads(line)["source"] for line in (tmp_path / name).read_text().splitlines()]

    everything = sources("all.jsonl")
    assert everything.count("letters") == 10
    assert sources("some.jsonl") == [source for source in everything if source != "letters"]


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
