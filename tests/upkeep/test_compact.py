"""Compaction and purges: what stays answers as before, what goes is gone from every byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import every_word, write_jsonl
from tokenizers import Tokenizer

from retro_cli import Database
from retro_cli.chunks.manifest import require_manifest
from retro_cli.reading.text_table import given_ids
from retro_cli.store.lock import ReadHold

SECRET = "zebra xylophone quicksand"


@pytest.fixture
def forum(retro, static_encoder, tmp_path):
    """A database in which one source says something that must go, and a copy says it too."""
    root = tmp_path / "forum"
    root.mkdir()
    posts = [
        {"id": f"p{n}", "text": f"the ferry {n} left the harbour in storm {n}. " * 4,
         "title": f"Ferry {n}", "source": "good"}
        for n in range(12)
    ]  # fmt: skip
    bad = [
        {"id": f"b{n}", "text": f"{SECRET} {n}. the keeper saw the boat. " * 3,
         "title": f"{SECRET} title {n}", "source": "bad", "note": f"{SECRET} note"}
        for n in range(5)
    ]  # fmt: skip
    path = write_jsonl(root / "posts.jsonl", posts + bad)
    with path.open("a") as file:
        file.write('{"text": "' + SECRET + " broken\n")
    db = tmp_path / "forum.db"
    built = retro("build", root, "--db", db, "--encoder", static_encoder, "--tokens", 16)
    assert built.code == 3  # a record was set aside
    return db


def decoded(db: Path, tokenizer: Path) -> str:
    """Everything that is left in a database, decoded: not a grep over compressed bytes."""
    words = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    width = require_manifest(db / "chunks").token_bytes
    found = []
    for folder in sorted(db.glob("lexical/*")):
        found.append(" ".join(every_word(folder)))
    for path in sorted(db.rglob("*")):
        if not path.is_file() or (path.is_relative_to(db / "lexical") and path.suffix != ".json"):
            continue
        if path.suffix == ".parquet":
            for row in pq.read_table(path).to_pylist():
                if row.get("tokens"):
                    ids = np.frombuffer(row["tokens"], f"<u{width}").tolist()
                    found.append(words.decode(ids))
                found.append(repr({k: v for k, v in row.items() if k != "tokens"}))
        elif path.suffix == ".npz":  # digests and sketches; tests/filters/test_sketches.py attacks
            with np.load(path) as kept:
                assert set(kept) == {"texts", "sketches", "sizes"}
        elif path.suffix not in (".npy", ".f4", ".faiss", ".bitmap"):
            found.append(path.read_text(encoding="utf-8"))
    return "\n".join(found)


def vectors_of(db: Path, ids: list[int]) -> np.ndarray:
    manifest = require_manifest(db / "chunks")
    value = json.loads((db / "embeddings" / "manifest.json").read_text())
    files = {part["name"]: part["file"]["name"] for part in value["parts"]}
    rows = []
    assert {path.name for path in (db / "embeddings").glob("*.npy")} == set(files.values())
    for part in manifest.parts:
        stored = np.load(db / "embeddings" / files[part.name])
        rows += [stored[i - part.base] for i in ids if part.base <= i < part.base + part.rows]
    return np.array(rows)


def indexed_ids(db: Path) -> set[int]:
    """Every id in every index file on the disk, list by list, whether a generation names it."""
    found: set[int] = set()
    for path in db.rglob("*.faiss"):
        index = faiss.read_index(str(path))
        inverted = faiss.extract_index_ivf(index)  # raises if it is any other kind
        assert inverted.direct_map.type == faiss.DirectMap.NoMap  # no second place for ids
        lists = inverted.invlists
        held = [
            faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number)).tolist()
            for number in range(lists.nlist)
            if lists.list_size(number)
        ]
        assert sum(map(len, held)) == index.ntotal
        found.update(*held)
    return found


def test_a_purge_leaves_nothing_to_decode(retro, ask, forum, static_encoder):
    assert SECRET in decoded(forum, static_encoder)
    assert retro("filter", "score", forum, "--scorer", "words").code == 0
    assert retro("neighbours", forum, "-k", 4).code == 0
    bad = [row["chunk"] for row in ask(forum, SECRET, 999) if row["source"] == "bad"]
    rule = ("--source", "bad", "--copies", "near", "--reason", "noise")
    assert retro("filter", "add", forum, *rule).code == 0
    before = {hit["chunk"]: hit["score"] for hit in ask(forum, "the ferry left", 30)}
    refused = retro("compact", forum, "--purge")
    assert refused.code == 2
    assert SECRET in decoded(forum, static_encoder)
    assert len(bad) == 45
    held = indexed_ids(forum)
    assert held > set(bad)  # a mask hides them, and they are there
    done = retro("compact", forum, "--purge", "--yes", "--json")
    assert done.code == 0, done.err
    assert done.rows[0]["rules_ended"] == [1]
    left = decoded(forum, static_encoder)
    for word in SECRET.split():
        assert word not in left
    assert not vectors_of(forum, bad).any()
    assert indexed_ids(forum) == held - set(bad)
    after = {hit["chunk"]: hit["score"] for hit in ask(forum, "the ferry left", 30)}
    assert after == before
    assert retro("filter", "verify", forum).code == 0
    assert retro("verify", forum).code == 0
    assert retro("status", forum, "--check").code == 0
    scores = np.concatenate(
        [np.fromfile(path, "<f4") for path in (forum / "attributes" / "words").glob("*.f4")]
    )
    assert np.isnan(scores[bad]).all()
    with Database.open(forum) as opened:
        given = given_ids(opened.retriever.layout, "default", opened.retriever.own)
        assert not set(bad) & set(np.concatenate(list(given)).tolist())


def test_a_purged_rule_cannot_be_undone_and_goes_on_holding(retro, ask, forum, tmp_path):
    retro("filter", "add", forum, "--source", "bad", "--reason", "noise")
    assert retro("compact", forum, "--purge", "--yes").code == 0
    refused = retro("filter", "undo", forum, 1)
    assert refused.code == 2
    assert "gone from the disk" in refused.err
    # The source still says it, so it is chunked again with its changed file; the rule holds.
    with (tmp_path / "forum" / "posts.jsonl").open("a") as file:
        file.write(json.dumps({"id": "new", "text": "the island", "source": "good"}) + "\n")
    retro("build", tmp_path / "forum", "--db", forum)
    assert not [hit for hit in ask(forum, SECRET) if hit["source"] == "bad"]
    assert retro("filter", "undo", forum, 1, "--lift").code == 0
    assert [hit for hit in ask(forum, SECRET) if hit["source"] == "bad"]


def test_a_rollback_keeps_todays_rules_and_stops_at_a_purge(retro, ask, forum, tmp_path):
    retro("filter", "add", forum, "--source", "bad", "--reason", "noise")
    with (tmp_path / "forum" / "posts.jsonl").open("a") as file:
        file.write(json.dumps({"id": "new", "text": "the island " * 9, "source": "good"}) + "\n")
    retro("build", tmp_path / "forum", "--db", forum)
    assert any(hit["document"] == "new" for hit in ask(forum, "the island", 3))
    assert retro("rollback", forum, 1).code == 0
    assert not any(hit["document"] == "new" for hit in ask(forum, "the island"))
    assert not [hit for hit in ask(forum, SECRET) if hit["source"] == "bad"]
    assert retro("filter", "verify", forum).code == 0
    assert "rollback to 1" in retro("history", forum).out
    assert retro("index", forum).code == 0  # forward again
    assert any(hit["document"] == "new" for hit in ask(forum, "the island", 3))
    missing = retro("rollback", forum, 99)
    assert missing.code == 2
    assert "no generation 99" in missing.err
    retro("compact", forum, "--purge", "--yes")
    past = retro("rollback", forum, 1)
    assert past.code == 2
    assert "purge" in past.err


def test_a_rollback_with_filters_brings_back_that_generations_rules(retro, ask, forum):
    retro("filter", "add", forum, "--source", "bad", "--reason", "noise")
    assert retro("rollback", forum, 1, "--with-filters").code == 0
    assert [hit for hit in ask(forum, SECRET) if hit["source"] == "bad"]
    assert retro("filter", "list", forum, "--json").rows[0]["state"] == "undone"
    assert retro("rollback", forum, 2, "--with-filters").code == 0
    assert not [hit for hit in ask(forum, SECRET) if hit["source"] == "bad"]
    assert retro("filter", "list", forum, "--json").rows[0]["state"] == "active"


def test_compaction_takes_replaced_documents_off_the_disk(
    retro, ask, forum, tmp_path, static_encoder
):
    posts = [
        {"id": f"p{n}", "text": f"the island {n} in light. " * 4, "source": "good"}
        for n in range(12)
    ]  # fmt: skip
    write_jsonl(tmp_path / "forum" / "posts.jsonl", posts)
    retro("build", tmp_path / "forum", "--db", forum, "--prune")
    answers = ask(forum, "the island")
    assert SECRET in decoded(forum, static_encoder)
    done = retro("compact", forum, "--keep-generations", 1, "--json").rows[0]
    assert done["rewritten"]["parts_gone"] == 1
    assert done["segments"] == 0  # the update let go of the dead rows itself
    assert done["bytes_after"] < done["bytes_before"]
    assert SECRET not in decoded(forum, static_encoder)
    assert ask(forum, "the island") == answers
    assert retro("verify", forum).code == 0
    again = retro("compact", forum, "--json").rows[0]
    assert again["generation"] == done["generation"]


def test_what_a_compaction_dropped_from_the_index_comes_back_with_an_undo(retro, ask, forum):
    before = ask(forum, SECRET)
    retro("filter", "add", forum, "--source", "bad", "--reason", "noise")
    assert retro("compact", forum, "--max-dead", 0, "--json").rows[0]["segments"] == 1
    assert retro("filter", "undo", forum, 1).code == 0
    assert ask(forum, SECRET) == before


def test_purging_the_first_of_two_copies_leaves_the_other_its_answers(
    retro, ask, static_encoder, tmp_path
):
    text = "the keeper of the light saw the boat in the storm. " * 4
    records = [
        {"id": "a", "text": text, "source": "bad"},
        {"id": "b", "text": text, "source": "good"},
        {"id": "c", "text": "the island " * 9, "source": "good"},
    ]
    write_jsonl(tmp_path / "r.jsonl", records)
    db = tmp_path / "copies.db"
    retro("build", "r.jsonl", "--db", db, "--encoder", static_encoder, "--tokens", 16)
    retro("filter", "add", db, "--source", "bad", "--reason", "test")
    expected = [
        (hit["document"], hit["text"], hit["continuation"])
        for hit in ask(db, "the keeper of the light")
    ]
    assert {document for document, _, _ in expected} == {"b", "c"}
    assert retro("compact", db, "--purge", "--yes").code == 0
    found = [
        (hit["document"], hit["text"], hit["continuation"])
        for hit in ask(db, "the keeper of the light")
    ]
    assert found == expected
    assert retro("verify", db).code == 0
    assert retro("embed", db, "--json").rows[0]["parts_done"] == 0


def test_a_purge_waits_for_readers_of_the_old_text(retro, forum, static_encoder):
    retro("filter", "add", forum, "--source", "bad", "--reason", "noise")
    with Database.open(forum) as reader:
        held = retro("compact", forum, "--purge", "--yes")
        assert held.code == 5
        assert "reader" in held.err
        assert reader.query("the ferry left", k=5)
    assert retro("compact", forum, "--purge", "--yes").code == 0
    assert SECRET not in decoded(forum, static_encoder)


@pytest.fixture
def replaced(retro, forum, tmp_path):
    """The forum after an edit that took its secret out; its text is dead, and on the disk."""
    path = tmp_path / "forum" / "posts.jsonl"
    path.write_text("".join(line for line in path.open() if SECRET not in line))
    assert retro("build", tmp_path / "forum", "--db", forum, "--prune").code == 0
    return forum


def is_refused_past_a_purge(retro, db):
    before = ids(retro, db)
    for how in ([], ["--with-filters"]):
        refused = retro("rollback", db, 1, *how)
        assert refused.code == 2
        assert "generation 1 went with a purge" in refused.err
        assert "no way back past a purge" in refused.err
    assert ids(retro, db) == before


def ids(retro, db):
    hits = retro("query", db, SECRET, "-k", 999, "--json").rows[0]["hits"]
    assert not [hit for hit in hits if hit["source"] == "bad"]
    return [hit["chunk"] for hit in hits]


@pytest.mark.parametrize("more", [0, 4])
def test_no_rollback_past_a_purge_that_waits_for_a_reader(retro, forum, more):
    """Nor when the generation that the purge made has itself been swept."""
    with Database.open(forum) as reader:
        retro("filter", "add", forum, "--source", "bad", "--reason", "noise")
        assert retro("compact", forum, "--purge", "--yes").code == 5
        for number in range(more):
            assert retro("filter", "add", forum, "--doc", f"p{number}", "--reason", "x").code == 0
        assert (forum / "index" / "gen-000001.json").exists()
        is_refused_past_a_purge(retro, forum)
        assert reader.query("the ferry left", k=5)
    assert retro("compact", forum, "--purge", "--yes").code == 0
    is_refused_past_a_purge(retro, forum)


@pytest.mark.parametrize("first", [[], ["--max-dead", 0]])
def test_no_rollback_past_a_purge_of_replaced_text(retro, forum, replaced, first):
    """Also where a compaction had left the purge nothing to do but to wait."""
    hold = ReadHold(forum / "index" / "gen-000001.json")
    if first:
        assert retro("compact", forum, *first).code == 0
    assert retro("compact", forum, "--purge", "--yes").code == 5
    is_refused_past_a_purge(retro, forum)
    hold.close()


def test_no_rollback_past_a_purge_that_was_killed(retro, forum, replaced, monkeypatch):
    def interrupted(*args, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("retro_cli.upkeep.compact._new_generation", interrupted)
        assert retro("compact", forum, "--purge", "--yes").code == 130
    is_refused_past_a_purge(retro, forum)
    assert retro("compact", forum, "--purge", "--yes").code == 0
    is_refused_past_a_purge(retro, forum)


def test_what_is_made_after_a_purge_can_be_gone_back_to(retro, ask, forum):
    retro("filter", "add", forum, "--source", "bad", "--reason", "noise")
    assert retro("compact", forum, "--purge", "--yes").code == 0
    purged, before = numbers(retro, forum), ask(forum, "the ferry")
    assert retro("compact", forum, "--purge", "--yes").code == 0  # has nothing to do
    retro("filter", "add", forum, "--doc", "p1", "--reason", "x")
    assert retro("rollback", forum, purged[-1], "--with-filters").code == 0
    assert ask(forum, "the ferry") == before
    shutil.rmtree(forum / "index")
    assert retro("index", forum).code == 0
    assert numbers(retro, forum) == purged == [3]  # no number that was purged is used again
    assert retro("rollback", forum, 3).code == 0


def numbers(retro, db):
    return [row["number"] for row in retro("history", db, "--json").rows]
