"""Saved RETRO models: whole, or the added weights with the name and the hash of their base."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from retro_cli.errors import InputNotFound, IntegrityError, UsageError
from retro_cli.models.base import find_base, goes_by_name, model_fields, portable_name
from retro_cli.models.config import ADDED_WEIGHTS, RetroConfig
from retro_cli.models.quiet import without_bars
from retro_cli.models.shipped import find_model

Model = Any
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
BACKBONE = "backbone."
# What AutoModel passes on of the folder that it was given: the base is another.
_OF_FOLDER = (
    "config", "revision", "subfolder", "trust_remote_code", "adapter_kwargs", "_from_auto",
)  # fmt: skip


def weights_hash(model: Model) -> str:
    """SHA-256 over the names, dtypes, shapes and bytes of a model's weights, in order of name."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_base(name: str | Path, **settings: Any) -> Model:
    """A causal language model from a folder, or by a name that ``find_base`` knows.

    Raises what ``find_base`` does for a name; InputNotFound or IntegrityError for a folder.
    """
    settings = local(settings)
    here = settings["local_files_only"]
    folder = find_base(name, allow_download=not here) if goes_by_name(name) else _folder(name)
    if here and not (Path(folder) / CONFIG_FILE).is_file():
        raise InputNotFound(f"no model in {folder}", f"a folder with a {CONFIG_FILE} is needed")
    with damage_told(folder), without_bars():
        model = AutoModelForCausalLM.from_pretrained(str(folder), **settings)
    model.config.name_or_path = portable_name(name if goes_by_name(name) else folder)
    return model


def _folder(name: str | Path) -> str | Path:
    """A folder in full, to be found again from elsewhere; what is none, as it is."""
    path = Path(name).expanduser()
    return path.absolute() if path.is_dir() else name


def local(settings: dict[str, Any]) -> dict[str, Any]:
    """What from_pretrained is told, with no network and no pickled weights unless it asks."""
    return {"local_files_only": True, "use_safetensors": True, **settings}


def of_base(settings: dict[str, Any]) -> dict[str, Any]:
    """Of what from_pretrained is told, that which holds for the base of added weights too."""
    return {name: value for name, value in settings.items() if name not in _OF_FOLDER}


@contextmanager
def damage_told(folder: str | Path) -> Iterator[None]:
    """Raises IntegrityError for weights that cannot be read."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise IntegrityError(f"the weights in {folder} cannot be read: {error}", "") from error


def check_nothing_missing(folder: str | Path, missing: Iterable[str]) -> None:
    """Raises IntegrityError where some weights are not in the folder's files."""
    if names := sorted(missing):
        raise IntegrityError(
            f"the weights in {folder} are not all there: {', '.join(names[:3])}",
            "the model was not written to its end, or is of another kind",
        )


def checked_folder(folder: str | Path) -> tuple[Path, RetroConfig]:
    """The folder of a saved RETRO model and its configuration. Raises as from_pretrained does."""
    path = Path(folder)
    if not (path / CONFIG_FILE).is_file():
        raise InputNotFound(f"no RETRO model in {path}", f"it has no {CONFIG_FILE}")
    try:
        fields = json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(f"{path / CONFIG_FILE} is damaged: {error}", "") from error
    if not isinstance(fields, dict) or fields.get("model_type") != RetroConfig.model_type:
        raise UsageError(
            f"{path} holds no RETRO model", "retro fit makes one of it, or name another folder"
        )
    if not any(path.glob("*.safetensors")):
        raise IntegrityError(f"{path} has no weights", "it was not written to its end")
    return path, RetroConfig.from_dict(fields)


def fitted_folder(name: str | Path) -> tuple[Path, RetroConfig] | None:
    """The folder and the configuration of added weights, in a folder or by the name of a model that
    ships; None for whatever else. Raises what ``checked_folder`` does for weights that are broken.
    """
    folder = find_model(name)
    if not (folder / CONFIG_FILE).is_file():
        return None
    fields = model_fields(folder)
    kind, weights = fields.get("model_type"), fields.get("weights")
    if (kind, weights) != (RetroConfig.model_type, ADDED_WEIGHTS):
        return None
    return checked_folder(folder)


def matching_base(config: RetroConfig, base: Model | str | Path | None, **settings: Any) -> Model:
    """The base that added weights belong to, its hash compared. Raises UsageError for another."""
    where = config.base_name if base is None else base
    model: Model = where
    if isinstance(where, (str, Path)):
        model = load_base(where, dtype=config.base_config.dtype, **settings)
    if weights_hash(model) != config.base_hash:
        raise UsageError(
            f"the added weights were fitted to another base than {model.config.name_or_path}",
            f"they belong to {config.base_name}, in {config.base_config.dtype}",
        )
    # One object, so that what changes the base's configuration is seen by both.
    config.base_config = model.config
    return model


def cast_weights(model: Model, dtype: Any) -> None:
    """Give all weights one dtype; not the buffers: rotary frequencies stay in float32."""
    for weight in model.parameters():
        weight.data = weight.data.to(dtype)


def save_added(model: Model, folder: Path) -> None:
    """The added weights and the configuration, each file whole or not at all, config last.

    Raises UsageError where the backbone is no longer the base it came from.
    """
    if weights_hash(model.backbone) != model.config.base_hash:
        raise UsageError(
            "the backbone's weights are not those of a base", "save the model with all its weights"
        )
    added = {
        name: weight.detach().cpu().contiguous()
        for name, weight in model.state_dict().items()
        if not name.startswith(BACKBONE)
    }
    config = deepcopy(model.config)
    config.weights = ADDED_WEIGHTS
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{WEIGHTS_FILE}.part"
    safetensors.torch.save_file(added, part, metadata={"format": "pt"})
    part.replace(folder / WEIGHTS_FILE)
    config.save_pretrained(folder)


def load_added(model: Model, folder: Path) -> None:
    """Give the model the added weights of a folder, and freeze its backbone if it was."""
    with damage_told(folder):
        added = safetensors.torch.load_file(folder / WEIGHTS_FILE)
    needed = {name for name in model.state_dict() if not name.startswith(BACKBONE)}
    check_nothing_missing(folder, needed - set(added))
    model.load_state_dict(added, strict=False, assign=True)
    model.to(model.backbone.device)
    model.backbone.requires_grad_(not model.config.frozen)
    model.eval()
