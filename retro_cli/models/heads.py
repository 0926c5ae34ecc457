"""The heads of one self-attention: what they ask, what they offer, and what they read, by hooks.

Queries and keys are taken as the projections give them, before any rotation by position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from retro_cli.models.families import attention_parts, family

Tensor = Any


@dataclass(frozen=True)
class HeadShape:
    """How many heads ask, how many offer keys and values (each to as many askers), and how wide
    one is."""

    queries: int
    keys: int
    width: int

    @classmethod
    def of(cls, config: Any) -> HeadShape:
        queries = int(config.num_attention_heads)
        keys = int(getattr(config, "num_key_value_heads", None) or queries)
        width = int(getattr(config, "head_dim", None) or config.hidden_size // queries)
        return cls(queries, keys, width)


@dataclass(frozen=True)
class Asked:
    """One pass through the projections, each (batch, tokens, heads, width)."""

    queries: Tensor
    keys: Tensor
    values: Tensor


Mix = Callable[[Asked, Tensor], Tensor]


class HeadTap:
    """Hooks into the self-attention of one layer; outside of ``mixing`` it is left alone."""

    def __init__(self, model: Any, number: int) -> None:
        """number: of the layer, from 1. Raises UsageError for an unknown architecture."""
        self.shape = HeadShape.of(model.config)
        self._mix: Mix | None = None
        names = family(model.config.model_type)
        _, attention = attention_parts(model, number)
        self._fused = names.fused
        self._given: list[Tensor] = []
        for name in names.projections:
            attention.get_submodule(name).register_forward_hook(self._note)
        attention.get_submodule(names.output).register_forward_pre_hook(self._replace)

    @contextmanager
    def mixing(self, mix: Mix) -> Iterator[None]:
        """In each pass meanwhile ``mix`` is given what the heads asked and what they read locally,
        (batch, tokens, heads, width), and says what they read instead."""
        self._mix, self._given = mix, []
        try:
            yield
        finally:
            self._mix = None

    def _note(self, _module: Any, _inputs: Any, output: Tensor) -> None:
        if self._mix is not None:
            self._given.append(output)

    def _replace(self, _module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self._mix is None:
            return None
        given, self._given = self._given, []
        local = inputs[0].unflatten(-1, (self.shape.queries, self.shape.width))
        return (self._mix(self._asked(given), local).flatten(-2), *inputs[1:])

    def _asked(self, given: list[Tensor]) -> Asked:
        width = self.shape.width
        if self._fused == "heads":  # of each head its query, key and value, side by side
            parts = given[0].unflatten(-1, (self.shape.queries, 3 * width)).chunk(3, dim=-1)
            return Asked(*parts)
        if self._fused:  # all queries, all keys, all values
            given = list(given[0].chunk(3, dim=-1))
        return Asked(*(each.unflatten(-1, (-1, width)) for each in given))
