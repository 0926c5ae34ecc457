"""What RETRO adds to a base model: encoder, cross-attention, and the hooks that join them."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from retro_cli.models.cca import ChunkedCrossAttention
from retro_cli.models.config import OWN, RetroConfig
from retro_cli.models.encoder import NeighbourEncoder
from retro_cli.models.families import attention_parts
from retro_cli.models.mass import AttentionMass
from retro_cli.models.passes import Pass

Tensor = Any


class AddedParts(nn.Module):  # type: ignore[misc]
    """The neighbour encoder and one chunked cross-attention for each chosen layer.

    ``attach`` hooks them into a base model: CCA reads the residual stream after a layer's
    self-attention and is added to what the self-attention returns, so that the feed-forward sees
    it. The base's code, weights and weight names stay as they are. ``current`` is the pass that
    is under way; without one the base is left alone. ``mass``, if there, is told who was read.
    """

    def __init__(self, config: RetroConfig) -> None:
        super().__init__()
        width, base_width = config.encoder_width, config.hidden_size
        sizes = {"chunk": config.chunk_length, "retrieved": config.retrieved_length}
        own = config.encoder_embeddings == OWN
        self.embeddings = nn.Embedding(config.vocab_size, width) if own else None
        self.encoder = NeighbourEncoder(
            width if own else base_width, width, base_width, config.encoder_heads,
            config.encoder_layers, config.encoder_cross_layers, **sizes,
        )  # fmt: skip
        self.cca = nn.ModuleList(
            ChunkedCrossAttention(
                base_width, width, config.cca_heads, **sizes, closed=config.zero_gate
            )
            for _ in config.cca_layers
        )
        self.current: Pass | None = None
        self.mass: AttentionMass | None = None
        self._residuals: dict[int, Tensor] = {}

    def attach(self, base: Any, layers: list[int]) -> None:
        """Hook into a causal language model; layers: the CCA layers, from 1."""
        # A method and no module, or its weights would belong to these parts as well.
        self._base_embeddings = base.get_input_embeddings
        for index, number in enumerate(layers):
            norm, attention = attention_parts(base, number)
            norm.register_forward_pre_hook(partial(self._keep_residual, index))
            attention.register_forward_hook(partial(self._add_cross_attention, index))

    def _keep_residual(self, index: int, _norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if self.current is not None:
            self._residuals[index] = inputs[0]

    def _add_cross_attention(
        self, index: int, _attention: nn.Module, _inputs: Any, output: tuple[Any, ...]
    ) -> tuple[Any, ...] | None:
        this = self.current
        if this is None:
            return None
        hidden = (self._residuals.pop(index) + output[0]).to(self.encoder.norm.weight.dtype)
        if index == 0:
            self._encode(this, hidden)
        if not this.reads:
            return None
        cca = self.cca[index]
        read = cca(hidden, this.slots, this.memory(cca, index), self.mass)
        return (output[0] + read.to(output[0].dtype), *output[1:])

    def _encode(self, this: Pass, hidden: Tensor) -> None:
        source, real = this.source(hidden)
        if this.completes:
            embed = self.embeddings or self._base_embeddings()
            embedded = embed(this.neighbours.ids).to(hidden.dtype)
            this.encoded = self.encoder(embedded, this.neighbours.visible, source, real)
