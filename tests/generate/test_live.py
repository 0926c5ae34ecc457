"""Retrieval from a database while a text is written."""

from __future__ import annotations

import numpy as np
import pytest
from generate_helpers import reader, speaking

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.database import Database
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.live import LiveRetriever, NewestRetriever
from retro_cli.generate.loop import generate
from retro_cli.reading.evidence import NeighbourTokens

PROMPT = "the keeper of the light"


def opened(database, tokenizer):
    tokens = NeighbourTokens(database.retriever, ChunkTokenizer(tokenizer), 24)
    return LiveRetriever(database.finder(as_documents=True), tokens)


@pytest.fixture
def live(db, bpe_path):
    with Database.open(db) as database:
        yield opened(database, bpe_path)


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


@pytest.mark.parametrize("at", [1, 5, 8, 13])
def test_a_rule_in_mid_text_takes_what_it_names_from_all_that_follows(retro, db, bpe_path, at):
    told, taken = [], []

    def watch(token):
        told.append(token)
        if len(told) == at:
            source = token.evidence.hits[0].source
            taken.append(source)
            done = retro("filter", "add", db, "--source", source, "--reason", "test")
            assert done.code == 0, done.err

    with Database.open(db) as database:
        newest = NewestRetriever(database, lambda: opened(database, bpe_path))
        generate(reader(speaking(8), bpe_path), newest, PROMPT, Decoding(20), watch)
        assert database.is_current
    (source,) = taken
    read = [{hit.source for hit in token.evidence.hits} for token in told]
    assert all(source not in each for each in read[at:])
    assert all(read[at:])


def test_the_next_chunk_of_a_hit_that_is_taken_away_takes_the_hit(retro, db, bpe_path):
    with Database.open(db) as database:
        newest = NewestRetriever(database, lambda: opened(database, bpe_path))
        (found,) = newest.search(["the ferry number 5 left the harbour in storm"], 30)
        assert newest.renewed() is None
        hit = next(hit for hit in found.hits if hit.continuation)
        assert retro("filter", "add", db, "--chunk", hit.chunk + 1, "--reason", "x").code == 0
        shown = newest.renewed()
        assert not shown(hit)
        others = [each for each in found.hits if {each.chunk, each.chunk + 1}.isdisjoint(
            {hit.chunk, hit.chunk + 1})]  # fmt: skip
        assert others
        assert all(map(shown, others))
        assert newest.renewed() is None
        (now,) = newest.search([found.query], 30)
        assert hit.chunk + 1 not in {each.chunk for each in now.hits}
