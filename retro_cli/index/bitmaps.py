"""Bitmaps on the disk: one bit a chunk id, and other small files named by their content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.errors import IntegrityError
from retro_cli.store.atomic import write_bytes
from retro_cli.store.files import FileRecord
from retro_cli.store.here import here


def save_bitmap(folder: Path, stem: str, bits: npt.NDArray[np.bool_]) -> FileRecord:
    """Write one bit a row, little-endian within a byte, named by content."""
    return save_blob(folder, stem, "bitmap", np.packbits(bits, bitorder="little").tobytes())


def save_blob(folder: Path, stem: str, suffix: str, data: bytes) -> FileRecord:
    staging = folder / f"{stem}.staging"
    write_bytes(staging, data)
    record = FileRecord.of(staging)
    name = f"{stem}-{record.sha256[:8]}.{suffix}"
    staging.rename(folder / name)
    return FileRecord(name, record.bytes, record.sha256)


def read_bitmap(folder: Path, record: FileRecord) -> npt.NDArray[np.uint8]:
    """The packed bits of a bitmap file. Raises IntegrityError."""
    try:
        return np.fromfile(here(folder / record.name), dtype=np.uint8)
    except OSError as error:
        raise IntegrityError(
            f"{folder / record.name} cannot be read ({error})", "run retro index"
        ) from error


def load_bitmap(folder: Path, record: FileRecord, rows: int) -> npt.NDArray[np.bool_]:
    """(rows,) bits; rows past the end of the file are False."""
    packed = read_bitmap(folder, record)
    bits = np.unpackbits(packed, bitorder="little")[:rows].astype(bool)
    return np.pad(bits, (0, rows - len(bits)))


def count_bits(packed: npt.NDArray[np.uint8]) -> int:
    """How many are set, without a byte for each of them."""
    return int.from_bytes(packed.tobytes(), "little").bit_count()
