"""How many generations are kept: the number that was named last, whatever made the newest."""

from __future__ import annotations

import pytest
from upkeep_library import posts

from retro_cli import pipeline
from retro_cli.config import load_settings, save_settings
from retro_cli.errors import LockedError
from retro_cli.index.catalogue import all_generations
from retro_cli.upkeep.compact import compact
from retro_cli.upkeep.filtering import undo_rule
from retro_cli.upkeep.history import rollback


def numbers(library):
    return [int(name[4:-5]) for name in all_generations(library.layout.index)]


def grow(library):
    """Four generations more, each made in another way."""
    library.add(match="storm")
    undo_rule(library.layout, 1)
    library.write("c", posts("more", "the light and the island"))
    library.update()
    rollback(library.layout, numbers(library)[-1])


@pytest.fixture
def kept(library):
    compact(library.layout, keep_generations=9)
    grow(library)
    return library


def test_a_larger_number_lasts(kept):
    assert numbers(kept) == [1, 2, 3, 4, 5]
    kept.add(match="ferry")
    assert numbers(kept) == [1, 2, 3, 4, 5, 6]
    compact(kept.layout, max_dead=0)
    assert numbers(kept) == [1, 2, 3, 4, 5, 6, 7]
    kept.chunk()  # and what is chosen for chunks leaves it alone
    for word in ("island", "rude", "boat"):
        kept.add(match=word, yes=True)
    assert numbers(kept) == list(range(2, 11))
    assert rollback(kept.layout, 2).number == 11


def test_a_smaller_number_lasts_as_well(kept):
    compact(kept.layout, keep_generations=1)
    assert numbers(kept) == [5]
    kept.add(match="ferry")
    kept.add(match="boat")
    assert numbers(kept) == [7]
    compact(kept.layout, keep_generations=2)
    kept.add(match="light")
    kept.add(match="kind")
    assert len(numbers(kept)) == 2


def test_without_a_number_there_are_three(library):
    grow(library)
    assert numbers(library) == [3, 4, 5]


def test_a_purge_leaves_one_generation_and_the_number_as_it_was(kept):
    compact(kept.layout, purge=True, yes=True)
    (purged,) = numbers(kept)
    for word in ("ferry", "boat", "light", "kind"):
        kept.add(match=word, yes=True)
    assert numbers(kept) == list(range(purged, purged + 5))


def test_the_help_says_that_the_number_lasts(retro):
    assert "the number lasts" in " ".join(retro("compact", "--help").out.replace("│", " ").split())


@pytest.mark.parametrize("stage", ["chunk", "embed"])
def test_a_number_named_while_a_stage_waits_to_write_is_not_lost(library, monkeypatch, stage):
    """The stage has read the settings, and compact changes them before it has the lock."""
    lock = pipeline.writer_lock

    def after_compact(*args):
        monkeypatch.setattr(pipeline, "writer_lock", lock)
        compact(library.layout, keep_generations=9)
        return lock(*args)

    monkeypatch.setattr(pipeline, "writer_lock", after_compact)
    library.chunk() if stage == "chunk" else pipeline.embed(library.layout)
    assert load_settings(library.layout).keep_generations == 9


def test_a_stage_does_not_go_on_with_settings_that_another_writer_changed(library, monkeypatch):
    lock = pipeline.writer_lock

    def after_change(*args):
        saved = load_settings(library.layout)
        save_settings(library.layout, saved.changed(title_field="headline"))
        return lock(*args)

    monkeypatch.setattr(pipeline, "writer_lock", after_change)
    with pytest.raises(LockedError, match="meanwhile"):
        library.chunk()
    assert load_settings(library.layout).title_field == "headline"
