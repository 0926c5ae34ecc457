"""What a table of texts holds: the neighbours of their chunks, in the tokens of a model."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import write_jsonl
from text_table_helpers import CORPUS, HELD, build, documents, look_up

from retro_cli import Database
from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.query.table import NeighbourSettings
from retro_cli.reading.text_neighbours import (
    TextsToRead,
    find_text_neighbours,
    row_tokens,
)
from retro_cli.reading.text_table import TextTable


@pytest.mark.parametrize("k", [1, 3, 500])
def test_neighbours_are_those_of_brute_force(posts, cutter, k):
    report = look_up(posts, cutter, k=k)
    table = TextTable(posts, "t")
    with Database.open(posts.root) as db:
        retriever = db.retriever
        entries = np.flatnonzero(retriever.live())
        every = retriever.vectors.gather(entries)
        expected = np.sort(table.vectors.astype(np.float32) @ every.T, axis=1)[:, ::-1][:, :k]
        again = retriever.vectors.gather(np.maximum(table.neighbours.ravel(), 0))
    held = table.neighbours >= 0
    mine = (again.reshape(*held.shape, -1) * table.vectors[:, None].astype(np.float32)).sum(-1)
    width = expected.shape[1]
    assert report.rows == len(expected) == len(held)
    assert held[:, :width].all()
    assert not held[:, width:].any()
    assert (table.scores[:, width:] == -np.inf).all()
    assert mine[:, :width] == pytest.approx(expected, abs=1e-3)
    assert table.scores[:, :width] == pytest.approx(expected, abs=1e-3)


def test_rows_are_the_texts_in_the_models_own_tokens(posts, cutter, static_encoder):
    look_up(posts, cutter, part_bytes=400)
    table = TextTable(posts, "t")
    assert len(table.manifest.parts) > 2
    assert table.names == [record["id"] and f"held.jsonl#{record['id']}" for record in HELD]
    with Database.open(posts.root) as db:
        encoder = db.encoder
    for number, record in enumerate(HELD):
        rows = np.flatnonzero(table.document == number)
        text = record["text"].encode()
        ids = cutter.raw.encode(record["text"], add_special_tokens=False).ids
        assert table.position[rows].tolist() == list(range(len(rows)))
        assert [t for t in table.tokens[rows].ravel().tolist() if t >= 0] == ids
        assert (table.tokens[rows[:-1]] >= 0).all()
        pieces = [text[table.start[row] : table.end[row]] for row in rows]
        assert b"".join(pieces) == text
        vectors = encoder.encode_documents([piece.decode() for piece in pieces])
        assert table.vectors[rows] == pytest.approx(vectors, abs=1e-3)
    material = table.material(np.ones(10_000, bool))
    assert np.array_equal(material.start, np.append(True, np.diff(table.document) > 0))
    assert np.array_equal(material.tokens, table.tokens)
    assert np.array_equal(material.neighbours, table.neighbours)


def test_a_document_of_the_database_with_the_same_text_gives_no_neighbour(posts, cutter, tmp_path):
    write_jsonl(tmp_path / "same.jsonl", [{"id": "mine", "text": CORPUS[0]["text"]}, HELD[0]])
    look_up(posts, cutter, "t", "same.jsonl", k=500)
    table = TextTable(posts, "t")
    mine = table.document == 0
    assert not {"p0", "copy"} & set(documents(posts, np.unique(table.neighbours[mine])))
    assert "p0" in documents(posts, np.unique(table.neighbours[~mine]))


def test_a_row_indexed_in_the_place_of_the_same_document_is_no_neighbour(
    retro, static_encoder, cutter, tmp_path
):
    text = CORPUS[0]["text"]
    with_another = {"id": "first", "text": " ".join(text.split()[:16]) + " boat" * 16}
    write_jsonl(tmp_path / "posts.jsonl", [with_another, CORPUS[0], CORPUS[1]])
    write_jsonl(tmp_path / "same.jsonl", [{"id": "mine", "text": text}])
    layout = build(retro, static_encoder, tmp_path / "c.db", "--dedup", "chunk")
    look_up(layout, cutter, "t", "same.jsonl", k=20)
    with Database.open(layout.root) as db:
        merged = db.retriever.aliases
        found = np.unique(TextTable(layout, "t").neighbours)
        chunks = {c.id: c.document for c in db.retriever.rows.get(found[found >= 0].tolist())}
    assert merged.canonical.tolist() == [0]
    assert 0 not in chunks
    assert set(chunks.values()) == {"first", "p1"}


@pytest.mark.parametrize("length", [16, 60], ids=["the database's tokens", "other tokens"])
def test_near_copies_are_no_neighbours_on_request(
    posts, bpe_path, static_encoder, tmp_path, length
):
    path = static_encoder if length == 16 else bpe_path
    cutter = ChunkTokenizer(path, cut="exact", size=length)
    near = CORPUS[1]["text"].split()
    near[20] = "xq"
    write_jsonl(tmp_path / "near.jsonl", [{"id": "near", "text": " ".join(near)}])
    texts = TextsToRead(("near.jsonl",), cutter, length)
    worst = {}
    for copies in (1.0, 0.5):
        find_text_neighbours(posts, "t", NeighbourSettings(5, copies), texts)
        table = TextTable(posts, "t")
        assert (table.neighbours >= 0).all()
        with Database.open(posts.root) as db:
            tokens = row_tokens(db.retriever, cutter)
            worst[copies] = max(
                shared(ids[ids >= 0].tolist(), tokens(int(row)).tolist())
                for ids, found in zip(table.tokens, table.neighbours, strict=True)
                for row in found
            )
    assert worst[1.0] >= 0.5 > worst[0.5]


def shared(mine: list[int], theirs: list[int]) -> float:
    """The share of the runs of five tokens that are in both."""
    runs = [{tuple(ids[i : i + 5]) for i in range(len(ids) - 4)} for ids in (mine, theirs)]
    return len(runs[0] & runs[1]) / max(1, len(runs[0]))
