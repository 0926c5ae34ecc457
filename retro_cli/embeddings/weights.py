"""Tensors of a safetensors file, mapped into memory: only what is touched is read.

The format: eight bytes with the header's length (little-endian), a JSON header of
``{name: {dtype, shape, data_offsets}}``, then the raw bytes. Nothing in it is trusted.
"""

from __future__ import annotations

import json
import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.errors import IntegrityError

_HEADER_LIMIT = 100 << 20
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}


class Weights:
    """A read-only safetensors file. Raises IntegrityError where it is not whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
            raise self._broken(str(error)) from error
        self._start, self._entries = self._read_header()

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._entry(name)["shape"])

    def raw(self, name: str) -> npt.NDArray[Any]:
        """The tensor as it is stored, mapped. BF16, which numpy lacks, comes as uint16."""
        entry = self._entry(name)
        try:
            kind, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
            begin, end = entry["data_offsets"]
            count = math.prod(shape)
            if min((begin, *shape), default=0) < 0 or end - begin != count * kind.itemsize:
                raise ValueError("its size does not fit its shape")
            if self._start + end > len(self._map):
                raise ValueError("it lies beyond the end of the file")
            flat = np.frombuffer(self._map, kind, count, self._start + begin)
            return flat.reshape(shape)
        except (KeyError, TypeError, ValueError) as error:
            raise self._broken(f"tensor {name}: {error}") from error

    def float32(
        self, name: str, rows: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float32]:
        """The tensor, or some of its rows, in float32; mapped if it is stored so and whole."""
        stored = self.raw(name)
        if rows is not None:
            stored = stored[rows]
        if self._entries[name]["dtype"] == "BF16":
            return (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.astype(np.float32, copy=False)

    def _entry(self, name: str) -> dict[str, Any]:
        if name not in self._entries:
            raise self._broken(f"tensor {name} is missing")
        return self._entries[name]

    def _read_header(self) -> tuple[int, dict[str, dict[str, Any]]]:
        length = int.from_bytes(self._map[:8], "little")
        if len(self._map) < 8 or length > min(_HEADER_LIMIT, len(self._map) - 8):
            raise self._broken("its header is longer than the file")
        try:
            header = json.loads(self._map[8 : 8 + length])
        except ValueError as error:
            raise self._broken(f"its header is not JSON: {error}") from error
        if not isinstance(header, dict):
            raise self._broken("its header is not a table")
        header.pop("__metadata__", None)
        if not all(isinstance(entry, dict) and "shape" in entry for entry in header.values()):
            raise self._broken("its header does not describe tensors")
        return 8 + length, header

    def _broken(self, reason: str) -> IntegrityError:
        return IntegrityError(
            f"{self.path} is not a whole safetensors file ({reason})",
            "fetch the model again, or reinstall the package that carries it",
        )
