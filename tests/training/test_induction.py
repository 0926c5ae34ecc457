"""Where fitting begins: looking for the present token, and adding what follows it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from model_helpers import BASES, base, logits, retro, tokens
from training_helpers import M, material

from retro_cli.models.retro import RetroForCausalLM
from retro_cli.models.saving import weights_hash
from retro_cli.training.induction import begin_as_induction, sample_of


def begun(kind="llama", **settings):
    model = retro(M, kind, shake=False, encoder_width=16, encoder_heads=4, **settings)
    begin_as_induction(model, tokens(32, 16, seed=5))
    return model


@pytest.mark.parametrize("kind", list(BASES))
def test_without_neighbours_the_model_is_its_base_to_the_bit(kind):
    model = begun(kind)
    ids = tokens(2, 14)
    assert torch.equal(logits(model, ids), logits(model.backbone, ids))
    assert weights_hash(model.backbone) == model.config.base_hash


def test_what_follows_the_present_token_in_a_neighbour_is_made_likelier_from_the_start():
    model = RetroForCausalLM.from_base(
        base(), chunk_length=8, cca_layers=[1, 3], encoder_width=16, encoder_heads=4
    )
    begin_as_induction(model, tokens(64, 16, seed=5))
    ids = tokens(24, 16, seed=6)
    own = ids[:, None, None]  # the first chunk with its continuation

    def nats(neighbours):
        scores = logits(model, ids, neighbours)[:, 8:-1].log_softmax(dim=-1)
        return -scores.gather(-1, ids[:, 9:, None]).mean()

    assert nats(own) < nats(None) < nats(own.roll(1, dims=0))


def test_the_present_token_is_looked_for_in_the_neighbours():
    model = RetroForCausalLM.from_base(
        base(), chunk_length=8, cca_layers=[1], encoder_width=16, encoder_heads=4
    )
    begin_as_induction(model, tokens(64, 16, seed=5))
    ids = tokens(24, 16, seed=6)
    # The neighbours of the first chunk hold the tokens of the second, once each, shuffled.
    random = np.random.default_rng(0)
    order = torch.from_numpy(np.stack([random.permutation(8) for _ in range(24)]))
    shuffled = ids[:, 8:].gather(1, order)
    fresh = RetroForCausalLM.from_base(
        base(), chunk_length=8, cca_layers=[1], encoder_width=16, encoder_heads=4
    )
    assert after_matches(model, ids, shuffled) > 2 * after_matches(fresh, ids, shuffled)


def after_matches(model, ids, neighbour):
    """The mean attention of the second chunk's tokens to what follows them in the neighbour."""
    cca = model.added.cca[0]
    seen = {}

    def keep(attention, given, _):
        x, keys, _, distance, *_ = given
        queries = attention._split(attention.query(x))
        bias = attention.distance_bias[:, distance].movedim(0, -3)
        found = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5 + bias
        seen["share"] = found.softmax(dim=-1).mean(dim=-3)[:, 0]

    hook = cca.attention.register_forward_hook(keep)
    with torch.no_grad():
        model(ids, neighbour_ids=neighbour[:, None, None], use_cache=False)
    hook.remove()
    # Slot i is read from token 7 + i on; the neighbour's place p follows p - 1.
    readers = ids[:, 8:15]
    match = readers[:, :, None] == neighbour[:, None, :-1]
    return float(seen["share"][:, 1:8, 1:][match].mean())


def test_the_sample_is_taken_from_rows_without_gaps():
    given = material((9, 14, 40, 21, 6))
    sample = sample_of(given.tokens)
    assert (sample >= 0).all()
    assert sample.shape[1] % M == 0
