"""Small safetensors files with a description: a scorer's weights, whole in memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.errors import InputNotFound, IntegrityError
from retro_cli.store.atomic import write_bytes

_LIMIT = 64 << 20  # bytes; what is larger is a network, not a probe
# One entry, because safetensors writes several in no fixed order.
_ENTRY = "retro"

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Described:
    """A file's tensors, its JSON description and the sha256 (hex) of its bytes."""

    tensors: Tensors
    description: dict[str, Any]
    sha256: str


def save(path: Path, tensors: Tensors, description: dict[str, Any]) -> None:
    """Write ``path`` whole; equal input gives equal bytes."""
    from safetensors.numpy import save as to_bytes

    text = json.dumps(description, sort_keys=True)
    whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    write_bytes(path, to_bytes(whole, {_ENTRY: text}))


def load(path: Path) -> Described:
    """Read what ``save`` wrote. Raises InputNotFound or IntegrityError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        if path.stat().st_size > _LIMIT:
            raise IntegrityError(f"{path} is too large for a scorer", "is it a model? use hf:")
        data = path.read_bytes()
    except OSError as error:
        raise InputNotFound(f"{path}: {error.strerror}", "check the path") from error
    try:
        tensors = from_bytes(data)
        length = int.from_bytes(data[:8], "little")
        description = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_ENTRY])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} holds no scorer of retro's ({type(error).__name__}: {error})",
            "a probe is a file that train_probe saved",
        ) from error
    if not isinstance(description, dict):
        raise IntegrityError(f"{path}: its description is not a table", "make the file again")
    return Described(tensors, description, hashlib.sha256(data).hexdigest())
