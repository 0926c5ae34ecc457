"""Where retro query writes its answers, and in which shape."""

from __future__ import annotations

import json
import os

import pytest


@pytest.mark.parametrize("shape", ["json", "csv", "trec", "parquet"])
def test_answers_that_cannot_be_written_are_refused_before_anything_is_done(
    retro, db, tmp_path, shape
):
    (tmp_path / "file").write_text("x")
    for out, says in ((tmp_path, "is a folder"), (tmp_path / "file" / "x", "cannot write")):
        refused = retro("query", db, "the ferry", "--format", shape, "--out", out)
        assert (refused.code, says in refused.err) == (2, True), refused.err
        assert "name a" in refused.err
        assert "defect" not in refused.err


def test_a_folder_for_the_answers_is_made(retro, db, tmp_path):
    out = tmp_path / "new" / "folder" / "o.json"
    assert retro("query", db, "the ferry", "--format", "json", "--out", out).code == 0
    assert len(json.loads(out.read_text())["hits"]) == 5


def test_a_forbidden_file_is_refused(retro, db, tmp_path, monkeypatch):
    # also where the tests run as root
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    refused = retro("query", db, "the ferry", "--out", tmp_path / "o.json")
    assert (refused.code, "Permission denied" in refused.err) == (2, True)


@pytest.mark.parametrize(
    "wrong", [("--where", "nofield = 1"), ("--where", "year >="), ("--source", "zzz")]
)
def test_a_refused_query_leaves_the_answers_of_an_earlier_one(retro, db, tmp_path, wrong):
    out = tmp_path / "o.json"
    out.write_text("kept")
    assert retro("query", db, "the ferry", "--out", out, *wrong).code == 2
    assert out.read_text() == "kept"
