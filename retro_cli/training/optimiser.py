"""AdamW over named weights, and its moments as tensors that a checkpoint can hold."""

from __future__ import annotations

from typing import Any

import torch

Tensor = Any


def adamw(trained: dict[str, Tensor], betas: tuple[float, float], weight_decay: float) -> Any:
    """Matrices decay, vectors (norms, biases) do not. The rate is set at each step."""
    wide = [weight for weight in trained.values() if weight.dim() > 1]
    thin = [weight for weight in trained.values() if weight.dim() <= 1]
    groups = [(wide, weight_decay), (thin, 0.0)]
    listed = [{"params": weights, "weight_decay": decay} for weights, decay in groups if weights]
    return torch.optim.AdamW(listed, lr=0.0, betas=betas, fused=True)


def set_rate(optimiser: Any, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


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
