"""Where the causal language models of Hugging Face keep the parts RETRO has to reach."""

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
    feed-forward (beside it, where GPT-NeoX runs both in parallel).
    """

    layers: str
    norm: str
    attention: str


LLAMA = Family("model.layers", "input_layernorm", "self_attn")
FAMILIES = {
    "llama": LLAMA,  # SmolLM and SmolLM2 are of this type
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gpt2": Family("transformer.h", "ln_1", "attn"),
    "gpt_neox": Family("gpt_neox.layers", "input_layernorm", "attention"),
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
    layer = model.get_submodule(f"{names.layers}.{number - 1}")
    return layer.get_submodule(names.norm), layer.get_submodule(names.attention)
