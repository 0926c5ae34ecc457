"""Every way to look texts up, on one database: what each promises, and what holds in all."""

from __future__ import annotations

import numpy as np
import pytest
from upkeep_library import Library, posts

from retro_cli.database import Database
from retro_cli.errors import UsageError
from retro_cli.query import finder as finder_module
from retro_cli.query.finder import Finder
from retro_cli.query.search import FUSIONS, LEVELS, RETRIEVERS, Search

WORDS = ["boat", "storm", "keeper", "light", "ferry", "island", "harbour", "letter"]
WAYS = [
    Search(retriever, fusion, level=level, mmr=mmr, per_document=most)
    for retriever in RETRIEVERS
    for fusion in (FUSIONS if retriever == "hybrid" else FUSIONS[:1])
    for level in LEVELS
    for mmr in (None, 0.5)
    for most in (None, 1)
]


@pytest.fixture(scope="module")
def library(tmp_path_factory, static_encoder):
    random = np.random.default_rng(5)
    library = Library(tmp_path_factory.mktemp("finder"), static_encoder, tokens=8)
    for source in "abc":
        texts = [" ".join(random.choice(WORDS, 30)) for _ in range(40)]
        library.write(source, posts(source, *texts))
    library.update()
    return library


@pytest.fixture
def database(library):
    with Database.open(library.layout.root) as database:
        yield database


@pytest.mark.parametrize("search", WAYS)
def test_hits_fall_in_score_are_numbered_and_repeat_nothing(database, search):
    (answer,) = database.finder(search)(["the boat in storm"], 10)
    hits = answer.hits
    assert [hit.rank for hit in hits] == list(range(1, 11))
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert len({hit.chunk for hit in hits}) == 10
    if search.level == "doc" or search.per_document == 1:
        assert len({hit.document for hit in hits}) == 10


@pytest.mark.parametrize("search", WAYS)
def test_fewer_hits_are_the_first_of_more_and_conditions_hold(database, search):
    (few,) = database.finder(search, source=["b"])(["keeper of the light"], 3)
    assert {hit.source for hit in few.hits} == {"b"}
    (more,) = database.finder(search, source=["b"])(["keeper of the light"], 12)
    assert [hit.chunk for hit in more.hits[:3]] == [hit.chunk for hit in few.hits]
    (dated,) = database.finder(search, where="year < 1995")(["keeper of the light"], 99)
    assert {int(hit.document[1:]) for hit in dated.hits} == set(range(5))


@pytest.mark.parametrize("search", WAYS)
def test_texts_together_are_answered_as_alone_and_empty_ones_not(database, search):
    texts = ["the boat", "", "a storm, a light", " \n"]
    together = database.finder(search)(texts, 4)
    for text, answer in zip(texts, together, strict=True):
        (alone,) = database.finder(search)([text], 4)
        assert answer.hits == alone.hits
        assert bool(answer.hits) == bool(text.strip())


@pytest.mark.parametrize("search", WAYS)
def test_all_that_may_be_found_is_found_when_so_many_are_asked_for(library, database, search):
    (answer,) = database.finder(search)([" ".join(WORDS)], 10_000)
    whole = search.level == "doc" or search.per_document == 1
    documents = {hit.document for hit in answer.hits}
    assert len(documents) == 120
    assert len(answer.hits) == (120 if whole else int(database.retriever.live().sum()))


def test_more_are_asked_for_until_there_are_enough(database, monkeypatch):
    (expected,) = database.finder(Search("hybrid", per_document=1))(["the boat"], 8)
    monkeypatch.setattr(finder_module, "POOL", 4)
    monkeypatch.setattr(Finder, "_pool", lambda self, k: 4)
    (found,) = database.finder(Search("hybrid", per_document=1))(["the boat"], 8)
    assert len(found.hits) == len(expected.hits) == 8


def test_hybrid_is_the_fusion_of_its_parts(database):
    def order(name):
        (answer,) = database.finder(Search(name))(["boat storm"], 100)
        return [hit.chunk for hit in answer.hits]

    parts = {"dense": order("dense"), "bm25": order("bm25")}
    expected: dict[int, float] = {}
    for chunks in parts.values():
        for rank, chunk in enumerate(chunks, 1):
            expected[chunk] = expected.get(chunk, 0) + 1 / (60 + rank)
    (answer,) = database.finder(Search("hybrid"))(["boat storm"], 20)
    assert answer.metric == "rrf"
    for hit in answer.hits:
        assert hit.score == pytest.approx(expected[hit.chunk])
        for part in hit.parts:
            assert parts[part.name][part.rank - 1] == hit.chunk
    best = sorted(expected, key=lambda chunk: (-expected[chunk], chunk))
    assert [hit.chunk for hit in answer.hits] == best[:20]


@pytest.mark.parametrize(("weight", "alone"), [(1.0, "dense"), (0.0, "bm25")])
def test_interpolation_with_all_the_weight_on_one_part_has_its_order(database, weight, alone):
    (both,) = database.finder(Search("hybrid", "interpolate", weight))(["boat storm"], 10)
    (one,) = database.finder(Search(alone))(["boat storm"], 10)
    assert [hit.chunk for hit in both.hits] == [hit.chunk for hit in one.hits]


def test_a_query_whose_words_are_nowhere_is_answered_by_meaning_alone(database):
    (both,) = database.finder(Search("hybrid"))(["the ship"], 5)
    (dense,) = database.finder(Search())(["the ship"], 5)
    (words,) = database.finder(Search("bm25"))(["ship"], 5)
    assert words.hits == ()
    if not any(part.name == "bm25" for hit in both.hits for part in hit.parts):
        assert [hit.chunk for hit in both.hits] == [hit.chunk for hit in dense.hits]


def test_diversity_of_one_is_the_plain_order_and_less_lowers_likeness(database):
    def found(mmr):
        (answer,) = database.finder(Search(mmr=mmr))(["the boat in storm"], 10)
        rows = database.retriever.vectors.gather(np.array([hit.chunk for hit in answer.hits]))
        return [hit.chunk for hit in answer.hits], float(np.triu(rows @ rows.T, 1).sum())

    plain, likeness = found(None)
    assert found(1.0)[0] == plain
    assert found(0.3)[1] < likeness


def test_answers_name_what_their_scores_are(database):
    for search, metric in (
        (Search(), "cosine"), (Search("bm25"), "bm25"), (Search("hybrid"), "rrf"),
        (Search("hybrid", "interpolate"), "interpolate"), (Search(mmr=0.5), "mmr"),
        (Search(per_document=2), "cosine"),
    ):  # fmt: skip
        (answer,) = database.finder(search)(["the boat"], 3)
        assert answer.metric == metric


class Backwards:
    """Gives the last of what it gets the highest score."""

    metric, depth = "backwards", 7

    def __call__(self, query, passages):
        self.seen = (query, list(passages))
        return np.arange(len(passages), dtype=np.float32)


def test_the_best_are_scored_again_with_their_continuations(database):
    (plain,) = database.finder(Search())(["the boat"], 7)
    model = Backwards()
    search = Search(rerank="some model")
    find = Finder(database.retriever, database.encoder.encode_queries, search, None, model)
    (answer,) = find(["the boat"], 3)
    assert model.seen == ("the boat", [hit.text + hit.continuation for hit in plain.hits])
    assert [hit.chunk for hit in answer.hits] == [hit.chunk for hit in plain.hits[:3:-1]]
    assert (answer.metric, [hit.score for hit in answer.hits]) == ("backwards", [6.0, 5.0, 4.0])
    assert [part.rank for part in answer.hits[0].parts if part.name != "dense"] == [7]


@pytest.mark.parametrize(
    ("search", "hint"),
    [
        (Search("tf-idf"), "bm25"), (Search(fusion="sum"), "rrf"), (Search(weight=1.5), "0 to 1"),
        (Search(weight=float("nan")), "0 to 1"), (Search(mmr=-0.1), "0 to 1"),
        (Search(level="page"), "chunk"), (Search(per_document=0), "one"),
    ],
)  # fmt: skip
def test_what_cannot_be_chosen_is_refused_in_words(database, search, hint):
    with pytest.raises(UsageError) as raised:
        database.finder(search)
    assert hint in raised.value.hint


@pytest.mark.parametrize("search", [Search("bm25"), Search("hybrid"), Search(rerank="lm")])
def test_vectors_have_no_words(database, search):
    rows = database.encoder.encode_queries(["the boat"])
    find = Finder(database.retriever, database.encoder.encode_queries, search)
    with pytest.raises(UsageError, match="no words"):
        find.vectors(rows, 3)


def test_words_alone_load_no_encoder(database):
    assert database.query("the boat", retriever="bm25")
    assert database._encoder is None
