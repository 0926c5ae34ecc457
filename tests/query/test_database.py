"""The Python API's own promises."""

from __future__ import annotations

import pytest

from retro_cli.database import Database
from retro_cli.errors import UsageError


def test_an_empty_name_is_not_the_current_folder(db, monkeypatch):
    monkeypatch.chdir(db)
    with pytest.raises(UsageError, match="no name"):
        Database.open("")
