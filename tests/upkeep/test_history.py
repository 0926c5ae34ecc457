"""What ``retro history`` lists while a writer makes generations and sweeps old ones."""

from __future__ import annotations

import pytest

from retro_cli.errors import IntegrityError
from retro_cli.index import catalogue
from retro_cli.store.layout import Layout
from retro_cli.upkeep import history as module
from retro_cli.upkeep.history import history


@pytest.fixture
def grown(retro, db):
    """A database with three generations."""
    for number in (1, 2):
        assert retro("filter", "add", db, "--doc", f"p{number}", "--reason", "x").code == 0
    return db


@pytest.fixture
def after_listing(monkeypatch):
    """Do something once, between the listing of the generations and the reading of the first."""

    def arrange(work):
        waiting = [work]
        listed = catalogue.all_generations

        def list_then_work(folder):
            names = listed(folder)
            if waiting:
                waiting.pop()()
            return names

        monkeypatch.setattr(module, "all_generations", list_then_work)

    return arrange


def numbers(db):
    return [(entry.number, entry.current) for entry in history(Layout(db))]


def test_a_generation_that_is_swept_after_the_listing_is_not_listed(grown, after_listing):
    assert numbers(grown) == [(1, False), (2, False), (3, True)]
    after_listing((grown / "index" / "gen-000001.json").unlink)
    assert numbers(grown) == [(2, False), (3, True)]


def test_a_writer_that_replaces_every_listed_generation_is_followed(grown, retro, after_listing):
    def write():
        for number in (3, 4, 5):
            assert retro("filter", "add", grown, "--doc", f"p{number}", "--reason", "x").code == 0

    after_listing(write)
    assert numbers(grown) == [(4, False), (5, False), (6, True)]


def test_one_that_goes_between_its_time_and_its_reading_is_not_listed(grown, monkeypatch):
    read = module.load_if_kept

    def sweep_first(folder, name):
        if name == "gen-000001.json":
            (folder / name).unlink(missing_ok=True)
        return read(folder, name)

    monkeypatch.setattr(module, "load_if_kept", sweep_first)
    assert numbers(grown) == [(2, False), (3, True)]


def test_history_never_makes_a_purge_wait(grown, retro, monkeypatch):
    """A hold would: it is the text of older generations that a purge must remove."""
    read, codes = module.load_if_kept, []

    def purge_meanwhile(folder, name):
        if not codes:
            codes.append(retro("compact", grown, "--purge", "--yes").code)
        return read(folder, name)

    monkeypatch.setattr(module, "load_if_kept", purge_meanwhile)
    assert len(numbers(grown)) == 1
    assert codes == [0]


def test_a_damaged_generation_is_still_an_error(grown):
    (grown / "index" / "gen-000001.json").write_text("{}")
    with pytest.raises(IntegrityError):
        history(Layout(grown))


def test_a_listed_name_that_leads_nowhere_does_not_keep_it_looking(grown):
    (grown / "index" / "gen-000009.json").symlink_to(grown / "nothing")
    assert numbers(grown) == [(1, False), (2, False), (3, True)]
