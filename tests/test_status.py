"""What is stale is said, as the stages themselves would find it, and what is counted lives."""

from __future__ import annotations

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
