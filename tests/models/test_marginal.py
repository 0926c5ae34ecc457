"""Sums over documents: what must hold of them, whatever the numbers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from retro_cli.models.marginal import (
    document_prior,
    effective_documents,
    posterior,
    running_weights,
    sequence_logprob,
    token_logprobs,
)

K, N = 4, 3
scores_of = arrays("float64", (K,), elements=st.floats(-20, 20))
tokens_of = arrays("float64", (K, N), elements=st.floats(-20, 0))
temperatures = st.floats(0.01, 100)
CLOSE = {"atol": 1e-9, "rtol": 1e-9}


def tensors(*values):
    return tuple(torch.from_numpy(value) for value in values)


@given(scores_of, temperatures, st.floats(-50, 50))
def test_a_prior_sums_to_one_and_knows_only_differences(scores, temperature, shift):
    (scores,) = tensors(scores)
    prior = document_prior(scores, temperature)
    assert float(prior.exp().sum()) == pytest.approx(1)
    shifted = document_prior(scores + shift, temperature).exp()
    torch.testing.assert_close(shifted, prior.exp(), atol=1e-9, rtol=1e-6)


@given(scores_of, st.lists(st.booleans(), min_size=K, max_size=K).filter(any))
def test_a_document_that_is_not_there_is_as_left_out(scores, there):
    (scores,) = tensors(scores)
    present = torch.tensor(there)
    prior = document_prior(scores, 2.0, present)
    assert (prior[~present] == float("-inf")).all()
    torch.testing.assert_close(prior[present], document_prior(scores[present], 2.0), **CLOSE)


def test_even_the_smallest_temperature_gives_a_prior():
    prior = document_prior(torch.tensor([0.3, 0.9, 0.9]), 1e-44)
    assert prior.exp().tolist() == pytest.approx([0, 0.5, 0.5])


@given(scores_of, tokens_of)
def test_a_sequence_is_the_chain_of_its_running_weights(scores, tokens):
    prior, tokens = tensors(scores, tokens)
    prior = prior.log_softmax(0)
    weights = running_weights(prior, tokens)
    chain = (weights + tokens).logsumexp(-2).sum(-1)
    torch.testing.assert_close(chain, sequence_logprob(prior, tokens), **CLOSE)
    torch.testing.assert_close(weights.exp().sum(-2), torch.ones(N).double(), **CLOSE)


@given(scores_of, tokens_of)
def test_for_one_token_a_sequence_is_a_token_and_for_more_both_are_bounded(scores, tokens):
    prior, tokens = tensors(scores, tokens)
    prior = prior.log_softmax(0)
    one = tokens[:, :1]
    torch.testing.assert_close(sequence_logprob(prior, one), token_logprobs(prior, one)[0], **CLOSE)
    for found in (sequence_logprob(prior, tokens), token_logprobs(prior, tokens).sum()):
        assert tokens.min(0).values.sum() - 1e-9 <= found <= tokens.max(0).values.sum() + 1e-9


@given(scores_of, tokens_of, st.permutations(range(K)))
def test_the_order_of_the_documents_does_not_matter(scores, tokens, order):
    prior, tokens = tensors(scores, tokens)
    order = list(order)
    for total in (sequence_logprob, token_logprobs):
        torch.testing.assert_close(total(prior[order], tokens[order]), total(prior, tokens))
    mixed = posterior(prior[order], tokens[order])
    torch.testing.assert_close(mixed, posterior(prior, tokens)[order], **CLOSE)


@given(scores_of, tokens_of, temperatures)
def test_the_gradient_of_a_score_is_posterior_less_prior(scores, tokens, temperature):
    scores, tokens = tensors(scores, tokens)
    scores.requires_grad_()
    prior = document_prior(scores, temperature)
    sequence_logprob(prior, tokens).backward()
    weights = (prior + tokens.sum(-1)).softmax(0)
    expected = (weights - prior.exp()) / temperature
    torch.testing.assert_close(scores.grad, expected.detach(), atol=1e-8, rtol=1e-8)
    scores.grad = None
    prior = document_prior(scores, temperature)
    token_logprobs(prior, tokens).sum().backward()
    expected = (posterior(prior, tokens) - prior.exp()[:, None]).sum(-1) / temperature
    torch.testing.assert_close(scores.grad, expected.detach(), atol=1e-8, rtol=1e-8)
    assert float(scores.grad.sum()) == pytest.approx(0, abs=1e-6)


def test_no_gradient_comes_from_a_document_that_is_not_there():
    scores = torch.tensor([0.3, float("nan"), 0.1], requires_grad=True)
    tokens = torch.tensor([[-1.0], [-2.0], [-3.0]])
    prior = document_prior(scores, 1.0, torch.tensor([True, False, True]))
    sequence_logprob(prior, tokens).backward()
    assert torch.isfinite(scores.grad[[0, 2]]).all()
    assert scores.grad[1] == 0


@pytest.mark.parametrize(
    ("weights", "count"), [([1, 0, 0], 1), ([0.5, 0.5, 0], 2), ([0.25] * 4, 4)]
)
def test_documents_that_share_equally_are_counted(weights, count):
    assert float(effective_documents(torch.tensor(weights))) == pytest.approx(count)


def test_leading_dimensions_are_a_batch():
    dice = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, K, generator=dice)
    tokens = torch.randn(2, 3, K, N, generator=dice)
    prior = document_prior(scores)
    assert sequence_logprob(prior, tokens).shape == (2, 3)
    assert token_logprobs(prior, tokens).shape == (2, 3, N)
    torch.testing.assert_close(
        sequence_logprob(prior, tokens)[1, 2], sequence_logprob(prior[1, 2], tokens[1, 2])
    )
