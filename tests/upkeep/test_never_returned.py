"""What a rule took is in no answer: not as a hit, a continuation, a name, nor half a change."""

from __future__ import annotations

import pytest
from concurrent_readers import Readers, at_each_write
from upkeep_library import BAD, GOOD, Library, posts

from retro_cli.config import Settings
from retro_cli.database import Database
from retro_cli.index.catalogue import all_generations
from retro_cli.upkeep.filtering import undo_rule

WAYS = [
    {"retriever": "dense"}, {"retriever": "bm25"}, {"retriever": "hybrid"},
    {"retriever": "hybrid", "fusion": "interpolate"}, {"retriever": "hybrid", "mmr": 0.5},
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_filtered_chunk_is_no_continuation(tmp_path, static_encoder, way):
    library = Library(tmp_path, static_encoder, tokens=4)
    library.write("a", posts("x", "the boat the boat the storm storm storm the light light light"))
    library.update()
    assert any("storm" in hit.continuation for hit in library.hits(**way))
    library.add(match="storm")
    hits = library.hits("the boat light", **way)
    assert [("storm" in hit.text, "storm" in hit.continuation) for hit in hits] == [
        (False, False)
    ] * 2
    assert {hit.continuation for hit in hits} == {""}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "how",
    [{}, {"level": "doc"}, {"source": ["*"]}, {"source": ["bad"]}, {"where": "year >= 1990"},
     {"where": "source = bad"}, {"level": "doc", "source": ["b*", "g*"], "where": "year < 2000"}],
)  # fmt: skip
def test_no_way_of_asking_returns_what_a_rule_took(library, how, way):
    how = {"text": "the boat, a ferry, a storm", **how, **way}
    before = library.documents(**how)
    assert before & BAD
    library.add(sources=("bad",))
    assert library.documents(**how) == before - BAD
    with Database.open(library.layout.root) as database:
        vectors = database.encoder.encode_queries(["the boat was rude", "the rude ferry"])
        for answer in database.search(vectors, 100):
            assert {hit.source for hit in answer.hits} == {"good"}
        assert len(database.retriever.live().nonzero()[0]) == 3


@pytest.mark.parametrize("way", WAYS)
def test_a_merged_row_is_not_named_beside_the_row_that_stands_for_it(twins, way):
    way = {"text": "the boat island", **way}
    assert twins.documents(**way) == {"a0", "b0", "c0"}
    twins.add(documents=("b0",))
    for how, shown in (
        ({}, {"a0", "c0"}),
        ({"source": ["a"]}, {"a0"}),
        ({"level": "doc"}, {"a0", "c0"}),
    ):
        assert twins.documents(**how, **way) == shown
    assert twins.hits(source=["b"], **way) == ()


def test_a_reader_keeps_the_generation_it_opened(library):
    with Database.open(library.layout.root) as reader:
        library.add(sources=("bad",))
        for number in range(4):
            library.add(match=f"storm|{number}")
            undo_rule(library.layout, number + 2)
        assert {hit.document for hit in reader.query("the boat", k=100)} == GOOD | BAD
        assert "gen-000001.json" in all_generations(library.layout.index)
    assert library.documents() == GOOD
    library.add(match="kind boat|boat was")
    assert len(all_generations(library.layout.index)) == Settings().keep_generations


def test_queries_during_adds_and_undos_get_the_answer_of_one_generation(library, monkeypatch):
    seen = set()

    def read():
        for way in ({}, {"text": "boat ferry storm", "retriever": "bm25"}):
            seen.add(frozenset(library.documents(**way)))
        yield

    with (
        Readers(read) as reader,
        at_each_write(monkeypatch, reader.all_answer) as writes,
    ):
        for number in range(1, 13):
            library.add(sources=("bad",))
            undo_rule(library.layout, number)
    assert seen == {frozenset(GOOD), frozenset(GOOD | BAD)}
    assert reader.answered[0] >= writes[0] > 12 * 20
