"""Retrieval from a database while a text is written."""

from __future__ import annotations

import numpy as np
import pytest

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.database import Database
from retro_cli.generate.live import LiveRetriever
from retro_cli.reading.evidence import NeighbourTokens


@pytest.fixture
def live(db, bpe_path):
    with Database.open(db) as database:
        tokens = NeighbourTokens(database.retriever, ChunkTokenizer(bpe_path), 24)
        find = database.finder(as_documents=True)
        yield LiveRetriever(find, tokens)


def test_texts_are_encoded_as_documents_and_answered_in_their_order(live, db):
    texts = ["the ferry left the harbour in storm", "a letter about boat 3"]
    found = live.search(texts, 3)
    assert [evidence.query for evidence in found] == texts
    with Database.open(db) as database:
        vectors = database.encoder.encode_documents(texts)
        expected = database.search(vectors, 3)
    assert [evidence.hits for evidence in found] == [answer.hits for answer in expected]


def test_each_hit_comes_with_its_chunk_and_continuation_in_the_models_tokens(live, bpe_path):
    tokenizer = ChunkTokenizer(bpe_path)
    (evidence,) = live.search(["the ferry left the harbour in storm"], 4)
    assert evidence.tokens.shape == (4, 24)
    for hit, row in zip(evidence.hits, evidence.tokens, strict=True):
        ids = tokenizer.raw.encode(hit.text + hit.continuation).ids[:24]
        np.testing.assert_array_equal(row[: len(ids)], ids)
        assert (row[len(ids) :] == -1).all()


def test_a_text_without_words_finds_nothing_and_leaves_the_others_alone(live):
    texts = ["", "the ferry", "  \n"]
    found = live.search(texts, 2)
    assert [len(evidence.hits) for evidence in found] == [0, 2, 0]
    assert found[0].tokens.shape == (0, 24)
    assert found[1].hits == live.search(["the ferry"], 2)[0].hits


def test_more_than_there_is_gives_what_there_is(live):
    (evidence,) = live.search(["the ferry"], 1000)
    assert 10 < len(evidence.hits) < 1000
    assert len(evidence.tokens) == len(evidence.hits)
