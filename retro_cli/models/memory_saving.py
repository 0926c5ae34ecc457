"""Saved memorizing models: what was trained, with the name and the hash of the base."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch

from retro_cli.errors import InputNotFound, IntegrityError, UsageError
from retro_cli.models.memorizing import MemorizingModel
from retro_cli.models.saving import CONFIG_FILE, WEIGHTS_FILE, check_nothing_missing, damage_told
from retro_cli.store.atomic import read_json, replacing, write_json

KIND = "memorizing"
_ATTENTION, _LAYER = "attention.", "layer."


@dataclass(frozen=True)
class MemoryConfig:
    """base, base_sha256: the base's name or folder, and its fingerprint. layer_trained: whether the
    layer's own weights were trained with the gates. The rest is MemorizingModel's."""

    base: str
    base_sha256: str
    layer: int
    k: int
    capacity: int
    window: int
    layer_trained: bool
    record: dict[str, Any]


def save_memorizing(model: MemorizingModel, config: MemoryConfig, folder: Path) -> None:
    """Each file whole or not at all, the configuration last."""
    weights = {f"{_ATTENTION}{name}": each for name, each in model.attention.state_dict().items()}
    if config.layer_trained:
        own = model.layer_parts().state_dict()
        weights |= {f"{_LAYER}{name}": each for name, each in own.items()}
    plain = {name: each.detach().cpu().contiguous() for name, each in weights.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS_FILE) as temporary:
        safetensors.torch.save_file(plain, temporary, metadata={"format": "pt"})
    write_json(folder / CONFIG_FILE, {"model_type": KIND, **asdict(config)})


def load_config(folder: Path) -> MemoryConfig:
    """Raises InputNotFound, IntegrityError, or UsageError for another kind of model."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InputNotFound(f"no memorizing model in {folder}", "retro train-memory makes one")
    fields = read_json(path)
    if not isinstance(fields, dict) or fields.get("model_type") != KIND:
        raise UsageError(
            f"{folder} holds no memorizing model, and the reader memorizing needs one",
            "retro train-memory makes one of any causal language model",
        )
    del fields["model_type"]
    try:
        return MemoryConfig(**fields)
    except TypeError as error:
        raise IntegrityError(f"{path} lacks what it should hold ({error})", "") from error


def load_memorizing(base: Any, config: MemoryConfig, folder: Path) -> MemorizingModel:
    """Put a folder's weights around its base, whose fingerprint was compared."""
    model = MemorizingModel(base, config.layer, config.k, config.capacity, config.window)
    with damage_told(folder):
        weights = safetensors.torch.load_file(folder / WEIGHTS_FILE)
    for prefix, part in ((_ATTENTION, model.attention), (_LAYER, model.layer_parts())):
        if prefix == _LAYER and not config.layer_trained:
            continue
        mine = {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
        check_nothing_missing(folder, part.state_dict().keys() - mine.keys())
        part.load_state_dict(mine, strict=False)
    model.to(base.device).eval()
    return model
