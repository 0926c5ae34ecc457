"""Undos and rollbacks past compactions, missing scorers, damage and killed runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import write_jsonl

from retro_cli.index.build import Build
from retro_cli.index.catalogue import current_generation
from retro_cli.index.segments import inverted_file, load_index


def numbers(succeed, db) -> list[int]:
    """The generations that are kept, the oldest first."""
    return [entry["number"] for entry in succeed("history", db, "--json").rows]


def test_a_rollback_past_a_compaction_keeps_a_rule_by_toxicity(succeed, ask, take_word, island):
    root, db = island
    take_word(db, "zebra", 0.9)
    ferry = {"id": "c", "text": "the island ferry " * 9, "source": "good"}
    write_jsonl(root / "c.jsonl", [ferry])
    succeed("build", root, "--db", db)
    before, before_hits = numbers(succeed, db)[-1], ask(db, "the island")
    succeed("compact", db)
    assert numbers(succeed, db)[-2] == before
    succeed("rollback", db, before)
    assert ask(db, "the island") == before_hits
    assert current_generation(db / "index").filtered.rules == (1,)
    succeed("filter", "verify", db)


def test_a_rule_whose_scorer_is_gone_can_be_undone(retro, succeed, ask, take_word, island):
    root, db = island
    take_word(db, "island", 0.1)
    assert {hit["document"] for hit in ask(db, "the island")} == {"a"}
    (db.parent / "words.txt").unlink()
    write_jsonl(root / "e.jsonl", [{"id": "e", "text": "the ferry " * 9, "source": "good"}])
    refused = retro("build", root, "--db", db)
    assert refused.code == 2
    assert "there is no file" in refused.err
    assert "words.txt" in refused.err
    assert "2 chunks are back" in succeed("filter", "undo", db, 1).err
    assert {hit["document"] for hit in ask(db, "the island")} == {"a", "c"}
    succeed("build", root, "--db", db)
    assert {hit["document"] for hit in ask(db, "the island")} == {"a", "c", "e"}


def test_a_rollback_that_fails_leaves_the_rules_as_they_were(retro, succeed, ask, name_sources, db):
    name_sources(db, "letters")
    old, new = (
        json.loads((db / "index" / f"gen-00000{n}.json").read_text())["dead"]["name"]
        for n in (1, 2)
    )
    assert old != new
    (db / "index" / old).write_bytes(b"x" * 99)
    refused = retro("rollback", db, 1, "--with-filters")
    assert refused.code == 4
    assert f"{old} has 99 bytes" in refused.err
    assert succeed("filter", "list", db, "--json").rows[0]["state"] == "active"
    assert numbers(succeed, db)[-1] == 2
    assert "letters" not in {hit["source"] for hit in ask(db, "a letter")}


def test_the_recall_is_measured_anew_by_the_index_run_after_an_undo(succeed, name_sources, db):
    def rows_and_measured():
        stages = json.loads(succeed("status", db, "--json").out)["stages"]
        (facts,) = [stage["facts"] for stage in stages if stage["name"] == "index"]
        return facts["rows"], facts["recall_measured_at_rows"]

    name_sources(db, "letters", "forum")
    succeed("index", db, "--retrain")
    assert rows_and_measured() == (43, 43)
    succeed("filter", "undo", db, 1)
    assert rows_and_measured() == (63, 43)
    succeed("index", db)
    assert rows_and_measured() == (63, 63)


def test_a_rollback_uses_nothing_that_a_killed_undo_of_other_centroids_had_finished(
    retro, succeed, name_sources, db, monkeypatch
):
    def interrupted(*args, **named):
        raise KeyboardInterrupt

    def centroids(name):
        index = load_index(db / "index" / name)
        lists = inverted_file(index)
        return lists.quantizer.reconstruct_n(0, lists.nlist)

    succeed("index", db, "--factory", "IVF4,SQ8")
    name_sources(db, "letters")
    succeed("compact", db, "--max-dead", 0, "--keep-generations", 9)
    succeed("index", db, "--retrain")
    before_training, _ = numbers(succeed, db)[-2:]
    with monkeypatch.context() as patched:
        patched.setattr(Build, "_commit", interrupted)
        assert retro("filter", "undo", db, 1).code == 130
    assert (db / "index" / "journal.jsonl").read_text()
    succeed("rollback", db, before_training)
    generation = current_generation(db / "index")
    wanted = centroids(generation.template.name)
    assert len(generation.segments) == 2  # the compacted one, and what the undo brings back
    for segment in generation.segments:
        assert np.array_equal(centroids(segment.file.name), wanted)


@pytest.mark.parametrize("edited", ["the boat ferry ", "the island ferry "])
def test_a_rule_by_toxicity_between_a_chunk_run_and_its_index_takes_old_text_and_new(
    succeed, ask, score_word, take_word, island, edited
):
    root, db = island
    write_jsonl(root / "c.jsonl", [{"id": "c", "text": edited * 9, "source": "good"}])
    succeed("chunk", root, "--db", db)
    take_word(db, "island", 0.1)
    proof = succeed("filter", "verify", db, "--json").rows[0]
    assert (proof["removed"], proof["leaks"]) == (2, [])
    assert {hit["document"] for hit in ask(db, "the island")} == {"a"}
    assert score_word(db, "island")["scored"] == 0
    succeed("build", root, "--db", db)
    left = {"a"} if "island" in edited else {"a", "c"}
    assert {hit["document"] for hit in ask(db, "the island")} == left
