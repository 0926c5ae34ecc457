"""Small conveniences for the corpus tests."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Sequence
from pathlib import Path

import zstandard

from retro_cli.corpus import (
    Document,
    InputFile,
    ReadOptions,
    Rejected,
    Slice,
    list_inputs,
    read,
    split,
)

COMPRESSORS = {
    "": lambda data: data,
    "gz": lambda data: gzip.compress(data, mtime=0),  # no clock in the names of tests
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def make_file(folder: Path, name: str, data: bytes | str) -> InputFile:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return next(iter(list_inputs([str(path)])))


def records(file: InputFile, only: Sequence[int] | None = None, **options):
    return list(read(Slice(file, only=only), ReadOptions(**options)))


def documents(file: InputFile, **options) -> list[Document]:
    found = records(file, **options)
    assert all(isinstance(record, Document) for record in found), found
    return found


def rejected(file: InputFile, **options) -> list[Rejected]:
    return [r for r in records(file, **options) if isinstance(r, Rejected)]


def good(file: InputFile, **options) -> list[Document]:
    return [r for r in records(file, **options) if isinstance(r, Document)]


def by_slices(file: InputFile, target: int, **options):
    chosen = ReadOptions(**options)
    return [r for piece in split(file, chosen, target) for r in read(piece, chosen)]
