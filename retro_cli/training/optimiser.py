"""AdamW over named weights, and its moments as tensors that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

Tensor = Any
_PACE = "pace"


def adamw(
    trained: dict[str, Tensor], betas: tuple[float, float], weight_decay: float,
    paces: Mapping[str, float] | None = None,
) -> Any:  # fmt: skip
    """Matrices decay, vectors (norms, biases) do not. The rate is set at each step.

    paces: by name, how many times as fast as the others a weight learns.
    """
    paces = paces or {}
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for wide in (True, False):
        for name, weight in trained.items():
            if (weight.dim() > 1) == wide:
                key = (weight_decay if wide else 0.0, paces.get(name, 1.0))
                groups.setdefault(key, []).append(weight)
    listed = [
        {"params": weights, "weight_decay": decay, _PACE: pace}
        for (decay, pace), weights in groups.items()
    ]
    return torch.optim.AdamW(listed, lr=0.0, betas=betas, fused=True)


def set_rate(optimiser: Any, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group[_PACE]


def moments(optimiser: Any) -> dict[str, Tensor]:
    """Its state as "INDEX.KIND" -> tensor."""
    return {
        f"{index}.{kind}": torch.as_tensor(value)
        for index, values in optimiser.state_dict()["state"].items()
        for kind, value in values.items()
    }


def restore(
    trained: dict[str, Tensor], optimiser: Any, weights: dict[str, Tensor], kept: dict[str, Tensor]
) -> None:
    """Put back what a checkpoint has of the weights and of ``moments``."""
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(weights[name])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in kept.items():
        index, kind = name.split(".", 1)
        state.setdefault(int(index), {})[kind] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
