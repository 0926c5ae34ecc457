"""Write one chunk part: two Parquet files, streamed row group by row group."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from retro_cli.chunks.schema import (
    CHUNK_DICTIONARY,
    CHUNKS,
    DOC_DICTIONARY,
    DOCS,
    ROW_GROUP,
    digest,
)
from retro_cli.chunks.splitter import Cut
from retro_cli.corpus import Document
from retro_cli.store.atomic import disk_errors, made, sync_file, sync_folder, unfinished
from retro_cli.store.files import FileRecord, plain_name, whole_number


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """What a finished part holds. ``files`` are its chunks and its documents."""

    name: str
    rows: int
    docs: int
    tokens: int
    characters: int
    files: tuple[FileRecord, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rows": self.rows,
            "docs": self.docs,
            "tokens": self.tokens,
            "characters": self.characters,
            "files": [file.to_json() for file in self.files],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> WrittenPart:
        """Raises KeyError, TypeError or ValueError for what is no part."""
        chunks, docs = (FileRecord.from_json(file) for file in value["files"])
        counts = {k: whole_number(value[k]) for k in ("rows", "docs", "tokens", "characters")}
        return cls(plain_name(value["name"]), **counts, files=(chunks, docs))


def document_name(document: Document) -> str:
    """What people call it: the record's own id, else its file, else file and content."""
    if document.key:
        return document.key
    return f"{document.uri}#{digest(document.title, document.text).hex()[:12]}"


def document_hash(document: Document) -> bytes:
    """Changes when anything a user can see of the document changes."""
    return digest(document.text, document.title, document.source, document.metadata)


class PartWriter:
    """Streams documents into a part; memory holds a few row groups, whatever the part's size.

    All but ``abandon`` raise DiskFull; it raises UsageError where no file can be made.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder = folder
        self._stem = stem
        self.rows = self.docs = self.tokens = self.characters = 0
        kinds = ("chunks", "docs")
        self._paths = {kind: unfinished(folder / f"{stem}.{kind}") for kind in kinds}
        try:
            self._chunks = _Table(self._paths["chunks"], CHUNKS, CHUNK_DICTIONARY)
            self._docs = _Table(self._paths["docs"], DOCS, DOC_DICTIONARY)
        except BaseException:
            self._remove()
            raise

    def add(self, document: Document, cuts: list[Cut]) -> None:
        name = document_name(document)
        last = len(cuts) - 1
        for position, cut in enumerate(cuts):
            text = document.text[cut.start : cut.end]
            self._chunks.add(
                (
                    self.docs,
                    position,
                    position < last,
                    name,
                    document.source,
                    document.title,
                    cut.start,
                    cut.end,
                    cut.ids.tobytes(),
                    text,
                    digest(text),
                )
            )
            self.tokens += len(cut.ids)
        self._docs.add(
            (
                name,
                document.uri,
                document.key,
                document.source,
                document.title,
                document.metadata,
                document.position,
                len(document.text),
                self.rows,
                len(cuts),
                document_hash(document),
                digest(document.text),
            )
        )
        self.rows += len(cuts)
        self.docs += 1
        self.characters += len(document.text)

    def finish(self) -> WrittenPart:
        """Close, name by content, and make durable."""
        self._chunks.close()
        self._docs.close()
        records = {kind: FileRecord.of(path) for kind, path in self._paths.items()}
        name = f"{self._stem}-{records['chunks'].sha256[:8]}"
        files = []
        for kind, record in records.items():
            final = self._folder / f"{name}.{kind}.parquet"
            sync_file(self._paths[kind])
            self._paths[kind].rename(final)
            files.append(FileRecord(final.name, record.bytes, record.sha256))
        sync_folder(self._folder)
        return WrittenPart(name, self.rows, self.docs, self.tokens, self.characters, tuple(files))

    def abandon(self) -> None:
        """Leave nothing behind after an error."""
        self._chunks.abandon()
        self._docs.abandon()
        self._remove()

    def _remove(self) -> None:
        for path in self._paths.values():
            path.unlink(missing_ok=True)


class _Table:
    """Rows in, Parquet row groups out."""

    def __init__(self, path: Path, schema: pa.Schema, dictionary: list[str]) -> None:
        self._path = path
        self._schema = schema
        self._rows: list[tuple[Any, ...]] = []
        with made(path):
            self._writer = pq.ParquetWriter(
                path, schema, compression="zstd", use_dictionary=dictionary, write_statistics=False
            )

    def add(self, row: tuple[Any, ...]) -> None:
        self._rows.append(row)
        if len(self._rows) == ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        columns = [
            pa.array(values, field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        with disk_errors(self._path):
            self._writer.write_batch(batch)
        self._rows.clear()

    def close(self) -> None:
        if self._rows:
            self._flush()
        with disk_errors(self._path):
            self._writer.close()

    def abandon(self) -> None:
        """Let go of the file. What fails now has failed before, and that is what counts."""
        self._rows.clear()
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        self._writer.is_open = False  # or Arrow tries again, and complains, when the object goes
