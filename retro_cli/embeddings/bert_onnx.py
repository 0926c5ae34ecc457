"""BERT in onnxruntime: for bulk work on a CPU, in float32 or with int8 weights.

The graph is made here from the weights, with the fused operators of onnxruntime. Batches hold
rows of one length, so it has no padding and no mask. In int8 each token's activations have a
scale of their own: more exact than one for the whole batch (cosine to float32 0.996 instead of
0.991), and a text's vector does not depend on which others were in its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from retro_cli.embeddings.bert_weights import BertWeights, Floats, Layer, Linear, Norm

_FUSED = "com.microsoft"
_OPSET = 18
_IR_VERSION = 9  # the oldest that goes with the opset, so that older runtimes load it

# Weights of 7 bits: without VNNI, the pairwise 16-bit sums of AVX2 saturate with 8, and results
# must not depend on the machine.
_QUANTISED_MAX = 63


class OnnxBert:
    """The forward pass for batches of equal lengths."""

    same_length = True
    token_budget = 1088  # activations of about sixteen chunks stay in the caches
    max_rows = 64

    def __init__(self, model: BertWeights, pooling: str, *, int8: bool, threads: int) -> None:
        self.vocabulary = len(model.words)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            build_graph(model, pooling, int8=int8).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )

    def __call__(self, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Floats:
        """ids: (rows, tokens) with special tokens, every row full. Returns (rows, dim)."""
        vectors: Floats = self._session.run(None, {"ids": ids})[0]
        return vectors


def build_graph(model: BertWeights, pooling: str, *, int8: bool) -> Any:
    """An onnx.ModelProto: ids (rows, tokens) int64 -> vectors (rows, dim) float32 of length one."""
    graph = _Graph(int8=int8, epsilon=model.epsilon, heads=model.heads, hidden=model.hidden)
    x = graph.embed(model)
    for layer in model.layers:
        x = graph.layer(x, layer)
    graph.pool(x, pooling)
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", "tokens"])
    out = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["rows", model.hidden])
    return helper.make_model(
        helper.make_graph(graph.nodes, "bert", [ids], [out], graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)],
        ir_version=_IR_VERSION,
    )


def quantise(weight: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """Symmetric 7-bit weights, a scale for each output: (in, out) -> (in, out) int8, (out,)."""
    scale = np.maximum(np.abs(weight).max(axis=0) / _QUANTISED_MAX, np.finfo(np.float32).tiny)
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)


class _Graph:
    """Collects nodes and constants. Each method adds to the graph and returns its output's name.

    Between the parts, x is (rows * tokens, hidden): all tokens of the batch, one after another.
    """

    def __init__(self, *, int8: bool, epsilon: float, heads: int, hidden: int) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._int8 = int8
        self._epsilon = epsilon
        self._heads = heads
        self._flat = self._constant(np.array([-1, hidden], dtype=np.int64))
        rest = self._constant(np.array([-1], dtype=np.int64))
        self._by_text = self._node("Concat", [self._node("Shape", ["ids"]), rest], axis=0)
        if int8:
            self._last = self._constant(np.array([-1], dtype=np.int64))
            self._tiny = self._constant(np.array(1e-20, dtype=np.float32))
            self._step = self._constant(np.array(1 / 127, dtype=np.float32))
            self._one = self._constant(np.array(1, dtype=np.float32))
            self._zero = self._constant(np.array(128, dtype=np.uint8))

    def embed(self, model: BertWeights) -> str:
        words = self._node("Gather", [self._constant(model.words), "ids"])
        tokens = self._node("Shape", ["ids"], start=1, end=2)
        start = self._constant(np.array([0], dtype=np.int64))
        places = self._node("Slice", [self._constant(model.positions), start, tokens])
        total = self._node("Add", [words, places])
        x = self._node(
            "LayerNormalization",
            [total, *self._norm(model.norm)],
            axis=-1,
            epsilon=self._epsilon,
        )
        return self._node("Reshape", [x, self._flat])

    def layer(self, x: str, layer: Layer) -> str:
        x = self._add_and_normalise(self._attention(x, layer), x, layer.mix, layer.mix_norm)
        inner = self._matmul(x, layer.up.weight.T)
        inner = self._fused("BiasGelu", [inner, self._constant(layer.up.bias)])
        return self._add_and_normalise(inner, x, layer.down, layer.down_norm)

    def pool(self, x: str, pooling: str) -> None:
        x = self._node("Reshape", [x, self._by_text])
        if pooling == "cls":
            first = self._constant(np.array(0, dtype=np.int64))
            pooled = self._node("Gather", [x, first], axis=1)
        else:
            axes = self._constant(np.array([1], dtype=np.int64))
            pooled = self._node("ReduceMean", [x, axes], keepdims=0)
        node = helper.make_node("LpNormalization", [pooled], ["vectors"], axis=-1, p=2)
        self.nodes.append(node)

    def _attention(self, x: str, layer: Layer) -> str:
        parts = (layer.query, layer.key, layer.value)
        weight = np.concatenate([part.weight.T for part in parts], axis=1)
        bias = self._constant(np.concatenate([part.bias for part in parts]))
        if self._int8:
            product = self._node("Reshape", [self._matmul(x, weight), self._by_text])
            triple = self._outputs(3)
            self.nodes.append(helper.make_node("Split", [product], triple, axis=-1, num_outputs=3))
            inputs, operator = [*triple, bias], "MultiHeadAttention"
        else:
            deep = self._node("Reshape", [x, self._by_text])
            inputs, operator = [deep, self._constant(weight), bias], "Attention"
        attended = self._fused(operator, inputs, num_heads=self._heads)
        return self._node("Reshape", [attended, self._flat])

    def _add_and_normalise(self, x: str, skip: str, linear: Linear, norm: Norm) -> str:
        product = self._matmul(x, linear.weight.T)
        inputs = [product, skip, *self._norm(norm), self._constant(linear.bias)]
        return self._fused("SkipLayerNormalization", inputs, epsilon=self._epsilon)

    def _matmul(self, x: str, weight: Floats) -> str:
        return (
            self._small_matmul(x, weight)
            if self._int8
            else self._node("MatMul", [x, self._constant(weight)])
        )

    def _small_matmul(self, x: str, weight: Floats) -> str:
        """x (n, in) in 8 bits with a scale for each token, times the quantised weight."""
        small, scale = quantise(weight)
        largest = self._node("ReduceMax", [self._node("Abs", [x]), self._last], keepdims=1)
        largest = self._node("Max", [largest, self._tiny])
        steps = self._node("Mul", [largest, self._step])  # (n, 1)
        flat_steps = self._node("Squeeze", [steps, self._last])
        zeros = self._node("Expand", [self._zero, self._node("Shape", [flat_steps])])
        low = self._node("QuantizeLinear", [x, flat_steps, zeros], axis=0)
        inputs = [low, self._constant(small), self._one, self._constant(scale), self._zero]
        return self._node("Mul", [self._fused("MatMulIntegerToFloat", inputs), steps])

    def _norm(self, norm: Norm) -> tuple[str, str]:
        return self._constant(norm.scale), self._constant(norm.shift)

    def _fused(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        return self._node(operator, inputs, domain=_FUSED, **attributes)

    def _node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        (output,) = self._outputs(1)
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _outputs(self, count: int) -> list[str]:
        return [f"n{len(self.nodes)}_{place}" for place in range(count)]

    def _constant(self, value: npt.NDArray[Any]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name
