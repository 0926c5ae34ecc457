"""The norm of what RETRO adds: RMSNorm whose arithmetic is that of its weights."""

from __future__ import annotations

from typing import Any

from torch import nn

Tensor = Any


class Norm(nn.RMSNorm):  # type: ignore[misc]
    """RMSNorm (Zhang & Sennrich 2019). Under autocast its input may come in bfloat16: it is
    normalised in the weights' float32, and given back as it came."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-6)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden: (..., width)."""
        return super().forward(hidden.to(self.weight.dtype)).to(hidden.dtype)
