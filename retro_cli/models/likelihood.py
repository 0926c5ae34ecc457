"""log p(target | input) of whole texts in one pass, differentiable: what readers are trained on."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from retro_cli.models.decoder_rows import padded_batch, start_token
from retro_cli.models.language import SEQ2SEQ

Tensor = Any
Rows = Sequence[Sequence[int]]


def target_logprobs(network: Any, kind: str, inputs: Rows, targets: Rows) -> Tensor:
    """(rows, n) float32: log p(y_i | input, y_<i), 0 behind a target's end.

    network: of a CAUSAL or SEQ2SEQ language model. inputs: at least one token each. targets: at
    least one token each; their ends are part of them. n is the longest target's length.
    """
    wanted, real = padded_batch(targets, network.device)
    forward = _seq2seq if kind == SEQ2SEQ else _causal
    logits = forward(network, inputs, wanted).float()
    chosen = logits.log_softmax(dim=-1).gather(-1, wanted[..., None])[..., 0]
    return torch.where(real.bool(), chosen, torch.zeros_like(chosen))


def _seq2seq(network: Any, inputs: Rows, wanted: Tensor) -> Tensor:
    ids, mask = padded_batch(inputs, network.device)
    before = wanted.roll(1, dims=1)
    before[:, 0] = start_token(network)
    return network(
        input_ids=ids, attention_mask=mask, decoder_input_ids=before, use_cache=False
    ).logits


def _causal(network: Any, inputs: Rows, wanted: Tensor) -> Tensor:
    """Inputs are padded on the left, so that all targets begin at one place, and only their
    logits are computed."""
    ids, mask = padded_batch(inputs, network.device, left=True)
    n = wanted.shape[1]
    ids = torch.cat([ids, wanted], dim=1)
    mask = torch.cat([mask, torch.ones_like(wanted)], dim=1)
    given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    known = inspect.signature(network.forward).parameters
    if "position_ids" in known:
        given["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
    if "logits_to_keep" in known:
        given["logits_to_keep"] = n + 1
    return network(**given).logits[:, -n - 1 : -1]
