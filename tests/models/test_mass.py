"""The attention mass: what each token read of each neighbour, as the equations have it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from model_helpers import BASES, array, logits, retro, rms, softmax, tokens


def recorded(model, ids, neighbours, **rest):
    with model.recorded_mass() as mass:
        found = logits(model, ids, neighbours, **rest)
    return found, mass.of_tokens


@pytest.mark.parametrize("kind", list(BASES))
def test_recording_changes_no_logits_and_the_mass_of_a_reader_sums_to_one(kind):
    model = retro(4, kind)
    ids, neighbours = tokens(2, 14), tokens(2, 3, 3, 8, seed=1)
    found, mass = recorded(model, ids, neighbours)
    torch.testing.assert_close(found, logits(model, ids, neighbours), atol=1e-5, rtol=1e-5)
    assert mass.shape == (2, 14, 3)
    sums = torch.ones(2, 14)
    sums[:, :3] = 0  # the first m - 1 positions read nothing
    torch.testing.assert_close(mass.sum(dim=-1), sums, atol=1e-5, rtol=0)


def test_a_missing_neighbour_gets_nothing_and_a_chunk_without_any_reads_nothing():
    model = retro(4)
    ids, neighbours = tokens(1, 14), tokens(1, 3, 3, 8, seed=1)
    neighbours[0, 0, 1] = -1
    neighbours[0, 1] = -1
    _, mass = recorded(model, ids, neighbours)
    assert (mass[0, 3:7, 1] == 0).all()
    assert (mass[0, 3:7, [0, 2]] > 0).all()
    assert (mass[0, 7:11] == 0).all()
    torch.testing.assert_close(mass[0, 11:].sum(dim=-1), torch.ones(3), atol=1e-5, rtol=0)


def test_the_mass_is_the_softmax_by_hand_averaged_over_heads_and_layers():
    m, r = 4, 8
    model = retro(m)
    ids, neighbours = tokens(1, 7), tokens(1, 1, 2, r, seed=1)
    seen = []
    for cca in model.added.cca:
        cca.register_forward_pre_hook(lambda part, given: seen.append((part, given)))
    _, mass = recorded(model, ids, neighbours)
    position, slot = 5, 2  # reads chunk 0 as its third reader
    expected = np.zeros(2)
    for cca, (hidden, _, memory, _) in seen:
        attention = cca.attention
        normed = rms(array(hidden)[0, position], cca.norm)
        query = (array(attention.query.weight) @ normed).reshape(attention.heads, -1)
        rows = slot - np.arange(r) + r - 1
        for head in range(attention.heads):
            keys = array(memory.keys)[0, 0, head].reshape(2 * r, -1)
            bias = np.tile(array(attention.distance_bias)[head][rows], 2)
            weights = softmax(keys @ query[head] / np.sqrt(query.shape[1]) + bias)
            expected += weights.reshape(2, r).sum(axis=1) / attention.heads / len(seen)
    np.testing.assert_allclose(array(mass)[0, position], expected, atol=1e-5)


def test_one_token_at_a_time_has_the_mass_of_the_whole():
    model = retro(4)
    ids, neighbours = tokens(2, 13), tokens(2, 3, 2, 8, seed=1)
    _, whole = recorded(model, ids, neighbours)
    cache, found = None, []
    for place in range(13):
        with torch.no_grad(), model.recorded_mass() as mass:
            cache = model(
                ids[:, place : place + 1], neighbour_ids=neighbours, past_key_values=cache,
                use_cache=True,
            ).past_key_values  # fmt: skip
        found.append(torch.zeros(2, 1, 2) if mass.of_tokens is None else mass.of_tokens)
    torch.testing.assert_close(torch.cat(found, dim=1), whole, atol=1e-5, rtol=1e-4)


def test_without_retrieval_and_after_recording_there_is_nothing():
    model = retro(4)
    with model.recorded_mass() as mass:
        logits(model, tokens(1, 8), tokens(1, 2, 2, 8))
        logits(model, tokens(1, 8))
    assert mass.of_tokens is None
    assert model.added.mass is None
