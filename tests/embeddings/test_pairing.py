"""A query encoder of other weights is taken for the documents it was trained against only."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from helpers import write_jsonl

from retro_cli import Database
from retro_cli.embeddings.pairing import PAIRING, beside, pair, trained_against
from retro_cli.embeddings.resolve import resolve
from retro_cli.errors import EncoderMismatch
from retro_cli.models.tower import Tower


@pytest.fixture
def other(static_encoder, tmp_path):
    """An encoder of the same shape and other weights."""
    tower = Tower.open(resolve(str(static_encoder)))
    with torch.no_grad():
        for weight in tower.weights().values():
            weight.copy_(weight.flip(0))
    tower.save(tmp_path / "other")
    return tmp_path / "other"


def documents_of(db):
    with Database.open(db) as database:
        return database.retriever.generation.encoder


def test_it_is_refused_until_it_names_the_documents_encoder(db, other, static_encoder):
    with (
        Database.open(db, other) as database,
        pytest.raises(EncoderMismatch, match="other weights"),
    ):
        database.query("the ferry")
    pair(other, documents_of(db))
    with Database.open(db, other) as database, Database.open(db) as own:
        assert len(database.query("the ferry", k=3)) == 3
        both = [each.encoder.encode_queries(["the ferry"]) for each in (database, own)]
        assert not np.allclose(*both)
        best = database.query("the ferry", k=1)[0]
        vector = database.encoder.encode_queries(["the ferry"])[0]
        stored = database.retriever.vectors.gather([best.chunk])[0]
        assert best.score == pytest.approx(float(vector @ stored), abs=1e-3)
    assert static_encoder.name in (other / PAIRING).read_text()


def test_for_documents_of_another_encoder_it_is_refused_by_both_names(retro, db, other, tmp_path):
    pair(other, documents_of(db))
    write_jsonl(tmp_path / "x.jsonl", [{"id": "x", "text": "the ferry left"}])
    third = tmp_path / "third"
    shutil.copytree(other, third)
    tower = Tower.open(resolve(str(third)))
    with torch.no_grad():
        next(iter(tower.weights().values())).add_(1.0)
    tower.save(third)
    assert retro("build", "x.jsonl", "--db", "x.db", "--encoder", third).code == 0
    refused = retro("query", "x.db", "the ferry", "--query-encoder", other)
    assert refused.code == 2
    assert "was trained for documents encoded by" in refused.err
    assert "third" in refused.err
    assert retro("query", db, "the ferry", "--query-encoder", other).code == 0


@pytest.mark.parametrize("said", ["", "[]", "{}", '"x"', "{", '{"documents": null}'])
def test_a_note_that_says_nothing_pairs_with_nothing(db, other, said):
    (other / PAIRING).write_text(said)
    assert trained_against(other)[0] in ("", "None")
    with Database.open(db, other) as database, pytest.raises(EncoderMismatch):
        _ = database.encoder


def test_of_another_dimension_it_is_refused_whatever_it_names(db, tmp_path):
    from fact_helpers import encoder_folder

    wide = encoder_folder(tmp_path / "wide")
    pair(wide, documents_of(db))
    with Database.open(db, wide) as database, pytest.raises(EncoderMismatch):
        _ = database.encoder


def test_one_that_lies_beside_a_model_is_found_and_preferred_if_it_fits(db, other, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(other, model / "query-encoder")
    assert beside(model) is None
    pair(model / "query-encoder", documents_of(db))
    assert beside(model) == model / "query-encoder"
    assert beside(None) is None
    with Database.open(db) as database:
        own = database.encoder.encode_queries(["the boat"])
        assert database.prefer(model / "query-encoder")
        assert not np.allclose(database.encoder.encode_queries(["the boat"]), own)
    note = model / "query-encoder" / PAIRING
    note.write_text(json.dumps({"documents": "0" * 64, "documents_name": "gone"}))
    with Database.open(db) as database:
        assert not database.prefer(model / "query-encoder")
        assert np.allclose(database.encoder.encode_queries(["the boat"]), own)
