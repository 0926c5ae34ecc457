"""Conditions on documents, as they are given to the command line."""

from __future__ import annotations

import pytest
from helpers import write_jsonl

LABELS = ("12e4567", "99e9999", "007", "7", "1_0", "10", "nan")


@pytest.fixture
def labelled(retro, static_encoder, tmp_path):
    """Documents whose names look like numbers."""
    records = [{"id": label, "title": label, "text": f"the boat {label}"} for label in LABELS]
    write_jsonl(tmp_path / "labels.jsonl", records)
    path = tmp_path / "labels.db"
    built = retro("build", "labels.jsonl", "--db", path, "--encoder", static_encoder)
    assert built.code == 0, built.err
    return path


def found(retro, db, *how):
    asked = retro("query", db, "the boat", "-k", 50, "--json", *how)
    assert asked.code == 0, asked.err
    return {hit["document"] for hit in asked.rows[0]["hits"]}


@pytest.mark.parametrize("label", LABELS)
def test_a_document_is_found_and_taken_by_its_own_name_alone(retro, labelled, label):
    condition = f"document = {label}"
    assert found(retro, labelled, "--where", condition) == {label}
    assert found(retro, labelled, "--where", f"title != '{label}'") == {*LABELS} - {label}
    added = retro("filter", "add", labelled, "--where", condition, "--reason", "x", "--json")
    assert added.rows[0]["documents"] == 1
    assert found(retro, labelled) == {*LABELS} - {label}
