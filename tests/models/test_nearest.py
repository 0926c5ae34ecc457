"""The sums of kNN-LM, and where its states come from."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_helpers import BASES, base, tokens

from retro_cli.models.families import last_feed_forward
from retro_cli.models.nearest import (
    interpolated,
    noted_states,
    states,
    vote_logprobs,
    vote_weights,
)

VOCABULARY = 11


@st.composite
def neighbourhoods(draw):
    k = draw(st.integers(1, 8))
    near = st.floats(0, 50, width=32)
    distances = torch.tensor(draw(st.lists(near, min_size=k, max_size=k)))
    values = draw(st.lists(st.integers(0, VOCABULARY - 1), min_size=k, max_size=k))
    return distances, torch.tensor(values)


def voted(distances, values, temperature=1.0):
    weights = vote_weights(distances, temperature)
    return vote_logprobs(weights[None], values[None], VOCABULARY)[0]


def some_model():
    return torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(3)).log_softmax(-1)


@given(neighbourhoods(), st.floats(0, 0.99))
def test_a_mixture_sums_to_one(found, weight):
    mixed = interpolated(some_model(), voted(*found), weight)
    assert float(mixed.exp().sum()) == pytest.approx(1, abs=1e-5)


@given(neighbourhoods())
def test_a_weight_of_nothing_is_the_model(found):
    assert torch.equal(interpolated(some_model(), voted(*found), 0.0), some_model())


@given(neighbourhoods(), st.floats(0.01, 0.95))
def test_no_token_loses_more_than_the_share_that_the_vote_takes(found, weight):
    mixed = interpolated(some_model(), voted(*found), weight)
    assert (-mixed <= -some_model() - math.log(1 - weight) + 1e-5).all()


@given(st.floats(0, 1e4, width=32), st.integers(0, VOCABULARY - 1))
def test_one_neighbour_decides_the_whole_vote(distance, value):
    votes = voted(torch.tensor([distance]), torch.tensor([value])).exp()
    expected = torch.zeros(VOCABULARY)
    expected[value] = 1
    torch.testing.assert_close(votes, expected)


@given(neighbourhoods())
def test_heat_makes_the_vote_a_count(found):
    distances, values = found
    counts = torch.bincount(values, minlength=VOCABULARY).float()
    votes = voted(distances, values, temperature=1e9).exp()
    torch.testing.assert_close(votes, counts / len(values), atol=1e-5, rtol=0)


def test_cold_leaves_only_the_nearest():
    distances, values = torch.tensor([0.0, 0.1, 0.2]), torch.tensor([4, 7, 7])
    assert float(voted(distances, values, temperature=1e-4).exp()[4]) == pytest.approx(1)


def test_a_neighbour_that_is_not_there_has_no_vote():
    weights = vote_weights(torch.tensor([1.0, float("inf")]), 1.0)
    assert weights.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("kind", BASES)
def test_the_noted_state_is_what_the_last_feed_forward_reads_and_nothing_changes(kind):
    model, ids = base(kind), tokens(2, 9)
    with torch.no_grad():
        plain = model(ids).logits
        with noted_states(model) as noted:
            again = model(ids).logits
        assert torch.equal(plain, again)
        seen = []
        last_feed_forward(model).register_forward_hook(lambda _, __, out: seen.append(out))
        model(ids)
        torch.testing.assert_close(last_feed_forward(model)(noted[0]), seen[0])
    assert noted[0].shape == (2, 9, 16)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox"])
def test_rows_of_any_length_together_have_the_states_of_each_alone(kind):
    model = base(kind)
    rows = [tokens(n, seed=n).tolist() for n in (3, 9, 1)]
    for row, found in zip(rows, states(model, rows), strict=True):
        torch.testing.assert_close(found, states(model, [row])[0], atol=1e-5, rtol=1e-4)
