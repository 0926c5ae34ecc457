"""Compactions after changed encoders, edits, rollbacks and rules that take everything."""

from __future__ import annotations

import json

import pytest
from helpers import fingerprint, write_jsonl

from retro_cli.index.generation import Generation

LETTER = "a letter about boat 3"


@pytest.mark.parametrize("rolled_back", [False, True], ids=["embedded", "rolled back"])
def test_no_compaction_mixes_the_vectors_of_two_encoders(
    retro, succeed, ask, db, other_encoder, rolled_back
):
    succeed("embed", db, "--encoder", other_encoder)
    if rolled_back:
        succeed("index", db)
        succeed("rollback", db, 1)
    refused = retro("compact", db, "--max-dead", 0)
    assert refused.code == 2
    assert "the vectors come from another encoder than the index" in refused.err
    assert f"run: retro index {db}" in refused.err
    succeed("index", db)
    found = ask(db, LETTER, 3)
    assert found[0]["text"].strip() == LETTER
    assert found[0]["score"] > 0.99
    succeed("compact", db, "--max-dead", 0)


def test_a_compaction_with_nothing_to_do_makes_no_generation_and_changes_no_byte(
    succeed, ask, db, monkeypatch
):
    saved = []
    before, found = fingerprint(db), ask(db, "the boat")
    with monkeypatch.context() as patched:
        patched.setattr(Generation, "save", lambda *args: saved.append(args))
        done = succeed("compact", db, "--json").rows[0]
    assert saved == []
    assert (done["generation"], done["segments"], done["generations"]) == (1, 0, 1)
    assert done["rewritten"] == {"rows": 0, "parts_rewritten": 0, "parts_gone": 0}
    assert fingerprint(db) == before
    assert ask(db, "the boat") == found


def test_all_chunks_come_back_after_all_were_taken_and_compacted(succeed, ask, db):
    before = ask(db, "the boat")
    assert len(before) == 63
    succeed("filter", "add", db, "--match", ".", "--reason", "all", "--yes")
    assert succeed("compact", db, "--max-dead", 0, "--json").rows[0]["segments"] == 1
    assert ask(db, "the boat") == []
    proof = succeed("filter", "verify", db, "--json").rows[0]
    assert (proof["removed"], proof["leaks"]) == (63, [])
    succeed("index", db)
    assert "63 chunks are back" in succeed("filter", "undo", db, 1).err
    assert ask(db, "the boat") == before


def test_copies_stay_out_after_their_original_is_edited_and_compacted(succeed, ask, copied):
    root, db = copied
    write_jsonl(root / "a.jsonl", [{"id": "a", "text": "the ferry", "source": "bad"}])
    succeed("build", root, "--db", db)
    assert {hit["document"] for hit in ask(db, "the keeper")} == {"c"}
    assert succeed("compact", db, "--max-dead", 0, "--json").rows[0]["rewritten"]["rows"] > 0
    assert {hit["document"] for hit in ask(db, "the keeper")} == {"c"}


def test_a_compaction_between_two_generations_is_no_difference(succeed, island):
    root, db = island
    boats = [{"id": f"k{n}", "text": f"the boat {n} " * 9, "source": "good"} for n in range(4)]
    write_jsonl(root / "b.jsonl", [{"id": "b", "text": "the boat " * 9, "source": "good"}])
    write_jsonl(root / "k.jsonl", boats)
    succeed("build", root, "--db", db)
    write_jsonl(root / "k.jsonl", boats[:2])
    succeed("build", root, "--db", db, "--prune")
    done = succeed("compact", db, "--json").rows[0]["rewritten"]
    assert done == {"rows": 8, "parts_rewritten": 1, "parts_gone": 1}
    then, now = [entry["number"] for entry in succeed("history", db, "--json").rows[-2:]]
    found = succeed("diff", db, then, now, "--json").rows[0]
    for side in ("before", "after"):
        assert (found[side]["documents"], found[side]["chunks"]) == (5, 12)
    for kind in ("added", "removed", "replaced"):
        assert found[kind] == {"count": 0, "names": []}
    assert (found["recut"], found["sources"], found["index"]) == (0, [], [])


def test_a_plain_compaction_rewrites_only_what_holds_more_dead_rows_than_the_limit(
    succeed, ask, static_encoder, tmp_path
):
    """200 rows of which 10 % are taken, and 10 of which 30 % are: two segments."""

    def say(name, count):
        words = ("ferry", "light", "keeper", "island", "storm", "boat", "harbour")
        records = [
            {"id": f"{name}{n}", "text": f"the {words[n % 7]} {name} {n}", "source": name}
            for n in range(count)
        ]
        write_jsonl(root / f"{name}.jsonl", records)
        succeed("build", root, "--db", db, *settings)

    def segments():
        index = db / "index"
        current = (index / "CURRENT").read_text().strip()
        found = json.loads((index / current).read_text())["segments"]
        return {each["rows"]: each["file"]["name"] for each in found}

    def take(*names):
        named = [word for name in names for word in ("--doc", name)]
        succeed("filter", "add", db, *named, "--reason", "x")

    root, db = tmp_path / "in", tmp_path / "two.db"
    root.mkdir()
    settings = ["--encoder", static_encoder, "--tokens", 16]
    say("large", 200)
    settings = []
    say("small", 10)
    large, small = segments()[200], segments()[10]
    take(*(f"large{n}" for n in range(20)))
    take(*(f"small{n}" for n in range(3)))
    assert segments() == {200: large, 10: small}
    before = ask(db, "the boat", 999)
    assert len(before) == 187
    assert succeed("compact", db, "--json").rows[0]["segments"] == 1
    after = segments()
    assert after[200] == large
    assert set(after) == {200, 7}
    assert after[7] != small
    assert ask(db, "the boat", 999) == before
    assert succeed("compact", db, "--json").rows[0]["segments"] == 0
    assert segments() == after
    assert succeed("compact", db, "--max-dead", 0.05, "--json").rows[0]["segments"] == 1
    assert set(segments()) == {180, 7}
    assert segments()[7] == after[7]
    assert ask(db, "the boat", 999) == before
