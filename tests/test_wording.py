"""One of a thing is singular, in every line that people read."""

from __future__ import annotations

import re

import pytest
from helpers import write_jsonl

from retro_cli.upkeep.proof_report import Proof
from retro_cli.wording import agreed, counted, listed, near


def test_a_count_takes_the_number_of_its_noun():
    assert [counted(n, "chunk") for n in (0, 1, 2048)] == ["0 chunks", "1 chunk", "2,048 chunks"]
    assert counted(1, "query", "queries") == "1 query"
    assert counted(2, "query", "queries") == "2 queries"
    assert [agreed(n, "is", "are") for n in (0, 1, 2)] == ["are", "is", "are"]
    assert [listed("rule", numbers) for numbers in ((7,), (1, 2))] == ["rule 7", "rules 1, 2"]


def test_a_hint_names_what_is_near_in_any_case_or_else_where_to_look():
    assert near("Yaer", ["year", "zzz"], "look") == "near: year"
    assert near("AUTHOR", ["Author", "zzz"], "look") == "near: Author"
    assert near("br/a[1].txt", ["br/a[2].txt"], "look") == "near: br/a[2].txt"
    assert near("x", ["year"], "look") == near("x", [], "look") == "look"


NOUNS = "chunk|document|part|segment|row|source|file|record|vector|text|generation|rule|token|list"
WRONG = re.compile(
    rf"(?<![\d.,])1 (?:[a-z]+ )?({NOUNS})s\b|\b({NOUNS})s \d+(?!,? ?\d)(?! to)\b|\b1 \w+ are\b"
)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("1 chunks blanked", True), ("by rules 2 are", True), ("generations 1 still", True),
     ("1 removed chunks", True), ("1 chunk are back", True), ("11 chunks", False),
     ("1.1 chunks", False), ("rules 1, 2", False), ("rules 1 to 3", False),
     ("1 of 18 chunks", False), ("2 chunks", False)],
)  # fmt: skip
def test_the_pattern_of_this_test_finds_what_it_should(text, wrong):
    assert bool(WRONG.search(text)) == wrong


def test_a_life_of_single_things_is_told_in_the_singular(retro, static_encoder, tmp_path):
    """One document of one chunk beside another, filtered, restored, edited, purged."""
    records = [{"id": s, "source": s, "text": f"the {s} boat"} for s in ("good", "bad")]
    write_jsonl(tmp_path / "p.jsonl", records[:1])
    said = []

    def run(*args, code=0):
        done = retro(*args)
        assert done.code == code, done.err
        said.extend((done.out + done.err).splitlines())

    build = ("build", "p.jsonl", "--db", "p.db", "--encoder", static_encoder)
    run(*build)
    run(*build)
    run("filter", "add", "p.db", "--source", "good", "--reason", "x", "--dry-run")
    run("filter", "add", "p.db", "--source", "good", "--reason", "x", code=2)
    run("filter", "verify", "p.db")
    write_jsonl(tmp_path / "p.jsonl", records)
    run("diff", "p.db", "p.jsonl")
    run("status", "p.db")
    run("chunk", "p.jsonl", "--db", "p.db")
    run("status", "p.db")
    run("embed", "p.db")
    run("status", "p.db")
    run("index", "p.db")
    run("diff", "p.db", "1", "2")
    run("filter", "sources", "p.db", "--score", "--scorer", "words", "--limit", 1)
    run("filter", "add", "p.db", "--source", "bad", "--reason", "x")
    run("filter", "verify", "p.db")
    run("filter", "show", "p.db", 1)
    run("filter", "undo", "p.db", 7, code=2)
    run("filter", "undo", "p.db", 1)
    run("filter", "add", "p.db", "--source", "bad", "--reason", "x")
    run("rollback", "p.db", 3)
    run("compact", "p.db", "--purge", code=2)
    run("compact", "p.db", "--purge", "--yes")
    run("filter", "verify", "p.db")
    run("verify", "p.db")
    run("neighbours", "p.db")
    run("export", "p.db", "out.jsonl")
    run("history", "p.db")
    assert [line for line in said if WRONG.search(line)] == []
    assert any("1 chunk blanked in 0 parts, 1 part gone" in line for line in said)
    assert any("1 chunk taken by rule 2 is gone for good" in line for line in said)
    assert any("1 chunk is back" in line for line in said)


def test_a_proof_of_one_and_of_many():
    one = Proof(rules=(1,), removed=1, searched=1, results=1, copies=1, older=("1",))
    assert [line for line in one.lines() if WRONG.search(line)] == []
    text = "\n".join(one.lines())
    assert "rule 1, which takes 1 chunk" in text
    assert "generation 1 still holds" in text
    many = Proof(rules=(1, 2), removed=2, searched=2, results=3, older=("1", "2"))
    text = "\n".join(many.lines())
    assert "rules 1, 2, which take 2 chunks" in text
    assert "generations 1, 2 still hold" in text
