"""The learning rate of a step."""

from __future__ import annotations

import math


def learning_rate(step: int, *, peak: float, warmup: int, steps: int, final: float = 0.1) -> float:
    """Linear from near zero to ``peak`` in ``warmup`` steps, then a cosine to ``final * peak``.

    step: from 0. Borgeaud et al. 2021, section C: 750 steps of warm-up, a tenth at the end.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * progress)))
