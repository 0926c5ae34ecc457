"""Where the causal language models of Hugging Face keep the parts that readers have to reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from retro_cli.errors import UsageError

Module = Any


@dataclass(frozen=True)
class Family:
    """The names of one architecture's parts.

    layers: the path from the causal language model to its list of layers. norm: of a layer, the
    norm before the self-attention, whose input is the residual stream. attention: of a layer,
    the self-attention; what it returns first is added to the residual stream before the
    feed-forward (beside it, where GPT-NeoX runs both in parallel). feed_forward: of a layer, what
    reads the stream after a norm of its own. projections: of an attention, what makes queries,
    keys and values: three modules, or one for all. fused: how that one's output is laid out, see
    ``models/heads.py``. output: what reads the heads' results, side by side.
    """

    layers: str
    norm: str
    attention: str
    feed_forward: str
    projections: tuple[str, ...]
    output: str
    fused: str = ""


THREE = ("q_proj", "k_proj", "v_proj")
LLAMA = Family("model.layers", "input_layernorm", "self_attn", "mlp", THREE, "o_proj")
FAMILIES = {
    "llama": LLAMA,  # SmolLM and SmolLM2 are of this type
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gpt2": Family("transformer.h", "ln_1", "attn", "mlp", ("c_attn",), "c_proj", "blocks"),
    "gpt_neox": Family(
        "gpt_neox.layers",
        "input_layernorm",
        "attention",
        "mlp",
        ("query_key_value",),
        "dense",
        "heads",
    ),
}


def family(model_type: str) -> Family:
    """Raises UsageError, with the supported ones, for an architecture not in FAMILIES."""
    if model_type not in FAMILIES:
        raise UsageError(
            f"a base model of the architecture {model_type!r} is not supported",
            f"supported: {', '.join(FAMILIES)}",
        )
    return FAMILIES[model_type]


def attention_parts(model: Module, number: int) -> tuple[Module, Module]:
    """The norm before the self-attention of layer ``number`` (from 1), and that self-attention."""
    names = family(model.config.model_type)
    layer = layer_of(model, number)
    return layer.get_submodule(names.norm), layer.get_submodule(names.attention)


def last_feed_forward(model: Module) -> Module:
    """The feed-forward of the last layer; its input is what its norm gives."""
    names = family(model.config.model_type)
    layer = layer_of(model, model.config.num_hidden_layers)
    return layer.get_submodule(names.feed_forward)


def layer_of(model: Module, number: int) -> Module:
    """Layer ``number``, from 1. Raises UsageError for an unknown architecture."""
    names = family(model.config.model_type)
    return model.get_submodule(f"{names.layers}.{number - 1}")
