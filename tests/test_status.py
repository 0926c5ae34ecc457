"""What is stale is said, as the stages themselves would find it, and what is counted lives."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file


def stages(retro, db):
    rows = retro("status", db, "--json").rows
    return {stage["name"]: stage for stage in rows[0]["stages"]}


@pytest.fixture
def other_encoder(static_encoder, tmp_path):
    """The static encoder with other weights."""
    folder = tmp_path / "other"
    shutil.copytree(static_encoder, folder)
    weights = load_file(folder / "model.safetensors")
    save_file({name: -value for name, value in weights.items()}, folder / "model.safetensors")
    return folder


def test_an_index_of_other_vectors_than_there_are_is_stale(retro, db, other_encoder):
    assert retro("status", db, "--check").code == 0
    assert retro("embed", db, "--encoder", other_encoder).code == 0
    index = stages(retro, db)["index"]
    assert (index["state"], index["why"]) == ("stale", "the vectors come from another encoder")
    assert index["why"] in retro("index", db, "--dry-run").out
    assert retro("status", db, "--check").code == 3
    assert retro("index", db).code == 0
    assert retro("status", db, "--check").code == 0


@pytest.mark.parametrize("how", ["int8", "elsewhere"])
def test_so_is_one_whose_vectors_were_made_again(retro, db, how, static_encoder):
    if how == "int8":
        assert retro("embed", db, "--precision", "int8").code == 0
    else:
        assert retro("export", db, "v.npy").code == 0
        turned = np.load("v.npy") + np.float32(0.002)
        np.save("v.npy", turned)
        assert retro("embed", db, "--from", "v.npy", "--encoder", static_encoder).code == 0
    assert stages(retro, db)["embeddings"]["state"] == "ok"
    assert stages(retro, db)["index"]["state"] == "stale"
    assert retro("index", db).code == 0
    assert retro("status", db, "--check").code == 0


@pytest.fixture
def pruned(retro, db, archive):
    """The database with a document more, and one of six chunks less."""
    before = stages(retro, db)
    (archive / "new.txt").write_text("the keeper saw a storm")
    (archive / "light.txt").unlink()
    assert retro("build", archive, "--db", db, "--prune").code == 0
    assert stages(retro, db)["chunks"]["facts"]["dead"] > 1
    return before


def fresh(retro, archive, encoder):
    """What there is in a database that never held anything else."""
    ask = ["build", archive, "--db", "fresh.db", "--encoder", encoder, "--tokens", 16]
    assert retro(*ask).code == 0
    return stages(retro, "fresh.db")


def test_dead_rows_are_not_among_the_tokens_and_vectors(retro, db, archive, pruned, static_encoder):
    now, other = stages(retro, db), fresh(retro, archive, static_encoder)
    for name in ("documents", "chunks", "tokens"):
        assert now["chunks"]["facts"][name] == other["chunks"]["facts"][name]
    count = other["embeddings"]["facts"]["vectors"]
    assert now["embeddings"]["facts"]["vectors"] == count
    assert f"up to date, {count} vectors" in retro("embed", db).err
    assert pruned["chunks"]["facts"]["tokens"] != now["chunks"]["facts"]["tokens"]


def test_nor_are_blank_rows_among_imported_vectors(retro, db, archive, pruned, static_encoder):
    assert retro("compact", db, "--max-dead", 0).code == 0
    tokens = stages(retro, db)["chunks"]["facts"]["tokens"]
    assert tokens == fresh(retro, archive, static_encoder)["chunks"]["facts"]["tokens"]
    assert retro("export", db, "k.npy", "--with-filtered").code == 0
    assert retro("embed", db, "--from", "k.npy", "--encoder", static_encoder).code == 0
    count = len(np.load("k.npy"))
    assert stages(retro, db)["embeddings"]["facts"]["vectors"] == count
    assert f"up to date, {count} vectors" in retro("embed", db).err
    assert f"{count} vectors of unit length" in retro("verify", db).out


def test_a_chunk_without_a_vector_is_one_that_lives(retro, db, pruned):
    for path in (db / "embeddings").glob("manifest.json"):
        value = json.loads(path.read_text())
        path.write_text(json.dumps({**value, "parts": []}))
    facts = stages(retro, db)
    count = facts["index"]["facts"]["rows"]
    assert facts["embeddings"]["why"] == f"{count} chunks have no vector"
