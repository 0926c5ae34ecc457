"""Opening a RETRO model: by folder or by the name of one that ships, with the right tokenizer."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from generate_helpers import speaking

from retro_cli.errors import InputNotFound, IntegrityError, UsageError
from retro_cli.models import shipped
from retro_cli.models.retro import RetroForCausalLM
from retro_cli.reading.open_model import open_model


@pytest.fixture
def folder(tmp_path, bpe_path):
    speaking(8).save_pretrained(tmp_path / "m")
    shutil.copy(bpe_path, tmp_path / "m" / "tokenizer.json")
    return tmp_path / "m"


def test_a_folder_opens_with_its_own_tokenizer(folder):
    model, tokenizer = open_model(folder)
    assert not model.training
    assert tokenizer.path == folder / "tokenizer.json"


def test_added_weights_in_half_precision_are_read_in_single_on_a_cpu(folder):
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    whole = load_file(path)
    half = {
        name: weight if name.startswith("backbone.") else weight.to(torch.bfloat16)
        for name, weight in whole.items()
    }
    save_file(half, path, metadata={"format": "pt"})
    model, _ = open_model(folder, device="cpu")
    assert {weight.dtype for weight in model.added.parameters()} == {torch.float32}


@pytest.mark.parametrize("device", ["mind", "tpu"])
def test_an_unknown_device_is_refused_before_anything_is_loaded(tmp_path, device):
    with pytest.raises(UsageError, match="device"):
        open_model(tmp_path / "nothing", device=device)


def test_a_folder_that_is_none_is_told(tmp_path):
    with pytest.raises(InputNotFound):
        open_model(tmp_path / "nothing")


def test_weights_that_ship_must_be_the_published_ones(tmp_path, monkeypatch):
    name = shipped.DEFAULT_MODEL
    copy = tmp_path / name
    shutil.copytree(shipped.find_model(name), copy)
    monkeypatch.setattr(shipped, "_FOLDER", tmp_path)
    assert shipped.find_model(name.upper()) == copy
    weights = copy / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(IntegrityError, match="published"):
        shipped.find_model(name)


def test_what_ships_are_added_weights_of_a_named_base_within_forty_megabytes():
    for name in shipped.SHIPPED:
        folder = shipped.find_model(name)
        config = json.loads((folder / "config.json").read_text())
        assert config["weights"] == "added"
        assert "/" not in config["base_name"]
        assert (folder / "card.md").is_file()
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 40_000_000
        assert "/" not in json.dumps(config).replace("</", "")


def test_the_default_model_opens_without_a_folder():
    model, tokenizer = open_model(shipped.DEFAULT_MODEL)
    assert model.config.base_name == "SmolLM2-135M-Instruct"
    assert tokenizer.vocabulary <= model.config.vocab_size
    assert all(bool(weight.isfinite().all()) for weight in model.added.parameters())


def test_a_base_is_found_by_a_relative_folder_and_from_home_and_later_from_elsewhere(
    tmp_path, bpe_path, monkeypatch
):
    network = speaking(8)
    network.backbone.save_pretrained(tmp_path / "base")
    shutil.copy(bpe_path, tmp_path / "base" / "tokenizer.json")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    RetroForCausalLM.from_base("base", network.config).save_pretrained("added", added_only=True)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert open_model("../added")[1].path == tmp_path / "base" / "tokenizer.json"
    model, tokenizer = open_model("../added", "~/base")
    assert tokenizer.path == tmp_path / "base" / "tokenizer.json"
    assert model.config.base_name == str(tmp_path / "base")
