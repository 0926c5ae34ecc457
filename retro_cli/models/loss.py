"""The loss over a large vocabulary, without ever holding all its logits."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

Tensor = Any
IGNORED = -100
ROWS = 512  # of logits held at a time: 100 MB for 49,152 tokens


class SummedCrossEntropy(torch.autograd.Function):  # type: ignore[misc]
    """The negative log-likelihood of labels, in nats, summed; a few rows of logits at a time.

    The gradients are computed with the loss, since softmax and logits are at hand then: nothing
    is kept but the gradient of the hidden states (and of the weights where they are trained).
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        """hidden: (n, width). weight: (vocabulary, width). labels: (n,) int64."""
        need_hidden, need_weight, _ = ctx.needs_input_grad
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        by_hidden = torch.empty_like(hidden) if need_hidden else None
        by_weight = torch.zeros_like(weight, dtype=torch.float32) if need_weight else None
        matrix = weight.to(hidden.dtype)
        for rows in torch.arange(len(hidden), device=hidden.device).split(ROWS):
            logits = functional.linear(hidden[rows], matrix).float()
            shifted = logits.log_softmax(dim=-1)
            total += functional.nll_loss(shifted, labels[rows], reduction="sum")
            if not (need_hidden or need_weight):
                continue
            slope = shifted.exp_()
            slope[torch.arange(len(rows), device=slope.device), labels[rows]] -= 1.0
            slope = slope.to(hidden.dtype)
            if by_hidden is not None:
                by_hidden[rows] = slope @ matrix
            if by_weight is not None:
                by_weight += slope.T @ hidden[rows]
        ctx.save_for_backward(by_hidden, by_weight)
        ctx.weight_dtype = weight.dtype
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        by_hidden, by_weight = ctx.saved_tensors
        return (
            None if by_hidden is None else by_hidden * slope.to(by_hidden.dtype),
            None if by_weight is None else (by_weight * slope).to(ctx.weight_dtype),
            None,
        )


def summed_nats(hidden: Tensor, head: Any, labels: Tensor) -> Tensor:
    """-ln p of each label given the tokens before it, summed over those that are not -100.

    hidden: (batch, tokens, width), what the output head (without a bias) reads; labels: (batch,
    tokens), each the token at its own place. Under autocast the matrix work is in its dtype.
    """
    wanted = labels[:, 1:]
    scored = wanted != IGNORED
    rows = hidden[:, :-1][scored]
    device = rows.device.type
    if torch.is_autocast_enabled(device):
        rows = rows.to(torch.get_autocast_dtype(device))
    with torch.autocast(device, enabled=False):
        return SummedCrossEntropy.apply(rows, head.weight, wanted[scored])
