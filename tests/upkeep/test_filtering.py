"""Rules come into force and go out of it at once: what they take, count, refuse and give back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from upkeep_library import BAD, GOOD, posts

from retro_cli import pipeline
from retro_cli.errors import UsageError
from retro_cli.filters.ledger import load_ledger
from retro_cli.index.catalogue import current_generation
from retro_cli.index.stage import IndexJob
from retro_cli.upkeep.apply import apply_rules
from retro_cli.upkeep.filtering import undo_rule
from retro_cli.upkeep.reach import look_at_rule


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
