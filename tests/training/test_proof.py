"""The proof that a fitted model's base is untouched fails where it was touched."""

from __future__ import annotations

import pytest
import torch
from model_helpers import base, retro

from retro_cli.errors import IntegrityError
from retro_cli.training.model import prove_untouched


@pytest.fixture
def fitted(tmp_path):
    base().save_pretrained(tmp_path / "base")
    return retro(4, "llama"), tmp_path / "base"


def test_an_untouched_base_is_proved_by_its_hash_and_its_logits(fitted):
    model, folder = fitted
    proof = prove_untouched(model, folder)
    assert proof.backbone_sha256 == model.config.base_hash
    assert proof.tokens_compared > 0


def test_one_changed_weight_fails(fitted):
    model, folder = fitted
    with torch.no_grad():
        next(model.backbone.parameters()).view(-1)[0] += 1e-3
    with pytest.raises(IntegrityError, match="changed in training"):
        prove_untouched(model, folder)


def test_other_logits_without_retrieval_fail(fitted):
    model, folder = fitted
    model.backbone.get_output_embeddings().register_forward_hook(
        lambda module, given, output: output + 1e-3
    )
    with pytest.raises(IntegrityError, match="logits"):
        prove_untouched(model, folder)
