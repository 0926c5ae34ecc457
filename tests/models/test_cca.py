"""Chunked cross-attention against the paper's equations, one position at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from model_helpers import array, cca_by_position, shaken

from retro_cli.models.cca import ChunkedCrossAttention
from retro_cli.models.chunking import completed_chunks, reading_slots

SIZES = [(2, n) for n in (2, 3, 5, 8)] + [(4, n) for n in (4, 7, 11, 16)] + [(64, 64), (64, 150)]
WIDTH, ENCODER_WIDTH, HEADS = 8, 6, 2


def layer(m):
    made = ChunkedCrossAttention(WIDTH, ENCODER_WIDTH, HEADS, chunk=m, retrieved=2 * m)
    return shaken(made, seed=m).double()


def data(m, n, k=2, batch=2, r=None):
    generator = torch.Generator().manual_seed(n)
    hidden = torch.randn(batch, n, WIDTH, generator=generator).double()
    shape = (batch, n // m, k, r or 2 * m)
    encoded = torch.randn(*shape, ENCODER_WIDTH, generator=generator).double()
    return hidden, encoded, torch.ones(shape, dtype=torch.bool)


def read(cca, hidden, encoded, visible):
    n = hidden.shape[1]
    first = torch.zeros(len(hidden), dtype=torch.long)
    slots = reading_slots(
        completed_chunks(first, n, cca.chunk), first, n, cca.chunk, carried=False
    )  # fmt: skip
    return cca(hidden, slots, cca.memory(encoded, visible))


@pytest.mark.parametrize(("m", "n"), SIZES)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_equals_the_equations_position_by_position(m, n, k):
    if (m, k) == (64, 5):
        k = 3
    cca = layer(m)
    hidden, encoded, visible = data(m, n, k)
    visible[0, 0, k - 1, 1:] = False  # a short neighbour
    visible[1, -1, 0] = False  # a missing one: with k = 1, a chunk without any
    got = read(cca, hidden, encoded, visible)
    for row in range(2):
        expected = cca_by_position(
            cca, array(hidden[row]), array(encoded[row]), visible[row].numpy(), m, 2 * m
        )
        np.testing.assert_allclose(array(got[row]), expected, atol=1e-10)


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_a_neighbour_reaches_exactly_from_its_chunks_last_token_to_the_next_chunks(m, n):
    cca = layer(m)
    hidden, encoded, visible = data(m, n)
    before = read(cca, hidden, encoded, visible)
    for u in range(n // m):
        changed = encoded.clone()
        changed[0, u, 1] += torch.linspace(0.5, 1.5, ENCODER_WIDTH)
        differs = (read(cca, hidden, changed, visible) != before).any(dim=-1)
        assert differs[0].nonzero()[:, 0].tolist() == list(
            range((u + 1) * m - 1, min((u + 2) * m - 1, n))
        )
        assert not differs[1].any()


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_the_first_tokens_read_nothing(m, n):
    got = read(layer(m), *data(m, n))
    assert not got[:, : m - 1].any()
    assert (got[:, m - 1 :].abs().amax(dim=-1) > 0).all()


@pytest.mark.parametrize("m", [2, 4, 64])
def test_neighbours_can_be_exchanged_and_repeated(m):
    cca = layer(m)
    hidden, encoded, visible = data(m, 2 * m + 1, k=3)
    visible[0, 1, 2, m:] = False
    expected = read(cca, hidden, encoded, visible)
    order = [2, 0, 1]
    torch.testing.assert_close(
        read(cca, hidden, encoded[:, :, order], visible[:, :, order]), expected
    )
    torch.testing.assert_close(
        read(cca, hidden, encoded.repeat(1, 1, 2, 1, 1), visible.repeat(1, 1, 2, 1)), expected
    )


@pytest.mark.parametrize("m", [2, 4, 64])
def test_a_missing_neighbour_is_no_neighbour(m):
    cca = layer(m)
    hidden, encoded, visible = data(m, 2 * m + 1)
    visible[:, :, 1] = False
    torch.testing.assert_close(
        read(cca, hidden, encoded, visible),
        read(cca, hidden, encoded[:, :, :1], visible[:, :, :1]),
    )


@pytest.mark.parametrize("m", [2, 4, 64])
def test_padding_behind_a_neighbour_changes_nothing(m):
    cca = layer(m)
    hidden, encoded, visible = data(m, 2 * m + 1)
    visible[:, :, :, m + 1 :] = False
    torch.testing.assert_close(
        read(cca, hidden, encoded, visible),
        read(cca, hidden, encoded[:, :, :, : m + 1], visible[:, :, :, : m + 1]),
    )


def test_a_chunk_without_neighbours_adds_zero_and_has_finite_gradients():
    cca = layer(4)
    hidden, encoded, visible = data(4, 11)
    visible[0, 0] = False
    hidden.requires_grad_()
    got = read(cca, hidden, encoded, visible)
    assert not got[0, 3:7].any()
    assert got[0, 7:].any()
    got.square().sum().backward()
    assert torch.isfinite(hidden.grad).all()
    assert all(torch.isfinite(weight.grad).all() for weight in cca.parameters())


def test_the_position_of_a_token_in_its_neighbour_matters():
    cca = layer(4)
    hidden, encoded, visible = data(4, 11)
    assert not torch.allclose(
        read(cca, hidden, encoded.flip(3), visible), read(cca, hidden, encoded, visible)
    )
