"""The tensors of a BERT encoder (Devlin et al. 2019) under short names, their shapes checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.embeddings.weights import Weights
from retro_cli.errors import ConfigError

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Linear:
    """y = x @ weight.T + bias; weight (out, in), bias (out,)."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True)
class Norm:
    """Layer normalisation: scale and shift, both (hidden,)."""

    scale: Floats
    shift: Floats


@dataclass(frozen=True)
class Layer:
    """One transformer block, in the order in which its parts are applied."""

    query: Linear  # (h, h)
    key: Linear
    value: Linear
    mix: Linear  # (h, h)
    mix_norm: Norm
    up: Linear  # (intermediate, h)
    down: Linear  # (h, intermediate)
    down_norm: Norm


@dataclass(frozen=True)
class BertWeights:
    """words (vocabulary, h), positions (max positions, h) with the first segment's row added."""

    words: Floats
    positions: Floats
    norm: Norm
    layers: tuple[Layer, ...]
    heads: int
    epsilon: float

    @property
    def hidden(self) -> int:
        return int(self.words.shape[1])


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder, or an empty table where there is none. Raises ConfigError."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON ({error})", "save the model again") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path} is not a table of settings", "save the model again")
    return config


def is_plain_bert(config: dict[str, Any]) -> bool:
    """Whether a config.json describes the encoder that ``load_bert`` understands."""
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act", "gelu") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder", False)
    )


def architecture(config: dict[str, Any]) -> str:
    """What the tensors do not say but the vectors depend on."""
    layers, heads, epsilon = _numbers(config)
    return f"bert layers={layers} heads={heads} act=gelu eps={epsilon:g}"


def load_bert(path: Path, config: dict[str, Any]) -> BertWeights:
    """Map a BERT's ``model.safetensors``. Raises IntegrityError or ConfigError."""
    weights = Weights(path)
    layers, heads, epsilon = _numbers(config)

    def linear(name: str) -> Linear:
        pair = Linear(weights.float32(f"{name}.weight"), weights.float32(f"{name}.bias"))
        _require(path, pair.weight.shape[:1] == pair.bias.shape, name)
        return pair

    def norm(name: str) -> Norm:
        return Norm(weights.float32(f"{name}.weight"), weights.float32(f"{name}.bias"))

    def layer(number: int) -> Layer:
        name = f"encoder.layer.{number}"
        return Layer(
            query=linear(f"{name}.attention.self.query"),
            key=linear(f"{name}.attention.self.key"),
            value=linear(f"{name}.attention.self.value"),
            mix=linear(f"{name}.attention.output.dense"),
            mix_norm=norm(f"{name}.attention.output.LayerNorm"),
            up=linear(f"{name}.intermediate.dense"),
            down=linear(f"{name}.output.dense"),
            down_norm=norm(f"{name}.output.LayerNorm"),
        )

    words = weights.float32("embeddings.word_embeddings.weight")
    segments = weights.float32("embeddings.token_type_embeddings.weight")
    model = BertWeights(
        words=words,
        positions=weights.float32("embeddings.position_embeddings.weight") + segments[0],
        norm=norm("embeddings.LayerNorm"),
        layers=tuple(layer(number) for number in range(layers)),
        heads=heads,
        epsilon=epsilon,
    )
    _check_shapes(path, model)
    return model


def _numbers(config: dict[str, Any]) -> tuple[int, int, float]:
    try:
        return (
            int(config["num_hidden_layers"]),
            int(config["num_attention_heads"]),
            float(config.get("layer_norm_eps", 1e-12)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"config.json does not describe a BERT ({error})", "save the model again"
        ) from error


def _check_shapes(path: Path, model: BertWeights) -> None:
    h = model.hidden
    _require(path, model.heads > 0 and h % model.heads == 0, "attention heads")
    _require(path, model.positions.shape[1:] == (h,), "position embeddings")
    norms = [model.norm, *(n for layer in model.layers for n in (layer.mix_norm, layer.down_norm))]
    for norm in norms:
        _require(path, norm.scale.shape == norm.shift.shape == (h,), "layer norm")
    for layer in model.layers:
        for square in (layer.query, layer.key, layer.value, layer.mix):
            _require(path, square.weight.shape == (h, h), "attention")
        inner = layer.up.weight.shape[0]
        _require(path, layer.up.weight.shape == (inner, h), "feed-forward")
        _require(path, layer.down.weight.shape == (h, inner), "feed-forward")


def _require(path: Path, condition: bool, what: str) -> None:
    if not condition:
        raise ConfigError(
            f"{path}: the shapes of {what} do not fit together",
            "config.json and model.safetensors must belong to the same model",
        )
