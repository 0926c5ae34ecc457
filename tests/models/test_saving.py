"""Saved models come back as they were, or say what is wrong with them."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch
from model_helpers import BASES, base, logits, retro, shaken, tokens
from transformers import AutoModelForCausalLM
from transformers.utils.logging import enable_progress_bar, is_progress_bar_enabled

from retro_cli.errors import InputNotFound, IntegrityError, UsageError
from retro_cli.models.retro import RetroForCausalLM
from retro_cli.models.saving import weights_hash

IDS, NEIGHBOURS = tokens(2, 14), tokens(2, 3, 2, 8, seed=1)


def settings(model):
    fields = model.config.to_diff_dict()
    for noted_on_loading in ("_name_or_path", "base_config", "architectures"):
        fields.pop(noted_on_loading, None)
    return fields


@pytest.fixture
def fitted(tmp_path):
    """A model fitted on a base in a folder, and that folder."""
    folder = tmp_path / "base"
    base().save_pretrained(folder)
    model = RetroForCausalLM.from_base(
        folder, chunk_length=4, cca_layers=[2, 3], encoder_width=12, encoder_heads=3
    )
    shaken(model.added, seed=1)
    return model, folder


@pytest.mark.parametrize("kind", list(BASES))
def test_a_whole_model_comes_back_bit_for_bit(kind, tmp_path):
    model = retro(4, kind, encoder_embeddings="own" if kind == "gpt2" else "shared")
    model.save_pretrained(tmp_path / "model")
    for loaded in (
        RetroForCausalLM.from_pretrained(tmp_path / "model"),
        AutoModelForCausalLM.from_pretrained(tmp_path / "model"),
    ):
        assert torch.equal(logits(loaded, IDS, NEIGHBOURS), logits(model, IDS, NEIGHBOURS))
        assert torch.equal(logits(loaded, IDS), logits(model, IDS))
        assert settings(loaded) == settings(model)
        assert not any(weight.requires_grad for weight in loaded.backbone.parameters())
        assert all(weight.requires_grad for weight in loaded.added.parameters())


def test_added_weights_find_their_base_and_come_back_bit_for_bit(fitted, tmp_path):
    model, folder = fitted
    model.save_pretrained(tmp_path / "added", added_only=True)
    held = safetensors.torch.load_file(tmp_path / "added" / "model.safetensors")
    assert held
    assert all(name.startswith("added.") for name in held)
    config = json.loads((tmp_path / "added" / "config.json").read_text())
    assert (config["base_name"], config["base_hash"]) == (str(folder), weights_hash(base()))
    loaded = RetroForCausalLM.from_pretrained(tmp_path / "added")
    assert torch.equal(logits(loaded, IDS, NEIGHBOURS), logits(model, IDS, NEIGHBOURS))
    assert not any(weight.requires_grad for weight in loaded.backbone.parameters())
    moved = folder.rename(tmp_path / "elsewhere")
    with pytest.raises(InputNotFound):
        RetroForCausalLM.from_pretrained(tmp_path / "added")
    loaded = RetroForCausalLM.from_pretrained(tmp_path / "added", base=moved)
    assert torch.equal(logits(loaded, IDS, NEIGHBOURS), logits(model, IDS, NEIGHBOURS))


def test_added_weights_find_their_base_in_the_dtype_it_was_fitted_in(tmp_path):
    base().save_pretrained(tmp_path / "base")
    held = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.bfloat16)
    model = RetroForCausalLM.from_base(
        held, chunk_length=4, encoder_width=12, encoder_heads=3, zero_gate=False
    )
    model.save_pretrained(tmp_path / "added", added_only=True)
    loaded = RetroForCausalLM.from_pretrained(tmp_path / "added")
    assert torch.equal(logits(loaded, IDS, NEIGHBOURS), logits(model, IDS, NEIGHBOURS))
    assert loaded.added.encoder.norm.weight.dtype == torch.float32


def test_a_wanted_dtype_is_that_of_all_weights_however_they_were_saved(fitted, tmp_path):
    model, _ = fitted
    for folder, added_only in (("added", True), ("whole", False)):
        model.save_pretrained(tmp_path / folder, added_only=added_only)
    added, whole = (
        RetroForCausalLM.from_pretrained(tmp_path / folder, dtype=torch.bfloat16)
        for folder in ("added", "whole")
    )
    assert {weight.dtype for weight in added.parameters()} == {torch.bfloat16}
    assert torch.equal(logits(added, IDS, NEIGHBOURS), logits(whole, IDS, NEIGHBOURS))


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, "auto"])
def test_added_weights_open_by_the_ecosystems_own_class(dtype, fitted, tmp_path):
    model, folder = fitted
    model.save_pretrained(tmp_path / "added", added_only=True)
    asked = {} if dtype is None else {"dtype": dtype}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "added", **asked)
    expected = RetroForCausalLM.from_pretrained(tmp_path / "added", **asked)
    assert isinstance(loaded, RetroForCausalLM)
    assert torch.equal(logits(loaded, IDS, NEIGHBOURS), logits(expected, IDS, NEIGHBOURS))
    assert settings(loaded) == settings(expected)
    assert not any(weight.requires_grad for weight in loaded.backbone.parameters())
    moved = folder.rename(tmp_path / "elsewhere")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "added", base=moved, **asked)
    assert torch.equal(logits(loaded, IDS, NEIGHBOURS), logits(expected, IDS, NEIGHBOURS))


def test_added_weights_refuse_another_base(fitted, tmp_path):
    model, _ = fitted
    model.save_pretrained(tmp_path / "added", added_only=True)
    with pytest.raises(UsageError, match="another base"):
        RetroForCausalLM.from_pretrained(tmp_path / "added", base=base(seed=5))


def test_a_trained_backbone_is_not_saved_as_added_weights(fitted, tmp_path):
    model, _ = fitted
    with torch.no_grad():
        model.backbone.lm_head.weight.add_(1e-3)
    with pytest.raises(UsageError, match="not those of a base"):
        model.save_pretrained(tmp_path / "added", added_only=True)
    assert not (tmp_path / "added").exists()


@pytest.mark.parametrize("added_only", [True, False])
def test_half_written_and_damaged_models_are_told(added_only, fitted, tmp_path):
    model, _ = fitted
    folder = tmp_path / "model"
    with pytest.raises(InputNotFound):
        RetroForCausalLM.from_pretrained(folder)
    model.save_pretrained(folder, added_only=added_only)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    tensors = safetensors.torch.load(whole)  # a copy: the file itself is about to change
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError):
        RetroForCausalLM.from_pretrained(folder)
    tensors.pop("added.cca.0.attention.output.weight")
    safetensors.torch.save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(IntegrityError, match=r"added\.cca\.0\.attention\.output\.weight"):
        RetroForCausalLM.from_pretrained(folder)
    weights.unlink()
    with pytest.raises(IntegrityError):
        RetroForCausalLM.from_pretrained(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(IntegrityError):
        RetroForCausalLM.from_pretrained(folder)


def test_a_folder_of_another_model_is_refused(fitted):
    with pytest.raises(UsageError, match="no RETRO model"):
        RetroForCausalLM.from_pretrained(fitted[1])


def test_the_same_weights_have_the_same_hash_and_others_another():
    assert weights_hash(base()) == weights_hash(base())
    assert weights_hash(base()) != weights_hash(base(seed=1))
    assert weights_hash(base().to(torch.bfloat16)) != weights_hash(base())


def test_nothing_draws_a_bar_of_its_own_and_those_of_others_stay(fitted, tmp_path, capfd):
    model, folder = fitted
    enable_progress_bar()
    capfd.readouterr()
    model.save_pretrained(tmp_path / "added", added_only=True)
    model.save_pretrained(tmp_path / "whole")
    RetroForCausalLM.from_base(folder, encoder_width=12, encoder_heads=3)
    for saved in ("added", "whole"):
        RetroForCausalLM.from_pretrained(tmp_path / saved)
    assert capfd.readouterr().err == ""
    assert is_progress_bar_enabled()
