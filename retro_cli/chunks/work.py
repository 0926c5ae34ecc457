"""Chunk one piece of work. Runs in a worker process; knows nothing of the rest of the run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from retro_cli.chunks.part import PartWriter, WrittenPart
from retro_cli.chunks.plan import Item
from retro_cli.chunks.splitter import split
from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.corpus import Document, ReadOptions, Rejected, read
from retro_cli.store.atomic import sync_file, sync_folder, unfinished
from retro_cli.store.files import FileRecord

ROWS_A_PART = 1 << 16  # a part rolls over here, so that a huge slice makes several


@dataclass(frozen=True)
class Task:
    """Everything a worker needs, in plain values."""

    item: Item
    folder: Path
    tokenizer: Path
    tokens: int
    cut: str
    options: ReadOptions


@dataclass(frozen=True)
class Done:
    """What an item became. ``rejected`` is a JSONL file of the records set aside, if any."""

    parts: tuple[WrittenPart, ...]
    rejected: FileRecord | None
    rejections: int

    def to_json(self) -> dict[str, Any]:
        return {
            "parts": [part.to_json() for part in self.parts],
            "rejected": self.rejected.to_json() if self.rejected else None,
            "rejections": self.rejections,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Done:
        return cls(
            tuple(WrittenPart.from_json(part) for part in value["parts"]),
            FileRecord.from_json(value["rejected"]) if value["rejected"] else None,
            value["rejections"],
        )

    def files(self) -> list[FileRecord]:
        mine = [file for part in self.parts for file in part.files]
        return [*mine, self.rejected] if self.rejected else mine


_tokenizers: dict[tuple[Path, str, int], ChunkTokenizer] = {}


def tokenizer_for(path: Path, cut: str, size: int) -> ChunkTokenizer:
    """One tokenizer a process: its word cache is worth keeping from item to item."""
    key = (path, cut, size)
    if key not in _tokenizers:
        _tokenizers[key] = ChunkTokenizer(path, cut=cut, size=size)
    return _tokenizers[key]


def chunk_item(task: Task) -> Done:
    """Read, tokenise, cut and write one item. Memory holds one document and a few row groups."""
    tokenizer = tokenizer_for(task.tokenizer, task.cut, task.tokens)
    stem = f"part-{task.item.number:05d}"
    rejections = RejectionWriter(task.folder / f"{stem}.rejected.jsonl")
    parts: list[WrittenPart] = []
    writer: PartWriter | None = None
    try:
        for document in _documents(task, rejections):
            if writer is None:
                writer = PartWriter(task.folder, f"{stem}.{len(parts):03d}")
            cuts = list(split(tokenizer.windows(document.text), len(document.text), task.tokens))
            writer.add(document, cuts)
            if writer.rows >= ROWS_A_PART:
                parts.append(writer.finish())
                writer = None
        if writer is not None:
            parts.append(writer.finish())
            writer = None
        return Done(tuple(parts), rejections.finish(), rejections.count)
    finally:
        rejections.abandon()
        if writer is not None:
            writer.abandon()


def _documents(task: Task, rejections: RejectionWriter) -> Iterable[Document]:
    for piece in task.item.slices:
        for record in read(piece, task.options):
            if isinstance(record, Rejected):
                rejections.add(record)
            else:
                yield record


class RejectionWriter:
    """Streams records that were set aside to a JSONL file, which exists only if there are any."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path
        self._temporary = unfinished(path)
        self._file: TextIO | None = None

    def add(self, rejected: Rejected) -> None:
        if self._file is None:
            self._file = self._temporary.open("w", encoding="ascii")
        self._file.write(json.dumps(rejection_json(rejected), sort_keys=True) + "\n")
        self.count += 1

    def finish(self) -> FileRecord | None:
        if self._file is None:
            return None
        self._file.close()
        sync_file(self._temporary)
        os.replace(self._temporary, self._path)
        sync_folder(self._path.parent)
        return FileRecord.of(self._path)

    def abandon(self) -> None:
        """Leave nothing behind after an error; after ``finish`` there is nothing to leave."""
        if self._file is not None:
            with suppress(OSError):  # it would write what it holds
                self._file.close()
            self._temporary.unlink(missing_ok=True)


def rejection_json(rejected: Rejected) -> dict[str, str | int]:
    return {
        "uri": rejected.uri,
        "position": rejected.position,
        "where": rejected.where,
        "reason": rejected.reason,
        "excerpt": rejected.excerpt,
    }
