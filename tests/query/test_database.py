"""The Python API's own promises."""

from __future__ import annotations

import pytest

from retro_cli.database import Database
from retro_cli.errors import ConfigError, UsageError


def test_an_empty_name_is_not_the_current_folder(db, monkeypatch):
    monkeypatch.chdir(db)
    with pytest.raises(UsageError, match="name is empty"):
        Database.open("")


def test_the_stages_and_the_looks_are_the_commands(archive, static_encoder, tmp_path):
    path = tmp_path / "p.db"
    encoder = str(static_encoder)
    assert Database.chunk(path, archive, encoder=encoder, tokens=16).live_rows > 10
    assert Database.embed(path).rows_total > 10
    assert Database.index(path, recall=0.9).generation.number == 1
    with Database.build(path, str(archive)) as database:
        assert [stage.state for stage in database.status().stages[:3]] == ["ok"] * 3
        assert not database.verify(sample=4).problems
        assert database.export(tmp_path / "c.jsonl") == database.retriever.generation.rows
        assert len(database.query("the ferry")) == 5


@pytest.mark.parametrize("wrong", [{"token": 16}, {"tokens": "16"}])
def test_a_setting_that_is_not_known_is_told(archive, tmp_path, wrong):
    with pytest.raises(ConfigError):
        Database.build(tmp_path / "p.db", archive, **wrong)
    assert not (tmp_path / "p.db").exists()


def test_a_database_is_renewed_once_there_is_a_newer_generation_and_keeps_its_encoder(retro, db):
    with Database.open(db) as database:
        (before,) = database.query("the ferry", k=1)
        encoder = database.encoder
        assert not database.renew()
        done = retro("filter", "add", db, "--source", before.source, "--reason", "test")
        assert done.code == 0, done.err
        assert database.query("the ferry", k=1) == (before,)
        assert database.renew()
        assert before.source not in {hit.source for hit in database.query("the ferry", k=50)}
        assert database.encoder is encoder
        assert not database.renew()
