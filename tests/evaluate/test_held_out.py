"""Texts on their way to an evaluation: bytes, tables that are reused, shares of a database."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import write_jsonl

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.evaluate.contamination import database_documents
from retro_cli.evaluate.held_out import (
    copies_in_database,
    evaluation_text,
    lead_bytes,
    neighbour_table,
)
from retro_cli.evaluate.shares import ShareLookup, share_mask
from retro_cli.query.retrieve import Retriever
from retro_cli.reading.text_neighbours import TextsToRead
from retro_cli.reading.texts import Text
from retro_cli.store.layout import Layout

WORDS = ["the", "ferry", "harbour", "light", "keeper", "boat", "storm", "façade", "灯"]


@pytest.fixture
def wanted(tmp_path, archive, wordpiece_path):
    rng = np.random.default_rng(4)
    texts = [" ".join(rng.choice(WORDS, 30 + 7 * n)) for n in range(4)]
    texts.append((archive / "light.txt").read_text())
    path = write_jsonl(
        tmp_path / "held.jsonl", [{"id": str(n), "text": text} for n, text in enumerate(texts)]
    )
    tokenizer = ChunkTokenizer(wordpiece_path, cut="exact", size=8)
    return TextsToRead((str(path),), tokenizer, 8)


def looked_up(db, wanted, k=10):
    texts = list(wanted.read())
    table = neighbour_table(Layout(db), wanted, texts, k)
    retriever = Retriever(Layout(db))
    return retriever, texts, evaluation_text(table, retriever.own, texts, wanted.tokenizer), table


def test_bytes_are_those_of_the_original_texts(db, wanted):
    retriever, texts, text, _ = looked_up(db, wanted)
    retriever.close()
    whole = np.bincount(text.document, text.sizes)
    assert whole.tolist() == [len(one.text.encode()) for one in texts]
    for number, one in enumerate(texts):
        first = wanted.tokenizer.raw.encode(one.text, add_special_tokens=False).offsets[1][0]
        assert text.leads[number] == len(one.text[:first].encode())


@pytest.mark.parametrize(("text", "size"), [("the ferry", 4), ("the", 3), ("  the", 5)])
def test_a_first_token_takes_what_stands_before_the_second(wordpiece_path, text, size):
    assert lead_bytes(text, ChunkTokenizer(wordpiece_path, cut="exact", size=8)) == size


def test_a_table_is_made_once_for_the_same_texts_and_again_for_others(db, wanted, tmp_path):
    first = looked_up(db, wanted)[-1].manifest
    assert looked_up(db, wanted)[-1].manifest == first
    assert looked_up(db, wanted, k=12)[-1].manifest != first
    (tmp_path / "held.jsonl").write_text('{"id": "0", "text": "the ferry left the harbour"}\n')
    assert looked_up(db, wanted)[-1].manifest.name != first.name


def test_a_share_of_everything_is_the_plain_lookup(db, wanted):
    retriever, texts, text, _ = looked_up(db, wanted)
    lookup = ShareLookup(retriever, [one.hash for one in texts])
    assert lookup.neighbours(text, 10, 1.0, seed=0).tolist() == text.neighbours.tolist()
    retriever.close()


def test_neighbours_of_a_share_are_of_its_documents_and_never_of_the_same_text(db, wanted):
    retriever, texts, text, _ = looked_up(db, wanted)
    lookup = ShareLookup(retriever, [one.hash for one in texts])
    found = lookup.neighbours(text, 3, 0.3, seed=2)
    mask = share_mask(lookup._document, retriever.own, retriever.aliases, 0.3, 2)
    assert mask[found[found >= 0]].all()
    for row in np.unique(found[text.document == 4]):
        assert row < 0 or "light.txt" not in retriever.rows.get([int(row)])[0].document
    retriever.close()


def test_a_larger_share_holds_a_smaller_one_and_all_of_it_is_all():
    document = np.repeat(np.arange(40), 3)
    own = np.ones(120, dtype=bool)
    own[6:9] = False
    masks = [share_mask(document, own, Aliases.none(), share, 5) for share in (0.1, 0.5, 1.0)]
    assert not (masks[0] & ~masks[1]).any()
    assert masks[2].tolist() == own.tolist()
    assert len(np.unique(document[masks[0]])) == 4
    assert len(np.unique(document[masks[1]])) == 20
    assert share_mask(document, own, Aliases.none(), 0.5, 6).tolist() != masks[1].tolist()


def test_an_entry_stands_for_any_merged_row_that_is_in():
    aliases = Aliases(np.array([2]), np.array([0]))
    document, own = np.array([0, 1, 2]), np.array([False, True, True])
    mask = share_mask(document, own, aliases, 1.0, 0)
    assert mask.tolist() == [True, True, True]


def test_documents_of_the_database_are_whole_and_without_what_rules_took(db, retro):
    before = Retriever(Layout(db))
    whole = dict(database_documents(before))
    assert sum(map(len, whole.values())) == sum(
        len(before.rows.tokens([row])[0]) // before.manifest.token_bytes
        for row in np.flatnonzero(before.own).tolist()
    )
    longest = max(whole, key=lambda chunk: len(whole[chunk]))
    size = len(before.rows.tokens([longest])[0]) // before.manifest.token_bytes
    before.close()
    assert retro("filter", "add", db, "--chunk", longest, "--reason", "r").code == 0
    after = Retriever(Layout(db))
    left = dict(database_documents(after))
    after.close()
    assert longest not in left
    assert left[longest + 1].tolist() == whole[longest][size:].tolist()


def test_copies_are_found_in_the_databases_own_tokens(db, archive):
    retriever = Retriever(Layout(db))
    light = (archive / "light.txt").read_text()
    texts = [Text("other", "the storm took the ferry " * 20), Text("near", light + "the boat")]
    found = copies_in_database(retriever, texts)
    assert [one.document for one in found] == [1]
    assert "light.txt" in retriever.rows.get([found[0].chunk])[0].document
    retriever.close()
