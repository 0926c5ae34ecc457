"""A rule stands: whatever is chunked, edited, scored, trained or indexed afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from upkeep_library import BAD, GOOD, Library, posts

from retro_cli import pipeline
from retro_cli.filters.rules import Toxicity
from retro_cli.index.stage import IndexJob
from retro_cli.status import status
from retro_cli.upkeep.apply import in_force
from retro_cli.upkeep.filtering import undo_rule
from retro_cli.upkeep.proof import prove
from retro_cli.upkeep.scoring import score_database


def test_new_documents_of_a_filtered_source_stay_out(library):
    library.add(sources=("bad",))
    library.write("c", posts("bad", "a new boat", "a new ferry", first=7))
    library.write("d", posts("good", "a new boat for all", first=7))
    library.update()
    assert library.documents() == GOOD | {"good7"}
    undo_rule(library.layout, 1)
    assert library.documents() == GOOD | BAD | {"good7", "bad7", "bad8"}


def test_an_edited_document_stays_filtered(library):
    library.add(documents=("bad1",))
    library.write("a", posts("bad", "the boat was rude", "the ferry was mended", "a rude storm"))
    library.update()
    assert library.documents() == (GOOD | BAD) - {"bad1"}
    assert "mended" not in library.words()


def test_a_filtered_match_that_is_edited_away_comes_back(library):
    library.add(match="rude")
    library.write("a", posts("bad", "the boat was gentle", "the rude ferry", "a rude storm"))
    library.update()
    assert library.documents() == GOOD | {"bad0"}


def test_a_rule_for_a_chunk_survives_an_edit_elsewhere_in_its_document(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder, tokens=4)
    text = "the boat the boat. the ferry storm storm. the light the light."
    library.write("a", posts("x", text))
    library.write("b", posts("y", "the harbour island the"))
    library.update()
    found = library.passage("ferry")
    assert len(found) == 1
    library.add(passages=found)
    assert "ferry" not in library.words()
    library.write("a", posts("x", text.replace("light", "keeper") + " the island."))
    library.update()
    words = library.words()
    assert "ferry" not in words
    assert "keeper" in words
    library.write("a", posts("x", text.replace("boat", "island")))
    library.update()
    assert "ferry" not in library.words()


def test_once_lets_later_rows_through(library):
    library.add(sources=("bad",), once=True)
    assert library.documents() == GOOD
    library.write("c", posts("bad", "a new boat", first=7))
    library.update()
    assert library.documents() == GOOD | {"bad7"}
    library.update(retrain=True)
    assert library.documents() == GOOD | {"bad7"}


def test_a_rule_by_toxicity_scores_and_filters_what_arrives_later(library):
    library.score("rude")
    library.add(toxicity=Toxicity("t", 0.1))
    assert library.documents() == GOOD
    library.write("c", posts("new", "a new rude boat", "a new kind boat"))
    library.update()
    assert library.documents() == GOOD | {"new1"}
    undo_rule(library.layout, 1)
    assert library.documents() == GOOD | BAD | {"new0", "new1"}


def test_a_source_that_turns_toxic_is_filtered_without_a_new_command(library):
    library.score("rude")
    library.add(toxicity=Toxicity("t", 0.5, "source"))
    assert library.documents() == GOOD
    worse = ["rude rude rude", "rude rude", "rude rude rude rude", "rude", "rude rude"]
    library.write("c", posts("good", *worse, first=7))
    library.update()
    assert library.documents() == set()


def test_a_relative_word_list_is_found_again_from_another_folder(library, monkeypatch):
    monkeypatch.chdir(library.inputs.parent)
    Path("rude.txt").write_text("rude")
    score_database(library.layout, "words:rude.txt", name="t")
    library.add(toxicity=Toxicity("t", 0.1))
    library.write("c", posts("new", "a new rude boat", "a new kind boat"))
    (library.inputs.parent / "elsewhere").mkdir()
    monkeypatch.chdir(library.inputs.parent / "elsewhere")
    library.update()
    assert library.documents() == GOOD | {"new1"}


def test_scoring_again_with_another_list_changes_what_the_rule_takes_by_the_next_index(library):
    library.score("rude")
    library.add(toxicity=Toxicity("t", 0.1))
    library.score("kind")
    assert not in_force(library.layout)
    pipeline.index(library.layout, IndexJob(library.layout))
    assert library.documents() == BAD


@pytest.mark.parametrize("level", ["chunk", "document", "source"])
def test_a_rule_by_toxicity_outlives_the_whole_corpus(library, level):
    library.score("rude")
    library.add(toxicity=Toxicity("t", 0.1, level))
    for name in "ab":
        library.write(name, [{"id": "x", "text": "\u200b"}])
    library.update()
    assert library.documents() == set()
    library.write("a", posts("bad", "a rude boat"))
    library.write("b", posts("good", "a kind boat"))
    library.update()
    assert library.documents() == {"good0"}


@pytest.fixture
def in_two_parts(tmp_path, static_encoder):
    """Two sources, chunked by two runs, and a rule by toxicity that takes one chunk of each."""
    library = Library(tmp_path, static_encoder)
    for name, source in (("a", "bad"), ("b", "good")):  # two runs, so two parts
        library.write(name, posts(source, f"the {name} boat", f"a rude {name} storm"))
        library.update()
    library.score("rude")
    library.add(toxicity=Toxicity("t", 0.1))
    return library


def test_a_rule_can_be_undone_between_a_chunk_run_and_its_index(in_two_parts):
    in_two_parts.add(documents=("good0",))
    in_two_parts.write("a", posts("bad", "a new rude boat", "the rude keeper"))
    in_two_parts.chunk()  # no row of the first part lives on, but the generation still has them
    in_two_parts.score("rude")
    undo_rule(in_two_parts.layout, 2)
    assert in_force(in_two_parts.layout)
    assert in_two_parts.documents() == {"bad0", "good0"}
    in_two_parts.update()
    assert in_two_parts.documents() == {"good0"}


def test_verifying_between_a_chunk_run_and_its_index_is_no_error(in_two_parts):
    in_two_parts.write("a", posts("bad", "a new rude boat", "the rude keeper"))
    in_two_parts.chunk()
    in_two_parts.score("rude")
    assert prove(in_two_parts.layout).leaks == []


def test_a_rule_added_before_the_first_index_holds_from_the_first_index_on(
    tmp_path, static_encoder
):
    library = Library(tmp_path, static_encoder)
    library.write("a", posts("bad", "a rude boat"))
    library.write("b", posts("good", "a kind boat"))
    library.chunk()
    _, reach, generation = library.add(sources=("bad",))
    assert (reach.chunks, generation) == (1, None)
    pipeline.embed(library.layout)
    report = pipeline.index(library.layout, IndexJob(library.layout))
    assert report.generation.filtered.rules == (1,)
    assert library.documents() == {"good0"}
    assert not status(library.layout).work_waiting
    undo_rule(library.layout, 1)
    assert library.documents() == {"bad0", "good0"}


def test_a_rule_holds_for_a_chunked_document_that_is_not_indexed_yet(library):
    library.write("c", posts("new", "a new boat"))
    library.chunk()
    library.add(sources=("new",))
    pipeline.embed(library.layout)
    pipeline.index(library.layout, IndexJob(library.layout))
    assert library.documents() == GOOD | BAD


def test_training_again_keeps_the_rules(library):
    library.add(sources=("bad",))
    library.update(retrain=True)
    assert library.documents() == GOOD
    undo_rule(library.layout, 1)
    assert library.documents() == GOOD | BAD


def test_an_index_that_was_lost_is_made_again_under_the_rules(library):
    library.add(sources=("bad",))
    for path in library.layout.index.iterdir():
        path.unlink()
    library.update()
    assert library.documents() == GOOD
