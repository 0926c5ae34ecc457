"""The packaged masked model: checked, copied once, and a real one."""

from __future__ import annotations

import pytest
import torch

from retro_cli.errors import IntegrityError, MissingExtra
from retro_cli.models import masked
from retro_cli.models.base import find_language_model
from retro_cli.models.language import CAUSAL, MASKED, open_language_model


def test_it_fills_a_mask_and_needs_its_package_once(monkeypatch):
    model = open_language_model(masked.DEFAULT_MASKED.upper(), (MASKED,), "cpu")
    batch = model.tokenizer("Paris is the [MASK] of France.", return_tensors="pt")
    with torch.no_grad():
        logits = model.network(**batch).logits[0]
    place = batch.input_ids[0].tolist().index(model.tokenizer.mask_token_id)
    assert model.tokenizer.decode(logits[place].argmax()) == "city"
    monkeypatch.setattr(masked, "package_folder", lambda _: None)
    assert find_language_model(masked.DEFAULT_MASKED) == model.folder


def test_without_its_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(masked, "package_folder", lambda _: None)
    with pytest.raises(MissingExtra) as told:
        find_language_model(masked.DEFAULT_MASKED)
    assert told.value.hint == "pip install 'retro-cli[fill]'"


@pytest.mark.parametrize("damage", [b"other", None])
def test_other_files_than_the_published_ones_are_refused(monkeypatch, tmp_path, damage):
    (tmp_path / "model").mkdir()
    if damage:
        (tmp_path / "model" / "config.json").write_bytes(damage)
    monkeypatch.setattr(masked, "package_folder", lambda _: tmp_path)
    with pytest.raises(IntegrityError, match="sha256"):
        find_language_model(masked.DEFAULT_MASKED)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_reader_that_continues_texts_cannot_use_it():
    from retro_cli.errors import UsageError

    with pytest.raises(UsageError, match="rag-token cannot use") as told:
        open_language_model(masked.DEFAULT_MASKED, (CAUSAL,), "cpu", reader="rag-token")
    assert "causal" in told.value.hint
