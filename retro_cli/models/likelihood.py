"""log p(target | input) of whole texts in one pass, differentiable: what readers are trained on."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from retro_cli.models.language import SEQ2SEQ

Tensor = Any
Rows = Sequence[Sequence[int]]
_IGNORED = -100


def target_logprobs(network: Any, kind: str, inputs: Rows, targets: Rows) -> Tensor:
    """(rows, n) float32: log p(y_i | input, y_<i), 0 behind a target's end.

    network: of a CAUSAL or SEQ2SEQ language model. inputs: at least one token each. targets: at
    least one token each; their ends are part of them. n is the longest target's length.
    """
    labels = _padded(targets, _IGNORED).to(network.device)
    forward = _seq2seq if kind == SEQ2SEQ else _causal
    logits = forward(network, inputs, labels).float()
    real = labels != _IGNORED
    chosen = logits.log_softmax(dim=-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return torch.where(real, chosen, torch.zeros_like(chosen))


def _seq2seq(network: Any, inputs: Rows, labels: Tensor) -> Tensor:
    ids = _padded(inputs, 0).to(network.device)
    mask = _padded([[1] * len(row) for row in inputs], 0).to(network.device)
    before = labels.clamp(min=0).roll(1, dims=1)
    before[:, 0] = _start(network.config)
    return network(
        input_ids=ids, attention_mask=mask, decoder_input_ids=before, use_cache=False
    ).logits


def _start(config: Any) -> int:
    """The token that a decoder begins with."""
    named = (config.decoder_start_token_id, config.bos_token_id, config.pad_token_id)
    return int(next(token for token in named if token is not None))


def _causal(network: Any, inputs: Rows, labels: Tensor) -> Tensor:
    """Inputs are padded on the left, so that all targets begin at one place, and only their
    logits are computed."""
    ids = _padded(inputs, 0, left=True).to(network.device)
    mask = _padded([[1] * len(row) for row in inputs], 0, left=True).to(network.device)
    n = labels.shape[1]
    ids = torch.cat([ids, labels.clamp(min=0)], dim=1)
    mask = torch.cat([mask, torch.ones_like(labels)], dim=1)
    given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    known = inspect.signature(network.forward).parameters
    if "position_ids" in known:
        given["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
    if "logits_to_keep" in known:
        given["logits_to_keep"] = n + 1
    return network(**given).logits[:, -n - 1 : -1]


def _padded(rows: Rows, filling: int, *, left: bool = False) -> Tensor:
    """(rows, longest) int64."""
    longest = max(map(len, rows))
    whole = torch.full((len(rows), longest), filling, dtype=torch.int64)
    for place, row in enumerate(rows):
        at = slice(longest - len(row), longest) if left else slice(0, len(row))
        whole[place, at] = torch.tensor(row, dtype=torch.int64)
    return whole
