"""Distances are exact, masks hold, and what is purged is nowhere."""

from __future__ import annotations

import numpy as np
import pytest

from retro_cli import pipeline
from retro_cli.datastore import index as key_index
from retro_cli.datastore.manifest import load_manifest
from retro_cli.datastore.parts import Tokens, open_keys
from retro_cli.datastore.reader import Datastore
from retro_cli.index import plan
from retro_cli.store.layout import Layout
from retro_cli.upkeep.compact import compact
from retro_cli.upkeep.proof import prove
from retro_cli.verify import verify


def brute(layout, allowed, queries, k):
    """Squared distances to every allowed key, in double precision, ascending."""
    manifest = load_manifest(layout.datastore)
    ids = np.flatnonzero(allowed)
    rows = open_keys(layout.datastore, manifest).gather(ids).astype(float)
    ids, rows = ids[rows.any(axis=1)], rows[rows.any(axis=1)]
    distances = ((queries[:, None] - rows[None]) ** 2).sum(-1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, axis=1), ids[order]


def some_states(count=7):
    return np.random.default_rng(1).standard_normal((count, 16)).astype(np.float32)


@pytest.fixture
def lists(monkeypatch):
    """An index of lists over however few keys."""
    monkeypatch.setattr(plan, "EXACT_ROWS", 10)


def test_a_flat_index_finds_what_comparing_everything_does(layout, look):
    datastore = Datastore(look(layout))
    assert datastore.manifest.index.exact
    found = datastore.search(some_states(), 20)
    distances, _ = brute(layout, datastore.allowed, some_states(), 20)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-4)
    keys = datastore.vectors.gather(found.tokens.ravel()).reshape(7, 20, 16)
    gaps = ((some_states()[:, None] - keys) ** 2).sum(-1)
    np.testing.assert_allclose(gaps, distances, rtol=1e-3)
    assert (found.values == datastore.tokens.values()[found.tokens]).all()


def test_all_lists_find_what_comparing_everything_does(lists, layout, look):
    datastore = Datastore(look(layout))
    assert datastore.searcher.nlist > 1
    distances, _ = datastore.searcher.search(some_states(), 20, nprobe=datastore.searcher.nlist)
    expected, _ = brute(layout, datastore.allowed, some_states(), 20)
    np.testing.assert_allclose(distances, expected, rtol=1e-4)
    assert datastore.manifest.index.recall >= key_index.TARGET


def test_lists_are_searched_until_there_are_enough(lists, layout, look):
    datastore = Datastore(look(layout))
    found = datastore.search(some_states(), datastore.keys)
    expected, _ = brute(layout, datastore.allowed, some_states(), datastore.keys)
    assert np.isfinite(found.distances).sum(axis=1).tolist() == [expected.shape[1]] * 7


def test_more_than_there_is_gives_what_there_is(layout, look):
    datastore = Datastore(look(layout))
    found = datastore.search(some_states(2), datastore.keys + 50)
    assert found.tokens.shape == (2, datastore.keys + 50)
    missing = found.tokens < 0
    assert missing.any()
    assert np.isinf(found.distances[missing]).all()
    assert (found.values[missing] == 0).all()


@pytest.mark.parametrize("kind", ["flat", "lists"])
def test_no_token_of_a_filtered_source_is_found_at_once_and_all_are_again_after_undo(
    db, tiny, look, succeed, monkeypatch, kind
):
    if kind == "lists":
        monkeypatch.setattr(plan, "EXACT_ROWS", 10)
    layout = Layout(db)
    pipeline.datastore(layout, tiny, window=32)
    before = Datastore(look(layout)).search(some_states(), 30)
    succeed("filter", "add", db, "--source", "letters", "--reason", "x")
    datastore = Datastore(look(layout))
    found = datastore.search(some_states(), datastore.keys)
    chunks = np.unique(datastore.tokens.places(found.tokens[found.tokens >= 0])[0])
    retriever = look(layout)
    assert {chunk.source for chunk in retriever.rows.get(chunks.tolist())}.isdisjoint({"letters"})
    assert retriever.own[chunks].all()
    proof = prove(layout)
    assert proof.leaks == []
    assert proof.keys_asked > 0
    assert proof.keys_found > 0
    succeed("filter", "undo", db, 1)
    after = Datastore(look(layout)).search(some_states(), 30)
    assert np.array_equal(before.tokens, after.tokens)
    assert np.array_equal(before.distances, after.distances)


def test_a_mask_that_lies_is_a_leak(layout, look, monkeypatch, succeed):
    succeed("filter", "add", layout.root, "--source", "letters", "--reason", "x")
    honest = Tokens.of_chunks
    monkeypatch.setattr(Tokens, "of_chunks", lambda self, rows: honest(self, rows | True))
    assert any("datastore" in leak for leak in prove(layout).leaks)


def test_a_purge_takes_keys_and_values_off_the_disk(layout, look, succeed):
    db = layout.root
    manifest = load_manifest(layout.datastore)
    tokens, vectors = Tokens(layout.datastore, manifest), open_keys(layout.datastore, manifest)
    retriever = look(layout)
    letters = np.zeros(retriever.manifest.next_id, dtype=bool)
    for chunk in retriever.rows.get(tokens.chunks().tolist()):
        letters[chunk.id] = chunk.source == "letters"
    mine = np.flatnonzero(tokens.of_chunks(letters))
    rest = np.flatnonzero(tokens.of_chunks(~letters))
    kept = {key.tobytes() for key in vectors.gather(rest).astype(np.float16)}
    keys = {key.tobytes() for key in vectors.gather(mine).astype(np.float16)} - kept
    assert len(keys) > 20
    old = {part.keys.name for part in manifest.parts}
    retriever.close()
    succeed("filter", "add", db, "--source", "letters", "--reason", "x")
    compact(layout, purge=True, yes=True)
    after = load_manifest(layout.datastore)
    assert not old & {path.name for path in layout.datastore.iterdir()}
    on_disk = b"".join(path.read_bytes() for path in layout.datastore.iterdir())
    assert not any(key in on_disk for key in keys)
    left = Tokens(layout.datastore, after)
    assert not left.of_chunks(letters).any()
    assert (left.values()[mine] == -1).all()
    assert after.next_token == manifest.next_token
    assert verify(layout).problems == []
    assert "ok" in succeed("status", db).out.split("datastore")[1]
    assert pipeline.datastore(layout).tokens_done == 0


def test_a_purged_passage_takes_the_keys_that_had_read_it_and_they_are_made_anew(
    layout, look, succeed, archive
):
    db = layout.root
    words = [f"{a}{b}{c}" for a in "bdfg" for b in "aeo" for c in "klmn"]
    (archive / "long.txt").write_text(" ".join(words))
    succeed("build", archive, "--db", db)
    pipeline.datastore(layout)
    retriever = look(layout)
    tokens = Tokens(layout.datastore, load_manifest(layout.datastore))
    chunks = retriever.rows.get(tokens.chunks().tolist())
    long = max((c for c in chunks if "long.txt" in c.document), key=lambda c: c.position)
    gone = long.id - 1
    assert long.position > 2
    retriever.close()
    succeed("filter", "add", db, "--chunk", gone, "--reason", "x")
    compact(layout, purge=True, yes=True)
    left = set(Tokens(layout.datastore, load_manifest(layout.datastore)).chunks().tolist())
    assert gone not in left
    assert long.id not in left
    assert gone - 1 in left
    assert "no keys" in succeed("status", db).out
    assert pipeline.datastore(layout).chunks_done >= 1
    again = Tokens(layout.datastore, load_manifest(layout.datastore))
    assert long.id in again.chunks()
    assert gone not in again.chunks()
    assert prove(layout).leaks == []


def test_what_a_killed_run_had_finished_goes_with_a_purge(layout, succeed):
    (layout.datastore / "journal.jsonl").write_text("")
    (layout.datastore / "keys-000000000000-00000000.npy").write_bytes(b"of a purged text")
    succeed("filter", "add", layout.root, "--source", "letters", "--reason", "x")
    compact(layout, purge=True, yes=True)
    assert not (layout.datastore / "journal.jsonl").exists()
    assert not (layout.datastore / "keys-000000000000-00000000.npy").exists()


def test_merged_documents_speak_in_the_name_of_one_that_may_be_shown(island, tiny, look, succeed):
    _, db = island
    layout = Layout(db)
    pipeline.datastore(layout, tiny, window=32)
    datastore = Datastore(look(layout))
    everything = np.flatnonzero(datastore.allowed)
    succeed("filter", "add", db, "--source", "bad", "--reason", "x")
    filtered = Datastore(look(layout))
    assert np.array_equal(np.flatnonzero(filtered.allowed), everything)
    own = look(layout).own
    assert all(own[chunk] for chunk, _ in filtered.places(everything))
    names = {filtered.source(chunk) for chunk, _ in filtered.places(everything)}
    assert names == {"good"}
    assert prove(layout).leaks == []
