"""Drift: rows unlike those of the training show, and training again mends it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import write_jsonl

from retro_cli.index.catalogue import current_generation
from retro_cli.index.drift import drift


def _posts(words: list[str], count: int, seed: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [
        {"id": f"{seed}-{n}", "text": " ".join(rng.choice(words, 14)), "source": "s"}
        for n in range(count)
    ]


@pytest.fixture
def lists(retro, static_encoder, tmp_path):
    """An index of real lists over posts of a few words."""
    path = tmp_path / "posts.jsonl"
    before = _posts(["the", "ferry", "harbour", "light", "boat"], 1500, 1)
    write_jsonl(path, before)
    db = tmp_path / "d.db"
    assert retro("build", path, "--db", db, "--encoder", static_encoder, "--tokens", 16).code == 0
    assert retro("index", db, "--factory", "IVF16,SQ8").code == 0
    return db, path, before


def test_an_index_as_trained_has_not_drifted(lists):
    db, _, _ = lists
    found = drift(current_generation(db / "index"))
    assert found.error_ratio == pytest.approx(1.0, abs=0.01)


def test_rows_unlike_the_training_show_as_drift_and_training_again_mends_it(retro, lists):
    db, path, before = lists
    strange = _posts(["xqz", "jkv", "wpy", "0194", "8827"], 300, 2)
    write_jsonl(path, before + strange)
    retro("build", path, "--db", db)
    status = json.loads(retro("status", db, "--json").out)
    index = status["stages"][2]
    assert index["state"] == "ok"
    assert index["facts"]["error_ratio"] > 1.2
    assert "--retrain" in index["todo"]
    assert retro("index", db, "--retrain").code == 0
    assert drift(current_generation(db / "index")).error_ratio == pytest.approx(1.0, abs=0.01)
