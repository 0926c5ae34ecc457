"""BERT's forward pass in numpy: for a query, where importing anything else would cost more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from retro_cli.embeddings.bert_weights import BertWeights, Floats, Layer, Linear, Norm

# erf(y) = y P(y^2) / Q(y^2) on |y| <= 4: a rational fit made for this module (error 2e-8 before
# rounding to float32); beyond 4, erf is 1 to within 2e-8. Lowest power first.
_CLIP = np.float32(4.0)
_P = (
    1.1283789768806898,
    0.19624178251191876,
    0.05346650333448197,
    0.00400332422003712,
    0.0002880317938393186,
    1.974857470801538e-06,
)
_Q = (
    1.0,
    0.5072459143995133,
    0.1164734269336,
    0.015443789605885584,
    0.001216276891705399,
    3.7480635404273244e-05,
)


class NumpyBert:
    """The forward pass for batches of equal lengths. Weights stay mapped."""

    same_length = True
    token_budget = 2048
    max_rows = 32

    def __init__(self, model: BertWeights, pooling: str) -> None:
        self._model = model
        self._pooling = pooling
        # One thread: the products are small, and BLAS threads wait for each other by spinning,
        # which on a busy machine turns 20 ms into seconds.
        self._blas = ThreadpoolController()
        self.vocabulary = len(model.words)

    def __call__(self, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Floats:
        """ids: (rows, tokens) with special tokens, every row full. Returns (rows, dim)."""
        with self._blas.limit(limits=1, user_api="blas"):
            return self._pooled(ids)

    def _pooled(self, ids: npt.NDArray[np.int64]) -> Floats:
        model = self._model
        rows, tokens = ids.shape
        x = model.words[ids] + model.positions[:tokens]
        x = _normed(x.reshape(rows * tokens, -1), model.norm, model.epsilon)
        for layer in model.layers:
            x = self._layer(x, rows, layer)
        states = x.reshape(rows, tokens, -1)
        pooled = states[:, 0] if self._pooling == "cls" else states.mean(axis=1)
        return unit_rows(pooled)

    def _layer(self, x: Floats, rows: int, layer: Layer) -> Floats:
        epsilon = self._model.epsilon
        x = _normed(x + _linear(self._attend(x, rows, layer), layer.mix), layer.mix_norm, epsilon)
        inner = gelu(_linear(x, layer.up))
        return _normed(x + _linear(inner, layer.down), layer.down_norm, epsilon)

    def _attend(self, x: Floats, rows: int, layer: Layer) -> Floats:
        heads = self._model.heads
        shape = (rows, len(x) // rows, heads, x.shape[1] // heads)
        q = _linear(x, layer.query).reshape(shape).transpose(0, 2, 1, 3)
        k = _linear(x, layer.key).reshape(shape).transpose(0, 2, 3, 1)
        v = _linear(x, layer.value).reshape(shape).transpose(0, 2, 1, 3)
        scores = (q @ k) * np.float32(shape[3] ** -0.5)  # (rows, heads, tokens, tokens)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        attended: Floats = scores @ v
        return attended.transpose(0, 2, 1, 3).reshape(x.shape)


def gelu(x: Floats) -> Floats:
    """x * Phi(x) with the exact normal distribution function, to float32 rounding."""
    y: Floats = np.clip(x * np.float32(0.5**0.5), -_CLIP, _CLIP)
    square = y * y
    y *= _polynomial(square, _P)
    y /= _polynomial(square, _Q)
    y += np.float32(1.0)
    y *= np.float32(0.5)  # before x: twice the greatest float is infinite
    y *= x
    return y


def unit_rows(vectors: Floats) -> Floats:
    """Each row divided by its length; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = vectors / np.maximum(norms, np.float32(1e-12))
    return unit


def _polynomial(x: Floats, coefficients: tuple[float, ...]) -> Floats:
    value = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value *= x
        value += np.float32(coefficient)
    return value


def _linear(x: Floats, layer: Linear) -> Floats:
    y: Floats = x @ layer.weight.T
    y += layer.bias
    return y


def _normed(x: Floats, norm: Norm, epsilon: float) -> Floats:
    centred: Floats = x - x.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", centred, centred)[:, None] / np.float32(x.shape[1])
    centred /= np.sqrt(variance + np.float32(epsilon))
    centred *= norm.scale
    centred += norm.shift
    return centred
