"""A rule stands: whatever is chunked, edited, indexed, killed or undone afterwards."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import write_jsonl

from retro_cli import pipeline
from retro_cli.database import Database
from retro_cli.errors import UsageError
from retro_cli.filters.ledger import load_ledger
from retro_cli.filters.rules import Rule, Toxicity
from retro_cli.index.generation import all_generations, current_generation
from retro_cli.index.stage import IndexJob
from retro_cli.status import status
from retro_cli.store.layout import Layout
from retro_cli.upkeep import filtering
from retro_cli.upkeep.apply import apply_rules, in_force
from retro_cli.upkeep.filtering import (
    add_rule,
    look_at_rule,
    open_filtering,
    passages,
    undo_rule,
)
from retro_cli.upkeep.proof import prove
from retro_cli.upkeep.scoring import score_database


class Library:
    """A database over JSONL files, brought up to date on demand."""

    def __init__(self, folder: Path, encoder: Path, tokens: int = 16, dedup: str = "document"):
        self.inputs = folder / "in"
        self.inputs.mkdir()
        self.layout = Layout(folder / "l.db")
        self.settings = {"encoder": str(encoder), "tokens": tokens, "dedup": dedup}

    def write(self, name, records):
        write_jsonl(self.inputs / f"{name}.jsonl", records)

    def chunk(self):
        options = pipeline.ChunkOptions(workers=1, prune=True)
        pipeline.chunk(self.layout, [str(self.inputs)], self.settings, options)

    def update(self, **job):
        self.chunk()
        pipeline.embed(self.layout)
        return pipeline.index(self.layout, IndexJob(self.layout, **job))

    def add(self, once=False, yes=False, **said):
        return add_rule(self.layout, Rule(0, "why", **said), once=once, yes=yes)

    def passage(self, text):
        """The living chunks with a text, as a rule names them."""
        look = open_filtering(self.layout)
        rows = np.flatnonzero(look.corpus.own).tolist()
        ids = [chunk.id for chunk in look.read(rows) if text in chunk.text]
        return passages(self.layout, ids)

    def hits(self, text="the boat", k=1000, **how):
        with Database.open(self.layout.root) as database:
            return database.query(text, k=k, **how)

    def documents(self, **how):
        """Every document that an answer names, by whatever way."""
        found = self.hits(**how)
        return {h.document for h in found} | {name for h in found for name, _ in h.also}

    def words(self, **how):
        return " ".join(f"{hit.text} {hit.continuation}" for hit in self.hits(**how))

    def score(self, *words, name="t"):
        path = self.inputs.parent / "words.txt"
        path.write_text("\n".join(words))
        return score_database(self.layout, f"words:{path}", name=name)


def posts(source, *texts, first=0):
    return [
        {"id": f"{source}{n}", "source": source, "year": 1990 + n, "text": text}
        for n, text in enumerate(texts, first)
    ]


@pytest.fixture
def library(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder)
    library.write("a", posts("bad", "the boat was rude", "the rude ferry", "a rude storm"))
    library.write("b", posts("good", "the boat was kind", "the kind ferry", "a kind storm"))
    library.update()
    return library


GOOD = {"good0", "good1", "good2"}
BAD = {"bad0", "bad1", "bad2"}


# -- adding and undoing ----------------------------------------------------------------------


def test_a_rule_takes_effect_at_once_and_its_undo_as_well(library):
    assert library.documents() == GOOD | BAD
    rule, reach, generation = library.add(sources=("bad",))
    assert (rule.number, reach.chunks, reach.documents, reach.sources) == (1, 3, 3, 1)
    assert (reach.chunks_before, reach.documents_before, reach.sources_before) == (6, 6, 2)
    assert generation.filtered.rules == (1,)
    assert library.documents() == GOOD
    _, back, generation = undo_rule(library.layout, 1)
    assert back == 3
    assert generation.filtered.rules == ()
    assert library.documents() == GOOD | BAD


def test_neither_trains_nor_makes_a_segment_nor_embeds(library):
    before = current_generation(library.layout.index)
    vectors = {p.name: p.stat().st_mtime_ns for p in library.layout.embeddings.iterdir()}
    library.add(sources=("bad",))
    after = current_generation(library.layout.index)
    assert (after.template, after.segments) == (before.template, before.segments)
    assert after.number == before.number + 1
    assert vectors == {p.name: p.stat().st_mtime_ns for p in library.layout.embeddings.iterdir()}


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_undoing_one_of_two_overlapping_rules_revives_nothing_the_other_takes(library, order):
    library.add(sources=("bad",))
    library.add(match="storm")
    assert library.documents() == {"good0", "good1"}
    undo_rule(library.layout, order[0])
    left = {1: {"good0", "good1", "bad0", "bad1"}, 2: GOOD}[order[0]]
    assert library.documents() == left
    undo_rule(library.layout, order[1])
    assert library.documents() == GOOD | BAD


def test_a_rule_says_how_many_of_its_chunks_older_rules_took(library):
    library.add(sources=("bad",))
    _, reach, _ = library.add(match="storm")
    assert (reach.chunks, reach.already) == (1, 1)


def test_a_rule_that_takes_nothing_or_everything_is_refused_and_written_nowhere(library):
    for said in ({"match": "submarine"}, {"match": "."}, {"sources": ("bad", "good")}):
        with pytest.raises(UsageError, match=r"takes (none|all)"):
            library.add(**said)
    assert load_ledger(library.layout).rules == ()
    assert current_generation(library.layout.index).number == 1


def test_yes_takes_everything_and_later_rows_too_until_it_is_undone(library):
    library.add(match=".", yes=True)
    assert library.hits() == ()
    library.write("c", posts("new", "a kind boat"))
    library.update()
    assert library.hits() == ()
    undo_rule(library.layout, 1)
    assert library.documents() == GOOD | BAD | {"new0"}


def test_an_allow_list_keeps_all_else_out_later_rows_too(library):
    library.add(sources=("good",), only=True)
    assert library.documents() == GOOD
    library.write("c", posts("new", "the boat"))
    library.write("d", posts("good", "the island", first=7))
    library.update()
    assert library.documents() == GOOD | {"good7"}


def test_what_a_rule_names_must_meet_its_conditions_and_any_name_will_do(library):
    library.add(sources=("bad",), documents=("good1",), match="ferry|boat")
    assert library.documents() == {"bad2", "good0", "good2"}


def test_an_unknown_name_is_refused_with_the_nearest(library):
    with pytest.raises(UsageError) as refused:
        library.add(sources=("godo",))
    assert "good" in refused.value.hint
    with pytest.raises(UsageError) as refused:
        library.add(documents=("bad11",))
    assert "bad1" in refused.value.hint


def test_a_document_is_named_by_its_very_name_though_it_looks_like_a_glob(library):
    odd = {"id": "a[1].txt", "source": "odd", "text": "the odd boat"}
    other = {"id": "a1.txt", "source": "odd", "text": "the other boat"}
    library.write("c", [odd, other])
    library.update()
    library.add(documents=("a[1].txt",))
    found = library.documents()
    assert "a[1].txt" not in found
    assert "a1.txt" in found


def test_a_look_at_a_rule_counts_living_chunks_and_shows_some(library):
    library.add(sources=("bad",))
    rule, rows, chunks = look_at_rule(library.layout, 1, 2)
    assert (rule.number, rows, len(chunks)) == (1, 3, 2)
    assert {chunk.source for chunk in chunks} == {"bad"}
    assert look_at_rule(library.layout, 1, 0)[2] == ()


# -- a rule stands ---------------------------------------------------------------------------


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


def test_a_rule_can_be_undone_between_a_chunk_run_and_its_index(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder)
    for name, source in (("a", "bad"), ("b", "good")):  # two runs, so two parts
        library.write(name, posts(source, f"the {name} boat", f"a rude {name} storm"))
        library.update()
    library.score("rude")
    library.add(toxicity=Toxicity("t", 0.1))
    library.add(documents=("good0",))
    library.write("a", posts("bad", "a new rude boat", "the rude keeper"))
    library.chunk()  # no row of the first part lives on, but the generation still has them
    library.score("rude")
    undo_rule(library.layout, 2)
    assert in_force(library.layout)
    assert library.documents() == {"bad0", "good0"}
    library.update()
    assert library.documents() == {"good0"}


def test_verifying_between_a_chunk_run_and_its_index_is_no_error(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder)
    for name, source in (("a", "bad"), ("b", "good")):
        library.write(name, posts(source, f"the {name} boat", f"a rude {name} storm"))
        library.update()
    library.score("rude")
    library.add(toxicity=Toxicity("t", 0.1))
    library.write("a", posts("bad", "a new rude boat", "the rude keeper"))
    library.chunk()
    library.score("rude")
    assert prove(library.layout).leaks == []


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


# -- copies ----------------------------------------------------------------------------------


@pytest.fixture
def twins(tmp_path, static_encoder):
    """Two sources that share a first chunk and go on in their own words."""
    library = Library(tmp_path, static_encoder, tokens=4, dedup="chunk")
    library.write("a", posts("a", "the boat the storm the ferry ferry ferry"))
    library.write("b", posts("b", "the boat the storm the light light light"))
    library.write("c", posts("c", "the island harbour the"))
    library.update()
    return library


@pytest.mark.parametrize("gone", ["a", "b"])
def test_a_copy_in_another_source_answers_in_its_own_name_with_its_own_continuation(twins, gone):
    kept, words = {"a": ("b", "light"), "b": ("a", "ferry")}[gone]
    (both,) = twins.hits("the boat the storm", k=1)
    assert [source for _, source in both.also] == ["b"]
    twins.add(sources=(gone,))
    (hit,) = twins.hits("the boat the storm", k=1)
    assert (hit.source, hit.also) == (kept, ())
    assert words in hit.continuation
    assert {h.source for h in twins.hits()} == {kept, "c"}


def test_a_whole_document_said_twice_answers_for_the_source_that_is_left(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder)
    for source in "abc":
        library.write(source, posts(source, "the boat and the storm"))
    library.update()
    library.add(sources=("a",))
    (hit,) = library.hits()
    assert (hit.source, hit.also) == ("b", (("c0", "c"),))
    library.add(sources=("c",))
    (hit,) = library.hits()
    assert (hit.source, hit.also) == ("b", ())
    undo_rule(library.layout, 1)
    (hit,) = library.hits()
    assert (hit.source, hit.also) == ("a", (("b0", "b"),))


@pytest.mark.parametrize("how", ["exact", "near"])
def test_copies_are_taken_with_what_they_copy(twins, how):
    twins.add(sources=("a",), copies=how)
    words = twins.words()
    assert "boat" not in words
    assert "light" in words
    assert "ferry" not in words


def test_a_later_copy_of_what_a_rule_takes_stays_out(twins):
    twins.add(sources=("a",), copies="exact")
    twins.write("d", posts("d", "the boat the storm the keeper the keeper"))
    twins.update()
    assert "boat" not in twins.words()
    assert "keeper" in twins.words()


def test_a_copy_stays_out_when_its_original_leaves_the_corpus(twins):
    twins.add(sources=("a",), copies="exact")
    (twins.inputs / "a.jsonl").unlink()
    twins.update()
    assert "boat" not in twins.words()


def test_both_twins_filtered_by_two_rules_come_back_one_by_one(twins):
    twins.add(sources=("a",))
    twins.add(sources=("b",))
    assert twins.documents() == {"c0"}
    undo_rule(twins.layout, 1)
    (hit,) = twins.hits("the boat the storm", k=1)
    assert (hit.source, hit.also) == ("a", ())
    undo_rule(twins.layout, 2)
    assert [source for _, source in twins.hits("the boat the storm", k=1)[0].also] == ["b"]


def sentences(seed, count):
    words = np.random.default_rng(seed).choice([*"abcdefghijklmnopqrstuvwxyz"], count)
    return " ".join(words)


@pytest.mark.parametrize("tokens", [16, 64])
def test_near_copies_are_taken_though_their_chunks_begin_elsewhere(
    tmp_path, static_encoder, tokens
):
    library = Library(tmp_path, static_encoder, tokens=tokens)
    text = sentences(1, 6 * tokens)
    library.write("a", posts("a", text))
    library.write("b", posts("b", "x y z " + text))
    library.write("c", posts("c", sentences(2, 6 * tokens)))
    library.update()
    _, exact, _ = library.add(sources=("a",), copies="exact")
    assert exact.chunks == 6
    undo_rule(library.layout, 1)
    library.add(sources=("a",), copies="near")
    found = [hit.text for hit in library.hits(source=["b"])]
    assert len(found) <= 2  # its first chunk may be new in part, its last is a scrap
    assert {hit.source for hit in library.hits()} <= {"b", "c"}
    assert len(library.hits(source=["c"])) == 6


def test_near_copies_of_a_chunk_outlive_an_edit_that_moves_its_borders(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder, tokens=64)
    text = sentences(1, 320)
    library.write("a", posts("a", text))
    library.write("c", posts("c", sentences(2, 320)))
    library.update()
    whole = text.replace(" ", "")[128:192]
    library.add(passages=passages(library.layout, [2]), copies="near")
    assert whole not in library.words().replace(" ", "")
    library.write("a", posts("a", "x y z " + text))
    library.update()
    shown = [hit.text.replace(" ", "") for hit in library.hits()]
    assert not any(whole[:48] in text for text in shown)


# -- what queries never return ---------------------------------------------------------------


def test_a_filtered_chunk_is_no_continuation(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder, tokens=4)
    library.write("a", posts("x", "the boat the boat the storm storm storm the light light light"))
    library.update()
    assert any("storm" in hit.continuation for hit in library.hits())
    library.add(match="storm")
    hits = library.hits()
    assert [("storm" in hit.text, "storm" in hit.continuation) for hit in hits] == [
        (False, False)
    ] * 2
    assert {hit.continuation for hit in hits} == {""}


@pytest.mark.parametrize(
    "how",
    [{}, {"level": "doc"}, {"source": ["*"]}, {"source": ["bad"]}, {"where": "year >= 1990"},
     {"where": "source = bad"}, {"level": "doc", "source": ["b*", "g*"], "where": "year < 2000"}],
)  # fmt: skip
def test_no_way_of_asking_returns_what_a_rule_took(library, how):
    assert library.documents(**how) & BAD
    library.add(sources=("bad",))
    assert not library.documents(**how) & BAD
    with Database.open(library.layout.root) as database:
        vectors = database.encoder.encode_queries(["the boat was rude", "the rude ferry"])
        for answer in database.search(vectors, 100):
            assert {hit.source for hit in answer.hits} == {"good"}
        assert len(database.retriever.live().nonzero()[0]) == 3


def test_a_merged_row_is_not_named_beside_the_row_that_stands_for_it(twins):
    twins.add(documents=("b0",))
    for how in ({}, {"source": ["a"]}, {"level": "doc"}):
        assert "b0" not in twins.documents(**how)
    assert twins.hits(source=["b"]) == ()


def test_a_reader_keeps_the_generation_it_opened(library):
    with Database.open(library.layout.root) as reader:
        library.add(sources=("bad",))
        for number in range(4):
            library.add(match=f"storm|{number}")
            undo_rule(library.layout, number + 2)
        assert {hit.document for hit in reader.query("the boat", k=100)} == GOOD | BAD
    assert library.documents() == GOOD
    library.add(match="kind boat|boat was")
    assert len(all_generations(library.layout.index)) <= 4


def test_queries_during_adds_and_undos_get_the_answer_of_one_generation(library):
    seen, failed, stop = set(), [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                seen.add(frozenset(library.documents()))
            except Exception as error:
                failed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, 13):
            library.add(sources=("bad",))
            undo_rule(library.layout, number)
    finally:
        stop.set()
        reader.join()
    assert failed == []
    assert seen <= {frozenset(GOOD), frozenset(GOOD | BAD)}


# -- killed in between -----------------------------------------------------------------------


def kill(monkeypatch):
    def die(*args, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(filtering, "apply_rules", die)


def test_a_rule_that_was_written_and_not_applied_is_said_and_applied_by_the_next_index(
    library, monkeypatch
):
    with monkeypatch.context() as patched:
        kill(patched)
        with pytest.raises(KeyboardInterrupt):
            library.add(sources=("bad",))
    assert [rule.number for rule in load_ledger(library.layout).active] == [1]
    assert not in_force(library.layout)
    assert prove(library.layout).leaks
    report = pipeline.index(library.layout, IndexJob(library.layout))
    assert not report.up_to_date
    assert in_force(library.layout)
    assert library.documents() == GOOD
    assert not prove(library.layout).leaks


def test_status_says_that_a_rule_waits(library, monkeypatch):
    assert not status(library.layout).work_waiting
    with monkeypatch.context() as patched:
        kill(patched)
        with pytest.raises(KeyboardInterrupt):
            library.add(sources=("bad",))
    assert status(library.layout).work_waiting
    pipeline.index(library.layout, IndexJob(library.layout))
    assert not status(library.layout).work_waiting


def test_a_killed_undo_is_finished_by_the_next_rule(library, monkeypatch):
    library.add(sources=("bad",))
    with monkeypatch.context() as patched:
        kill(patched)
        with pytest.raises(KeyboardInterrupt):
            undo_rule(library.layout, 1)
    assert library.documents() == GOOD
    library.add(match="kind storm")
    assert library.documents() == (GOOD | BAD) - {"good2"}


def test_rules_in_force_are_not_applied_twice(library):
    library.add(sources=("bad",))
    before = current_generation(library.layout.index)
    assert apply_rules(library.layout, "again") == before
    measured = pipeline.index(library.layout, IndexJob(library.layout))
    assert measured.tuned is not None  # half the rows went, so the recall is measured anew
    assert (measured.rows_added, measured.generation.filtered) == (0, before.filtered)
    assert pipeline.index(library.layout, IndexJob(library.layout)).up_to_date


def test_a_rule_that_is_added_again_after_its_undo_names_its_new_number(library):
    library.add(sources=("bad",))
    first = current_generation(library.layout.index)
    undo_rule(library.layout, 1)
    library.add(sources=("bad",))
    again = current_generation(library.layout.index)
    assert again.filtered == replace(first.filtered, rules=(2,), key=again.filtered.key)
