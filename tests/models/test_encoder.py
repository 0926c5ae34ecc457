"""The neighbour encoder against the same thing, one token at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from model_helpers import array, encoder_by_position, shaken

from retro_cli.models.encoder import NeighbourEncoder


def made(m, cross=(1,)):
    encoder = NeighbourEncoder(5, 6, 8, 2, 2, list(cross), chunk=m, retrieved=2 * m)
    return shaken(encoder, seed=3).double()


def data(m, k=2):
    generator = torch.Generator().manual_seed(m)
    embedded = torch.randn(2, 3, k, 2 * m, 5, generator=generator).double()
    source = torch.randn(2, 3, m, 8, generator=generator).double()
    return (
        embedded,
        torch.ones(2, 3, k, 2 * m, dtype=torch.bool),
        source,
        torch.ones(2, 3, m, dtype=torch.bool),
    )


@pytest.mark.parametrize("m", [2, 4, 16])
@pytest.mark.parametrize("cross", [(1,), (2,), (1, 2)])
def test_equals_each_neighbour_on_its_own_with_its_own_chunk(m, cross):
    encoder = made(m, cross)
    embedded, visible, source, real = data(m)
    visible[1, 2, 0, m:] = False
    got = encoder(embedded, visible, source, real)
    for row, chunk, j in [(0, 0, 0), (0, 2, 1), (1, 1, 0), (1, 2, 0)]:
        expected = encoder_by_position(
            encoder, array(embedded[row, chunk, j]), visible[row, chunk, j].numpy(),
            array(source[row, chunk]), 2 * m,
        )  # fmt: skip
        shown = visible[row, chunk, j].numpy()
        np.testing.assert_allclose(array(got[row, chunk, j])[shown], expected[shown], atol=1e-9)


def test_tokens_see_those_behind_them():
    encoder = made(4)
    embedded, visible, source, real = data(4)
    changed = embedded.clone()
    changed[0, 0, 0, -1] += 1
    differs = (
        encoder(changed, visible, source, real) != encoder(embedded, visible, source, real)
    ).any(dim=-1)
    assert differs[0, 0, 0].all()
    assert int(differs.sum()) == differs.shape[-1]


def test_hidden_parts_of_the_chunk_are_not_read():
    encoder = made(4)
    embedded, visible, source, real = data(4)
    real[0, 0, :2] = False
    changed = source.clone()
    changed[0, 0, :2] += 5
    assert torch.equal(
        encoder(embedded, visible, source, real), encoder(embedded, visible, changed, real)
    )
    real[0, 0] = False
    assert torch.isfinite(encoder(embedded, visible, source, real)).all()
