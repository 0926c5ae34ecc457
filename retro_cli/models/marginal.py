"""Sums over retrieved documents: p(y | x) of RAG (Lewis et al. 2020, section 2.1) and REALM.

Shapes: (..., k) over documents, (..., k, n) over documents and the tokens of a target. All values
are natural logarithms. Everything is differentiable; a document that is not there has a prior of
minus infinity, and neither value nor gradient comes from it.
"""

from __future__ import annotations

from typing import Any

import torch

Tensor = Any


def document_prior(
    scores: Tensor, temperature: float = 1.0, present: Tensor | None = None
) -> Tensor:
    """log p(z | x): (..., k), the softmax of the retriever's scores over what it found.

    present: (..., k) bool, False where there is no document; at least one must be there.
    """
    if present is not None:
        scores = scores.masked_fill(~present, float("-inf"))
    # From the best one: a score over a tiny temperature would be infinite.
    below = scores - scores.detach().amax(dim=-1, keepdim=True)
    return (below / temperature).log_softmax(dim=-1)


def sequence_logprob(prior: Tensor, tokens: Tensor) -> Tensor:
    """RAG-Sequence: (...) log sum_z p(z | x) prod_i p(y_i | x, z, y_<i).

    prior: (..., k). tokens: (..., k, n) log p(y_i | x, z, y_<i), 0 behind a target's end.
    """
    return (prior + tokens.sum(dim=-1)).logsumexp(dim=-1)


def token_logprobs(prior: Tensor, tokens: Tensor) -> Tensor:
    """RAG-Token: (..., n) log sum_z p(z | x) p(y_i | x, z, y_<i), token by token."""
    return (prior[..., None] + tokens).logsumexp(dim=-2)


def running_weights(prior: Tensor, tokens: Tensor) -> Tensor:
    """(..., k, n) log w_i(z) of RAG-Sequence as a chain: sum_i logsumexp_z(w_i + p_i) is its value.

    w_1 = p(z | x), and w_{i+1}(z) is proportional to w_i(z) p(y_i | x, z, y_<i).
    """
    before = tokens.cumsum(dim=-1) - tokens
    return (prior[..., None] + before).log_softmax(dim=-2)


def posterior(prior: Tensor, tokens: Tensor) -> Tensor:
    """(..., k, n) p(z | x, y_i, y_<i) for each token on its own: Figure 2 of Lewis et al. 2020."""
    return (prior[..., None] + tokens).softmax(dim=-2)


def effective_documents(weights: Tensor) -> Tensor:
    """(...) exp of the entropy of (..., k) probabilities: how many documents share them."""
    return torch.special.entr(weights).sum(dim=-1).exp()
