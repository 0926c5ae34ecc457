"""Tantivy's own files: made, opened, written to and tidied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live, searchable
from retro_cli.chunks.manifest import ChunkManifest
from retro_cli.chunks.rows import read_blocks
from retro_cli.config import load_settings
from retro_cli.engine.local import cores
from retro_cli.events import Progress
from retro_cli.lexical.words import analyzer, prepared
from retro_cli.store.atomic import write_bytes
from retro_cli.store.layout import Layout

if TYPE_CHECKING:
    from tantivy import Index, Schema

ANALYZER, ID, TEXT = "retro", "chunk", "text"
META, MANAGED = "meta.json", ".managed.json"
_MEMORY = 200_000_000  # bytes that Tantivy's writer may take
_MANY = 50_000  # rows from which more than one thread pays
_BLOCK = 4096  # ids in one deletion
Bits = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Wanted:
    """The rows of a chunk manifest that a search may find, whatever the rules say. kept: whether
    there is to be a lexical index at all."""

    layout: Layout
    manifest: ChunkManifest
    chunks: str  # sha256 of the manifest as generations keep it
    stemmer: str
    rows: Bits
    kept: bool = True


def wanted_words(
    layout: Layout,
    manifest: ChunkManifest,
    chunks: str,
    stemmer: str | None = None,
    kept: bool | None = None,
) -> Wanted:
    """chunks: the sha256 of the manifest. stemmer, kept: as the database's settings say by
    default."""
    settings = load_settings(layout).changed(stemmer=stemmer, words=kept)
    aliases = Aliases.load(layout.chunks, manifest.aliases)
    rows = searchable(own_live(manifest), aliases)
    return Wanted(layout, manifest, chunks, settings.stemmer, rows, settings.words)


def schema() -> Schema:
    from tantivy import SchemaBuilder

    builder = SchemaBuilder()
    builder.add_unsigned_field(ID, indexed=True, fast=True)
    builder.add_text_field(TEXT, tokenizer_name=ANALYZER, index_option="freq")
    return builder.build()


def open_index(folder: Path, stemmer: str) -> Index:
    """Tantivy's index in a folder, with our analysis. Raises ValueError for a damaged one."""
    import tantivy

    index = tantivy.Index.open(str(folder))
    index.register_tokenizer(ANALYZER, analyzer(stemmer))
    return index


def write_rows(index: Index, dead: Ids, wanted: Wanted, new: Ids, progress: Progress) -> None:
    """One commit: some rows out, others in. What merges then, merges before this returns."""
    import tantivy

    threads = min(4, cores()) if len(new) >= _MANY else 1
    writer = index.writer(heap_size=_MEMORY, num_threads=threads)
    for start in range(0, len(dead), _BLOCK):
        # Not delete_documents_by_term: it takes the number for a signed one and finds nothing.
        ids = dead[start : start + _BLOCK].tolist()
        writer.delete_documents_by_query(tantivy.Query.term_set_query(index.schema, ID, ids))
    progress.started("words", len(new), "chunks")
    for row, text in _texts(wanted, new):
        document = tantivy.Document()
        document.add_unsigned(ID, row)
        document.add_text(TEXT, prepared(text))
        writer.add_document(document)
        progress.advanced("words", 1)
    writer.commit()
    writer.wait_merging_threads()
    progress.finished("words")


def _texts(wanted: Wanted, rows: Ids) -> Iterator[tuple[int, str]]:
    """The ids and texts of some rows, part by part."""
    for part in wanted.manifest.parts:
        first, last = np.searchsorted(rows, [part.base, part.base + part.rows])
        if first == last:
            continue
        mine = np.zeros(part.rows, dtype=bool)
        mine[rows[first:last] - part.base] = True
        start = 0
        for batch in read_blocks(wanted.layout.chunks / part.chunks_file, ["text"]):
            inside = np.flatnonzero(mine[start : start + len(batch)])
            ids = inside + part.base + start
            yield from zip(ids.tolist(), batch.column(0).take(inside).to_pylist(), strict=True)
            start += len(batch)


def tidied(working: Path) -> int:
    """Remove files of segments that were merged, and locks; how many rows are dead in the rest."""
    meta = (working / META).read_bytes()
    wanted, dead = {META}, 0
    for segment in json.loads(meta)["segments"]:
        stem, deletes = segment["segment_id"].replace("-", ""), segment["deletes"]
        mine = {path.name for path in working.glob(f"{stem}.*") if path.suffix != ".del"}
        if deletes:
            dead += deletes["num_deleted_docs"]
            mine.add(f"{stem}.{deletes['opstamp']}.del")
        wanted |= mine
    for path in working.iterdir():
        if path.name not in wanted and path.name != MANAGED:
            path.unlink()
    write_bytes(working / MANAGED, json.dumps(sorted(wanted)).encode())
    write_bytes(working / META, meta)  # with the rights that all files have
    return dead
