"""Drift: rows unlike those of the training show, and training again mends it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import write_jsonl

from retro_cli.index.catalogue import current_generation
from retro_cli.index.drift import drift
from retro_cli.index.generation import Generation

ORDINARY = ["the", "ferry", "harbour", "light", "boat"]
STRANGE = ["xqz", "jkv", "wpy", "0194", "8827"]


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
    before = _posts(ORDINARY, 1500, 1)
    write_jsonl(path, before)
    db = tmp_path / "d.db"
    assert retro("build", path, "--db", db, "--encoder", static_encoder, "--tokens", 16).code == 0
    assert retro("index", db, "--factory", "IVF16,SQ8").code == 0
    return db, path, before


@pytest.fixture
def status(retro, lists):
    """Write posts, bring the database up to date, and what ``retro status`` says of the index."""
    db, path, before = lists

    def update(*more: list[dict]) -> dict:
        write_jsonl(path, [*before, *(post for posts in more for post in posts)])
        assert retro("build", path, "--db", db, "--prune").code == 0
        return asked()

    def asked() -> dict:
        index = json.loads(retro("status", db, "--json").out)["stages"][2]
        assert index["state"] == "ok"
        return index

    update.again = asked
    return update


def test_an_index_as_trained_has_not_drifted(lists):
    db, _, _ = lists
    found = drift(current_generation(db / "index"))
    assert (found.error_ratio, found.new_rows) == (1.0, 0)
    assert found.imbalance == found.imbalance_at_training > 1


@pytest.mark.parametrize("count", [3, 1500])
def test_ordinary_rows_few_or_many_raise_no_hint(status, count):
    index = status(_posts(ORDINARY, count, 2))
    assert index["facts"]["new_rows"] == count
    assert index["todo"] == ""
    assert index["facts"]["imbalance"] < 1.2 * index["facts"]["imbalance_at_training"]


def test_a_handful_of_strange_rows_is_shown_and_raises_no_hint(status):
    index = status(_posts(STRANGE, 10, 2))
    assert index["facts"]["error_ratio"] > 1.2
    assert index["todo"] == ""


def test_strange_rows_show_as_drift_before_and_after_a_merge_and_training_again_mends_it(
    retro, lists, status
):
    db, _, _ = lists
    strange = [_posts(STRANGE, 40, seed) for seed in (2, 3)]  # three to four chunks a post
    before = status(strange[0])
    assert (before["facts"]["segments"], before["todo"]) == (2, "")  # still too few to tell
    after = status(*strange)
    assert (after["facts"]["segments"], after["facts"]["new_rows"] > 200) == (1, True)
    assert after["facts"]["error_ratio"] == pytest.approx(before["facts"]["error_ratio"], rel=0.1)
    assert "newer rows fit the training" in after["why"]
    assert "--retrain" in after["todo"]
    assert retro("index", db, "--retrain").code == 0
    mended = status.again()
    assert (mended["facts"]["error_ratio"], mended["facts"]["new_rows"]) == (1.0, 0)
    assert mended["todo"] == ""


def test_strange_rows_in_a_segment_of_their_own_show_as_drift(status, monkeypatch):
    monkeypatch.setattr("retro_cli.index.merging.FOLD", 0.5)
    index = status(_posts(STRANGE, 80, 2))
    assert index["facts"]["segments"] == 2
    assert "--retrain" in index["todo"]


def test_strange_rows_that_left_the_index_are_no_drift(status):
    assert status(_posts(STRANGE, 80, 2))["todo"]
    index = status()
    assert (index["facts"]["new_rows"], index["todo"]) == (0, "")


def test_rows_that_crowd_one_list_show_as_imbalance_and_training_again_mends_it(
    retro, lists, status
):
    db, _, before = lists
    rng = np.random.default_rng(4)
    words = before[0]["text"].split()  # in other orders: other texts with one vector
    crowd = [" ".join(rng.permutation(words)) for _ in range(1000)]
    index = status([{"id": f"c{n}", "text": text} for n, text in enumerate(crowd)])
    facts = index["facts"]
    assert facts["imbalance"] > 1.5 * facts["imbalance_at_training"]
    assert facts["error_ratio"] < 1.2
    assert "uneven lists" in index["why"]
    assert "--retrain" in index["todo"]
    assert retro("index", db, "--retrain").code == 0
    assert status.again()["todo"] == ""


def test_a_generation_from_before_these_figures_opens_and_says_nothing_of_drift(lists):
    db, _, _ = lists
    value = current_generation(db / "index").to_json()
    for name in ("trained_imbalance", "fit", "trained"):
        del value[name]
    assert drift(Generation.from_json(value)) is None
