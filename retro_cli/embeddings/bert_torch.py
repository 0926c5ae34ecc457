"""BERT's forward pass in torch: for bulk work on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional

from retro_cli.embeddings.bert_weights import BertWeights, Floats, Layer, Linear, Norm

# torch ships its types, but checking against them costs more than it finds here.
Tensor = Any
Pair = tuple[Tensor, Tensor]  # weight and bias, or scale and shift


class TorchBert:
    """The forward pass for padded batches: a GPU would rather pad than run many small ones."""

    same_length = False
    token_budget = 1 << 16
    max_rows = 4096

    def __init__(self, model: BertWeights, pooling: str, *, device: str, half: bool) -> None:
        self.vocabulary = len(model.words)
        self._pooling = pooling
        self._heads = model.heads
        self._epsilon = model.epsilon
        self._device = torch.device(device)
        self._dtype = torch.float16 if half else torch.float32
        self._words = self._tensor(model.words)
        self._positions = self._tensor(model.positions)
        self._first_norm = self._norm(model.norm)
        self._layers = [self._load(layer) for layer in model.layers]

    def __call__(self, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Floats:
        """ids: (rows, tokens) with special tokens, padded behind. Returns (rows, dim)."""
        with torch.inference_mode():
            return self._pooled(ids, lengths)

    def _pooled(self, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Floats:
        tokens = ids.shape[1]
        sizes = torch.from_numpy(lengths).to(self._device)[:, None]
        real = torch.arange(tokens, device=self._device) < sizes  # (rows, tokens)
        x = self._words[torch.from_numpy(ids).to(self._device)] + self._positions[:tokens]
        x = self._normed(x, self._first_norm)
        for layer in self._layers:
            x = self._layer(x, real[:, None, None], *layer)
        x = x.float()
        pooled = x[:, 0] if self._pooling == "cls" else (x * real[:, :, None]).sum(dim=1) / sizes
        vectors: Floats = functional.normalize(pooled, dim=-1).cpu().numpy()
        return vectors

    def _layer(
        self, x: Tensor, mask: Tensor, qkv: Pair, mix: Pair, norm: Pair, up: Pair, down: Pair,
        last_norm: Pair,
    ) -> Tensor:  # fmt: skip
        rows, tokens, hidden = x.shape
        split = (rows, tokens, 3, self._heads, hidden // self._heads)
        q, k, v = functional.linear(x, *qkv).view(split).permute(2, 0, 3, 1, 4)
        heads = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        attended = heads.transpose(1, 2).reshape(rows, tokens, hidden)
        x = self._normed(x + functional.linear(attended, *mix), norm)
        inner = functional.gelu(functional.linear(x, *up))
        return self._normed(x + functional.linear(inner, *down), last_norm)

    def _normed(self, x: Tensor, norm: Pair) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], *norm, eps=self._epsilon)

    def _load(self, layer: Layer) -> tuple[Pair, ...]:
        parts = (layer.query, layer.key, layer.value)
        together = Linear(
            np.concatenate([part.weight for part in parts]),
            np.concatenate([part.bias for part in parts]),
        )
        return (
            self._linear(together),
            self._linear(layer.mix),
            self._norm(layer.mix_norm),
            self._linear(layer.up),
            self._linear(layer.down),
            self._norm(layer.down_norm),
        )

    def _linear(self, linear: Linear) -> Pair:
        return self._tensor(linear.weight), self._tensor(linear.bias)

    def _norm(self, norm: Norm) -> Pair:
        return self._tensor(norm.scale), self._tensor(norm.shift)

    def _tensor(self, value: Floats) -> Tensor:
        # A copy: the mapped file is read-only, and torch wants to own what it may write.
        return torch.from_numpy(value.copy()).to(self._device, self._dtype)
