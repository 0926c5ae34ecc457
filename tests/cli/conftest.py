"""The archive with scores, and rules with a reason."""

from __future__ import annotations

import pytest


@pytest.fixture
def scored(retro, db, tmp_path):
    """The archive with scores by a list of two words."""
    (tmp_path / "list.txt").write_text("storm\nkeeper\n")
    made = retro("filter", "score", db, "--scorer", f"words:{tmp_path / 'list.txt'}", "--as", "w")
    assert made.code == 0, made.err
    return db


@pytest.fixture
def add(retro, db):
    """Add a rule to the archive: ``add("--source", "forum")``."""
    return lambda *said: retro("filter", "add", db, *said, "--reason", "insults")
