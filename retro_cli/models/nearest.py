"""kNN-LM (Khandelwal et al. 2020): states as keys, and the tokens that followed them as votes.

The key of a token is what the last layer's feed-forward reads, after its norm, at the position
before it (section 5 of the paper); its value is the token. All distances are squared L2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from retro_cli.models.families import last_feed_forward

Tensor = Any


@contextmanager
def noted_states(model: Any) -> Iterator[list[Tensor]]:
    """While it is open, each pass of the model adds its (batch, tokens, width) states to the list.

    A hook that only looks: the model's output is its own. Raises UsageError for an architecture
    that ``models/families.py`` does not know.
    """
    found: list[Tensor] = []
    hook = last_feed_forward(model).register_forward_pre_hook(
        lambda _, inputs: found.append(inputs[0].detach())
    )
    try:
        yield found
    finally:
        hook.remove()


@torch.inference_mode()  # type: ignore[untyped-decorator]
def states(model: Any, rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """Of each row of tokens, (tokens, width) float32 states on the CPU; one pass for all rows.

    Short rows are padded on the right, where nothing before them looks. Nothing is computed above
    the last layer.
    """
    longest = max(map(len, rows))
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(list(row))
    with noted_states(model) as noted:
        model.base_model(ids.to(model.device), use_cache=False)
    found = noted[0].float().cpu()
    return [found[place, : len(row)] for place, row in enumerate(rows)]


def vote_weights(distances: Tensor, temperature: float) -> Tensor:
    """(..., k) what share of the vote each neighbour has: the softmax of -d / T (equation 2).

    distances: (..., k) squared L2, infinite where there is no neighbour; a row needs one at least.
    """
    return (-distances / temperature).softmax(dim=-1)


def vote_logprobs(weights: Tensor, values: Tensor, vocabulary: int) -> Tensor:
    """(rows, vocabulary) log p_kNN: the weights of equal values, summed.

    weights: (rows, k). values: (rows, k) int64; of a neighbour that is not there, any token.
    """
    summed = torch.zeros((len(weights), vocabulary), dtype=weights.dtype, device=weights.device)
    return summed.scatter_add_(1, values, weights).log()


def interpolated(model: Tensor, votes: Tensor, weight: float) -> Tensor:
    """log(weight p_kNN + (1 - weight) p_LM), equation 3; ``model`` itself at a weight of 0."""
    if weight == 0:
        return model
    return torch.logaddexp(votes + math.log(weight), model + math.log1p(-weight))
