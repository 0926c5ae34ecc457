"""A rule or an undo that was killed between ledger and index: said, and made good later."""

from __future__ import annotations

import pytest
from upkeep_library import BAD, GOOD

from retro_cli import pipeline
from retro_cli.errors import UsageError
from retro_cli.filters.ledger import load_ledger
from retro_cli.index.stage import IndexJob
from retro_cli.status import status
from retro_cli.upkeep import filtering
from retro_cli.upkeep.apply import in_force
from retro_cli.upkeep.filtering import undo_rule
from retro_cli.upkeep.proof import prove


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


def test_a_killed_undo_is_finished_by_the_same_undo(library, monkeypatch):
    library.add(sources=("bad",))
    library.add(match="kind storm")
    with monkeypatch.context() as patched:
        kill(patched)
        with pytest.raises(KeyboardInterrupt):
            undo_rule(library.layout, 1)
    assert library.documents() == GOOD - {"good2"}
    rule, back, generation = undo_rule(library.layout, 1)
    assert (rule.number, back, generation.filtered.rules) == (1, 3, (2,))
    assert library.documents() == (GOOD | BAD) - {"good2"}
    with pytest.raises(UsageError, match="was undone before"):
        undo_rule(library.layout, 1)
