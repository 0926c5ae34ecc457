"""What kind of language model a folder holds, without loading it."""

from __future__ import annotations

from pathlib import Path

from retro_cli.models.base import model_fields

CAUSAL, SEQ2SEQ, MASKED = "causal", "sequence-to-sequence", "masked"
_CAUSAL_ENDINGS = ("ForCausalLM", "LMHeadModel")


def kind_of(folder: Path) -> str:
    """CAUSAL, SEQ2SEQ or MASKED, as a model's config.json says; empty for any other."""
    fields = model_fields(folder)
    listed = fields.get("architectures")
    names = [str(name) for name in listed] if isinstance(listed, list) else []
    if fields.get("is_encoder_decoder"):
        return SEQ2SEQ
    if any(name.endswith("ForMaskedLM") for name in names):
        return MASKED
    return CAUSAL if any(name.endswith(_CAUSAL_ENDINGS) for name in names) else ""
