"""The layers below the first cross-attention, computed once for all that is asked about a window.

What a model reads of its neighbours enters at the first CCA layer. Everything below is the same
with retrieval, without it and with other neighbours, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from retro_cli.models.families import family

Tensor = Any


class LowerLayers:
    """Keeps what the last layer below the first CCA layer gave, and gives it again."""

    def __init__(self, model: Any) -> None:
        """model: a RetroForCausalLM, in evaluation mode."""
        names = family(model.config.base_config.model_type)
        layers = model.backbone.get_submodule(names.layers)
        self._layers = list(layers)[: model.config.cca_layers[0] - 1]

    @contextmanager
    def kept(self) -> Iterator[list[Any]]:
        """During one pass: what it holds afterwards is for ``done``."""
        result: list[Any] = []
        if not self._layers:
            yield result
            return
        hook = self._layers[-1].register_forward_hook(lambda _layer, _in, out: result.append(out))
        try:
            yield result
        finally:
            hook.remove()

    @contextmanager
    def done(self, result: list[Any]) -> Iterator[None]:
        """During further passes over the same tokens: the layers give ``result``, unasked."""
        for layer in self._layers:
            layer.forward = lambda *_, **__: result[0]
        try:
            yield
        finally:
            for layer in self._layers:
                del layer.forward
