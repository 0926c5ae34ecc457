"""BM25 by Tantivy, against a plain account of the formula; masks, ties and hostile queries."""

from __future__ import annotations

import math
import shutil
from collections import Counter

import numpy as np
import pytest
from helpers import everything
from hypothesis import given, settings
from hypothesis import strategies as st
from upkeep_library import Library, posts

from retro_cli.database import Database
from retro_cli.errors import IntegrityError, NotBuiltYet
from retro_cli.lexical import search as lexical_search
from retro_cli.lexical.words import words

TEXTS = [
    "the boat was rude", "the rude ferry and the boat", "a storm a storm a storm", "the light",
    "keeper of the light saw the boat in the storm", "boat boat boat", "the kind ferry", "harbour",
    "a kind storm", "the storm took the harbour light",
]  # fmt: skip


@pytest.fixture(scope="module")
def opened(tmp_path_factory, static_encoder):
    library = Library(tmp_path_factory.mktemp("words"), static_encoder, tokens=64)
    library.write("a", posts("s", *TEXTS))
    library.update()
    with Database.open(library.layout.root) as database:
        yield database.retriever


def by_formula(query: str) -> list[float]:
    """Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75."""
    held = [words(text, "english") for text in TEXTS]
    mean = sum(map(len, held)) / len(held)
    scores = []
    for mine in held:
        counts, total = Counter(mine), 0.0
        for word in words(query, "english"):
            having = sum(word in other for other in held)
            rarity = math.log(1 + (len(held) - having + 0.5) / (having + 0.5))
            room = 1.2 * (1 - 0.75 + 0.75 * len(mine) / mean)
            total += rarity * counts[word] * 2.2 / (counts[word] + room)
        scores.append(total)
    return scores


def ids_of(retriever):
    return np.flatnonzero(retriever.live())


@given(st.lists(st.sampled_from(["boat", "storm", "the", "light", "keeper", "xyz"]), min_size=1))
@settings(max_examples=40)
def test_scores_are_those_of_the_formula_best_first_and_ties_by_id(opened, asked):
    query = " ".join(asked)
    rows, expected = ids_of(opened), by_formula(query)
    ids, scores = opened.lexical.search(query, 99, opened.live())
    found = dict(zip(ids.tolist(), scores.tolist(), strict=True))
    assert found == pytest.approx(
        {row: s for row, s in zip(rows.tolist(), expected, strict=True) if s}, rel=1e-5
    )
    order = sorted(found, key=lambda row: (-found[row], row))
    assert ids.tolist() == order
    np.testing.assert_allclose(opened.lexical.scores(query, rows), expected, rtol=1e-5)


@given(st.sets(st.integers(0, len(TEXTS) - 1)), st.integers(1, 12), st.booleans())
@settings(max_examples=40)
def test_a_mask_leaves_the_order_and_takes_nothing_else(opened, places, k, many):
    """Few rows are named in the query, of many more hits are fetched: the answers are the same."""
    rows = ids_of(opened)
    allowed = np.zeros(len(opened.live()), dtype=bool)
    allowed[rows[sorted(places)]] = True
    ids, _ = opened.lexical.search("the boat in a storm", 99, opened.live())
    before = lexical_search.FEW
    try:
        lexical_search.FEW = -1 if many else before
        found, _ = opened.lexical.search("the boat in a storm", k, allowed)
    finally:
        lexical_search.FEW = before
    assert found.tolist() == [row for row in ids.tolist() if allowed[row]][:k]


def test_of_equal_scores_the_first_by_id_are_found_however_few_are_asked_for(
    tmp_path, static_encoder, monkeypatch
):
    monkeypatch.setattr(lexical_search, "FEW", -1)
    library = Library(tmp_path, static_encoder, dedup="none")
    for name in "ba":  # in two steps, so that the words lie in two segments
        library.write(name, posts(name, *["the boat"] * 60))
        library.update()
    with Database.open(library.layout.root) as database:
        live = database.retriever.live()
        ids, _ = database.retriever.lexical.search("boat", 5, live)
        assert ids.tolist() == np.flatnonzero(live)[:5].tolist()


@pytest.mark.parametrize(
    "query",
    ["", "  ", "?!", "xylophone", 'text:boat AND "', "(((", "boat\0", "\udcff", "a^b~2", "* OR *"],
)
def test_no_query_is_a_syntax_error(opened, query):
    ids, scores = opened.lexical.search(query, 5, opened.live())
    assert len(ids) == len(scores) <= 5


def test_a_query_of_very_many_words_is_answered(opened):
    ids, _ = opened.lexical.search("storm " * 100_000, 1, opened.live())
    assert len(ids) == 1


def test_looking_up_writes_nothing_into_the_database(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder)
    library.write("a", posts("s", *TEXTS))
    library.update()
    before = everything(library.layout.lexical)
    assert library.hits("the boat", retriever="bm25")
    assert everything(library.layout.lexical) == before


def test_a_damaged_index_is_said_and_made_again(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder)
    library.write("a", posts("s", *TEXTS))
    library.update()
    expected = library.hits("the boat", retriever="bm25")
    (path,) = library.layout.lexical.glob("*/*.term")
    path.write_bytes(b"not what it was")
    with pytest.raises(IntegrityError, match="cannot be read"):
        library.hits("the boat", retriever="bm25")
    library.update()
    assert library.hits("the boat", retriever="bm25") == expected


def test_a_database_without_it_says_what_to_run(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder)
    library.write("a", posts("s", *TEXTS))
    library.update()
    shutil.rmtree(library.layout.lexical)
    with pytest.raises(NotBuiltYet, match="no lexical index") as raised:
        library.hits("the boat", retriever="hybrid")
    assert "retro index" in raised.value.hint
    assert library.hits("the boat")
    library.update()
    assert library.hits("the boat", retriever="hybrid")
