"""What a model is given of a chunk: its tokens and its continuation's, and nothing filtered."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import write_jsonl
from hypothesis import given
from hypothesis import strategies as st

from retro_cli import Database
from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.config import load_settings
from retro_cli.errors import UsageError
from retro_cli.query.neighbours import NeighbourTable
from retro_cli.reading import evidence as module
from retro_cli.reading.evidence import NeighbourTokens
from retro_cli.reading.material import (
    Material,
    database_material,
    material_fingerprint,
    require_same_cut,
    with_ends,
)
from retro_cli.reading.texts import cut, padded
from retro_cli.store.layout import Layout

M = 8
WORDS = ["the", "ferry", "harbour", "light", "keeper", "boat", "storm", "island"]


@pytest.fixture
def exact(retro, static_encoder, bpe_path, tmp_path):
    """A database cut exactly into chunks of eight tokens of a byte-level tokenizer."""
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(WORDS, 30)) + " é島" for _ in range(6)]
    write_jsonl(
        tmp_path / "d.jsonl",
        [{"id": f"d{n}", "text": text, "source": f"s{n}"} for n, text in enumerate(texts)],
    )
    settings_ = ["--encoder", static_encoder, "--tokenizer", bpe_path, "--cut", "exact"]
    built = retro("build", "d.jsonl", "--db", "d.db", "--tokens", M, *settings_)
    assert built.code == 0, built.err
    return tmp_path / "d.db"


@pytest.fixture
def cutter(bpe_path):
    return ChunkTokenizer(bpe_path, cut="exact", size=M)


def said(cutter, rows):
    return [cutter.raw.decode([t for t in row.tolist() if t >= 0]) for row in rows]


def test_a_neighbour_is_a_chunk_and_its_continuation(exact, cutter):
    with Database.open(exact) as db:
        evidence = NeighbourTokens(db.retriever, cutter, 2 * M)
        assert evidence.stored
        ids = np.arange(db.retriever.manifest.next_id)
        chunks = db.retriever.rows.get(ids.tolist())
        read = evidence.read(ids)
        assert read.shape == (len(ids), 2 * M)
        for chunk, row in zip(chunks, read, strict=True):
            following = chunks[chunk.id + 1] if chunk.has_next else None
            width = sum(evidence.read(np.array([chunk.id]))[0] >= 0)
            assert (row[:width] >= 0).all()
            assert (row[width:] == -1).all()
            if following is not None and following.has_next:
                assert width == 2 * M
            whole = chunk.text + (following.text if following else "")
            if whole.isascii():
                # A chunk may end inside a character, which its text then leaves to the next.
                assert said(cutter, [row])[0].rstrip("\ufffd") == whole


def test_stored_tokens_and_those_of_the_text_are_the_same_where_no_character_is_cut(
    exact, cutter, monkeypatch
):
    with Database.open(exact) as db:
        stored = NeighbourTokens(db.retriever, cutter, 2 * M)
        again = NeighbourTokens(db.retriever, cutter, 2 * M)
        again.stored = False
        ids = np.arange(0, db.retriever.manifest.next_id, 3).reshape(-1, 1)
        one, other = stored.read(ids)[:, 0], again.read(ids)[:, 0]
        assert [w.strip("\ufffd") for w in said(cutter, one)] == [
            w.strip("\ufffd") for w in said(cutter, other)
        ]


def test_a_missing_neighbour_and_an_unknown_one_have_no_tokens(exact, cutter):
    with Database.open(exact) as db:
        evidence = NeighbourTokens(db.retriever, cutter, 2 * M)
        read = evidence.read(np.array([[-1, 10**9], [0, -1]]))
        assert (read[0] == -1).all()
        assert (read[1, 1] == -1).all()
        assert (read[1, 0] >= 0).any()


@pytest.mark.parametrize("kept", [1, 1 << 16])
def test_what_a_rule_took_is_read_neither_as_a_chunk_nor_as_a_continuation(
    retro, exact, cutter, kept, monkeypatch
):
    monkeypatch.setattr(module, "_KEPT", kept)
    taken = retro("filter", "add", exact, "--chunk", 2, "--reason", "a test")
    assert taken.code == 0, taken.err
    with Database.open(exact) as db:
        evidence = NeighbourTokens(db.retriever, cutter, 2 * M)
        read = evidence.read(np.array([1, 2, 3, 1]))
        assert (read[1] == -1).all()
        assert (read[0, :M] >= 0).all()
        assert (read[0, M:] == -1).all()
        assert (read[2] >= 0).any()
        assert (read[3] == read[0]).all()


def test_material_begins_anew_behind_what_a_rule_took(retro, exact):
    assert retro("neighbours", exact).code == 0
    layout = Layout(exact)

    def material():
        with Database.open(exact) as db:
            table = NeighbourTable(layout, "default", db.retriever.own)
            return database_material(db.retriever, table, M)

    whole = material()
    assert whole.start.sum() == 6
    assert retro("filter", "add", exact, "--chunk", 2, "--reason", "a test").code == 0
    less = material()
    assert less.rows == whole.rows - 1
    assert less.start.sum() == 7
    assert less.start[2]
    assert (less.tokens[2] == whole.tokens[3]).all()
    assert not (less.neighbours == 2).any()


@given(text=st.text(min_size=1, max_size=120), size=st.integers(1, 9))
def test_pieces_are_the_text_and_their_bytes_follow_one_another(bpe_path_of_session, text, size):
    cutter = ChunkTokenizer(bpe_path_of_session, cut="exact", size=size)
    pieces = cut(text, cutter, size)
    if not pieces:
        assert not cutter.raw.encode(text, add_special_tokens=False).ids
        return
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.end for piece in pieces[:-1]] == [piece.start for piece in pieces[1:]]
    assert pieces[0].start == 0
    assert pieces[-1].end == len(text.encode("utf-8", "surrogatepass"))
    assert all(len(piece.ids) == size for piece in pieces[:-1])


@pytest.fixture(scope="module")
def bpe_path_of_session(bpe_path):
    return bpe_path


def test_padding_fills_short_rows_and_cuts_long_ones():
    rows = padded([np.array([5, 6, 7]), np.array([], int), np.array([1])], 3, 2)
    assert rows.tolist() == [[5, 6], [-1, -1], [1, -1]]


def test_an_end_is_put_only_where_a_document_leaves_room():
    tokens = np.array([[1, 2], [3, -1], [4, 5], [6, -1]], dtype=np.int32)
    start = np.array([True, False, True, False])
    ended = with_ends(Material(tokens, start, np.empty((4, 0), np.int64)), 9)
    assert ended.tokens.tolist() == [[1, 2], [3, 9], [4, 5], [6, 9]]
    assert tokens[1, 1] == -1
    assert material_fingerprint(ended) != material_fingerprint(
        Material(tokens, start, np.empty((4, 0), np.int64))
    )


def test_a_database_cut_otherwise_is_refused_with_what_differs(retro, db, exact):
    layout = Layout(db)
    chosen = load_settings(layout)
    with pytest.raises(UsageError, match=r"another tokenizer.*not all of one length.*tokens"):
        require_same_cut(chosen, "a", "b", 7)
    with Database.open(exact) as opened:
        stored = opened.retriever.manifest.tokenizer_sha256
    require_same_cut(load_settings(Layout(exact)), stored, stored, M)
