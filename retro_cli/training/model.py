"""The model of a run: fresh from a preset, or fresh parts around a frozen base; and its end."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retro_cli.chunks.tokenizer import ChunkTokenizer, tokenizer_json
from retro_cli.errors import IntegrityError
from retro_cli.models.saving import weights_hash

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                   "chat_template.jinja")  # fmt: skip
ENDS = ("<|endoftext|>", "<|im_end|>", "</s>", "[SEP]", "<eos>")
SAMPLE = 96  # tokens of the proof


@dataclass(frozen=True)
class Proof:
    """That a fitted model's backbone is the base still: its hash, and equal logits."""

    backbone_sha256: str
    tokens_compared: int


def scratch_model(tokenizer: ChunkTokenizer, base: dict[str, Any], added: dict[str, Any]) -> Any:
    """Random weights; base: fields of a Llama configuration, added: of RetroConfig."""
    from transformers import LlamaConfig

    from retro_cli.models.retro import RetroForCausalLM

    end = end_token(tokenizer)
    special = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    config = LlamaConfig(vocab_size=tokenizer.vocabulary, **special, **base)
    return RetroForCausalLM.from_config(config, **added)


def fitted_model(base: Path, added: dict[str, Any], name: str = "") -> Any:
    """A base's weights, frozen, and random parts beside it; name: what the base is called."""
    from retro_cli.models.retro import RetroForCausalLM

    return RetroForCausalLM.from_base(base, base_name=name, **added)


def fitted_further(folder: Path, neighbours: int) -> Any:
    """A fitted model with its base, to be trained on; the added weights in float32.

    Raises what ``RetroForCausalLM.from_pretrained`` does.
    """
    from retro_cli.models.retro import RetroForCausalLM

    model = RetroForCausalLM.from_pretrained(folder)
    model.added.float()
    model.config.neighbours = neighbours
    return model


def end_token(tokenizer: ChunkTokenizer) -> int | None:
    """The token that ends a text, if the tokenizer has one that is known to."""
    ids = (tokenizer.raw.token_to_id(token) for token in ENDS)
    return next((token for token in ids if token is not None), None)


def prove_untouched(model: Any, base: Path) -> Proof:
    """Raises IntegrityError unless the backbone's weights are the base's, bit for bit, and the
    model without retrieval gives the base's logits, bit for bit."""
    import torch

    from retro_cli.models.saving import load_base

    found = weights_hash(model.backbone)
    if found != model.config.base_hash:
        raise IntegrityError(
            "the frozen backbone's weights changed in training", "please report this"
        )
    original = load_base(base, dtype=model.config.base_config.dtype).eval().to(model.device)
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (1, SAMPLE), generator=random).to(model.device)
    with torch.no_grad():
        if not torch.equal(model.eval()(ids).logits, original(ids).logits):
            raise IntegrityError(
                "without retrieval the model's logits are not its base's", "please report this"
            )
    return Proof(found, SAMPLE)


def save_model(model: Any, folder: Path, tokenizer: Path, *, added_only: bool) -> None:
    """The model with its tokenizer's files, each whole or not there; its config comes last."""
    staging = folder / ".model.tmp"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    model.save_pretrained(staging, added_only=added_only)
    beside = tokenizer_json(tokenizer).parent
    for name in TOKENIZER_FILES:
        if (beside / name).is_file():
            shutil.copyfile(beside / name, staging / name)
    if not (staging / "tokenizer.json").is_file():
        shutil.copyfile(tokenizer_json(tokenizer), staging / "tokenizer.json")
    for path in sorted(staging.iterdir(), key=lambda path: path.name == "config.json"):
        os.replace(path, folder / path.name)
    staging.rmdir()


def save_language_model(network: Any, source: Path, folder: Path) -> None:
    """A trained language model, with the tokenizer of the folder that it came from; its config
    comes last."""
    staging = folder / ".model.tmp"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    network.save_pretrained(staging)
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, staging / name)
    for path in sorted(staging.iterdir(), key=lambda path: path.name == "config.json"):
        os.replace(path, folder / path.name)
    staging.rmdir()
