"""A tower that learns gives the vectors that its folder will give when it is frozen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fact_helpers import encoder_folder

from retro_cli.embeddings.encoder import load_encoder
from retro_cli.embeddings.resolve import DEFAULT_ENCODER, resolve
from retro_cli.models.tower import Tower

TEXTS = ["isle3 has1 gold7", "isle3", "", "the keeper of the light " * 90]


@pytest.fixture(params=["static", "bert"])
def resolved(request, tmp_path):
    return resolve(
        DEFAULT_ENCODER if request.param == "bert" else str(encoder_folder(tmp_path / "e"))
    )


def frozen(encoder):
    return load_encoder(encoder, purpose="query")


def test_its_vectors_are_those_of_the_frozen_encoder(resolved):
    tower, encoder = Tower.open(resolved), frozen(resolved)
    with torch.no_grad():
        queries, documents = tower.queries(TEXTS).numpy(), tower.documents(TEXTS).numpy()
    np.testing.assert_allclose(queries, encoder.encode_queries(TEXTS), atol=1e-5)
    np.testing.assert_allclose(documents, encoder.encode_documents(TEXTS), atol=1e-5)


def test_what_it_has_learned_is_what_its_folder_gives(resolved, tmp_path):
    tower = Tower.open(resolved)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in tower.weights().values():
            weight.add_(0.01 * torch.randn(weight.shape, generator=random))
        wanted = tower.documents(TEXTS[:2]).numpy()
    spec = tower.save(tmp_path / "out" / "learned")
    again = resolve(str(tmp_path / "out" / "learned"))
    assert again.spec == spec
    assert spec.kind == resolved.spec.kind
    assert spec.tokenizer_sha256 == resolved.spec.tokenizer_sha256
    assert spec.fingerprint() != resolved.spec.fingerprint()
    np.testing.assert_allclose(frozen(again).encode_documents(TEXTS[:2]), wanted, atol=1e-5)


def test_a_snapshot_stays_where_it_was(tmp_path):
    tower = Tower.open(resolve(str(encoder_folder(tmp_path / "e"))))
    still = tower.snapshot()
    before = still.documents(TEXTS[:2])
    with torch.no_grad():
        for weight in tower.weights().values():
            weight.mul_(-1.0)
    assert torch.equal(still.documents(TEXTS[:2]), before)
    assert not torch.allclose(tower.documents(TEXTS[:2]), before)
    assert not still.documents(TEXTS[:2]).requires_grad
