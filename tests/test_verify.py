"""``retro verify`` beside a writer: what is swept meanwhile is no damage, what is damaged is."""

from __future__ import annotations

import pytest

from retro_cli import verify as module
from retro_cli.errors import IntegrityError
from retro_cli.store.layout import Layout
from retro_cli.verify import verify


@pytest.fixture
def during(monkeypatch):
    """Do something once, as the files that were listed are about to be read."""

    def arrange(work):
        waiting = [work]
        listed = module._hashed

        def list_then_work(*arguments):
            yield from listed(*arguments)
            if waiting:
                waiting.pop()()

        monkeypatch.setattr(module, "_hashed", list_then_work)

    return arrange


def test_what_a_compaction_sweeps_meanwhile_is_no_damage(retro, db, during):
    assert retro("filter", "add", db, "--doc", "p1", "--reason", "x").code == 0
    during(lambda: retro("compact", db, "--purge", "--yes"))
    found = verify(Layout(db))
    assert found.problems == []
    assert found == verify(Layout(db))


def test_generations_that_later_ones_push_out_meanwhile_are_no_damage(retro, db, during):
    def write():
        for number in (1, 2, 3, 4):
            assert retro("filter", "add", db, "--doc", f"p{number}", "--reason", "x").code == 0

    during(write)
    assert verify(Layout(db)).problems == []


def test_damage_is_found_though_a_writer_commits_meanwhile(retro, db, during):
    def write_and_damage():
        assert retro("filter", "add", db, "--doc", "p1", "--reason", "x").code == 0
        part = next((db / "embeddings").glob("*.npy"))
        part.write_bytes(part.read_bytes()[:-1] + b"?")

    during(write_and_damage)
    assert len(verify(Layout(db)).problems) == 1


def test_a_missing_file_is_damage_when_nobody_writes(db, during):
    during(next((db / "embeddings").glob("*.npy")).unlink)
    assert any("missing" in problem for problem in verify(Layout(db)).problems)


def test_a_manifest_that_cannot_be_read_is_an_error_and_ends(db):
    (db / "embeddings" / "manifest.json").write_text("{}")
    with pytest.raises(IntegrityError):
        verify(Layout(db))
