"""Make the lexical state of a chunk manifest: from a state before it, or from the texts.

Tantivy's segments are immutable files, so a new state begins as hard links to the old one's, takes
the new chunks in and the dead ones out, and appears in one rename. A kill leaves a folder that the
next run removes; older states stay as they are for who reads them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
from retro_cli.errors import DiskFull, RetroError
from retro_cli.events import SILENT, Progress
from retro_cli.lexical.state import (
    MANIFEST,
    ROWS,
    UNFINISHED,
    LexicalState,
    load_state,
)
from retro_cli.lexical.words import analyzer, prepared
from retro_cli.store.atomic import sync_folder, write_bytes, write_json
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.layout import Layout

if TYPE_CHECKING:
    from tantivy import Index, Schema

ANALYZER, ID, TEXT = "retro", "chunk", "text"
MAX_DEAD = 0.1  # dead rows count in the statistics until they are written out
_MEMORY = 200_000_000  # bytes that Tantivy's writer may take
_MANY = 50_000  # rows from which more than one thread pays
_BLOCK = 4096  # ids in one deletion
_ROOM = 1 << 20  # bytes; with less, a write failed for want of them
_META, _MANAGED = "meta.json", ".managed.json"
Bits = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Wanted:
    """The rows of a chunk manifest that a search may find, whatever the rules say."""

    layout: Layout
    manifest: ChunkManifest
    chunks: str  # sha256 of the manifest as generations keep it
    stemmer: str
    rows: Bits


def wanted_words(
    layout: Layout, manifest: ChunkManifest, chunks: str, stemmer: str | None = None
) -> Wanted:
    """chunks: the sha256 of the manifest. stemmer: as the database's settings say by default."""
    aliases = Aliases.load(layout.chunks, manifest.aliases)
    rows = searchable(own_live(manifest), aliases)
    return Wanted(layout, manifest, chunks, stemmer or load_settings(layout).stemmer, rows)


def keep_in_step(
    wanted: Wanted, max_dead: float = MAX_DEAD, progress: Progress = SILENT
) -> LexicalState:
    """The state of a chunk manifest, made if it is not there. The caller holds the lock.

    max_dead: the share of rows in its files that may be dead; with 0 none of a dead row's words
    are left.
    """
    folder = wanted.layout.lexical
    folder.mkdir(exist_ok=True)
    known = _known(folder)
    for state in known:
        mine = state.chunks == wanted.chunks and state.stemmer == wanted.stemmer
        if mine and _few(state.dead, state.rows, max_dead) and not state.problem():
            return state
    path = folder / f"{_next(folder):06d}"
    working = path.with_suffix(UNFINISHED)
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir()
    try:
        base = _base(known, wanted, max_dead)
        if base is None or not _extended(base, wanted, working, progress):
            shutil.rmtree(working)
            working.mkdir()
            _filled(wanted, working, progress)
        state = _finished(base, wanted, working)
        working.rename(path)
        sync_folder(folder)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)  # a full disk needs the room
        raise
    return replace(state, folder=path)


def _known(folder: Path) -> list[LexicalState]:
    """The states that can be read; the others are made again."""
    found = []
    for path in sorted(folder.glob("[0-9]*[0-9]"), reverse=True):
        try:
            found.append(load_state(path))
        except (OSError, RetroError):
            continue
    return found


def _next(folder: Path) -> int:
    return max((int(path.name) for path in folder.glob("[0-9]*[0-9]")), default=0) + 1


def _few(dead: int, rows: int, max_dead: float) -> bool:
    return dead <= max_dead * max(1, rows + dead)


def _base(known: Sequence[LexicalState], wanted: Wanted, max_dead: float) -> LexicalState | None:
    """The state that is nearest to what is wanted, if it is worth extending."""
    usable = [each for each in known if each.stemmer == wanted.stemmer and not each.problem()]
    costs = [(_changes(each, wanted), each) for each in usable]
    near = [(new + old, each) for (new, old), each in costs if _worth(each, new, old, max_dead)]
    return min(near, key=lambda pair: pair[0])[1] if near else None


def _changes(state: LexicalState, wanted: Wanted) -> tuple[int, int]:
    have = state.row_bits(len(wanted.rows))
    here = int(have.sum())  # rows past the end of the manifest are later ones, after a rollback
    beyond = state.rows - here
    return int((wanted.rows & ~have).sum()), int((have & ~wanted.rows).sum()) + beyond


def _worth(state: LexicalState, new: int, old: int, max_dead: float) -> bool:
    kept = state.rows - old
    return kept > 0 and _few(state.dead + old, kept + new, max_dead)


def _extended(base: LexicalState, wanted: Wanted, working: Path, progress: Progress) -> bool:
    """Take the base over, with its dead rows out and the new ones in; False if that went wrong."""
    for record in base.files:
        if record.name in (_META, _MANAGED):
            shutil.copyfile(base.folder / record.name, working / record.name)
        elif record.name != ROWS:
            _link(base.folder / record.name, working / record.name)
    have = base.row_bits(max(len(wanted.rows), 8 * (base.folder / ROWS).stat().st_size))
    want = np.pad(wanted.rows, (0, len(have) - len(wanted.rows)))
    dead, new = np.flatnonzero(have & ~want), np.flatnonzero(want & ~have)
    if not len(dead) and not len(new):
        return True
    try:
        index = open_index(working, wanted.stemmer)
        _write(index, dead, wanted, new, progress)
        index.reload()
        return bool(index.searcher().num_docs == int(want.sum()))
    except ValueError:
        return False


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _filled(wanted: Wanted, working: Path, progress: Progress) -> None:
    import tantivy

    rows = np.flatnonzero(wanted.rows)
    try:
        index = tantivy.Index(_schema(), path=str(working))
        index.register_tokenizer(ANALYZER, analyzer(wanted.stemmer))
        _write(index, rows[:0], wanted, rows, progress)
    except ValueError as error:
        if shutil.disk_usage(working).free < _ROOM:
            raise DiskFull(
                f"no space left while writing {wanted.layout.lexical}",
                "free some space and run the same command again",
            ) from error
        raise RetroError(
            f"the lexical index cannot be written: {error}", "run retro index again"
        ) from error


def _schema() -> Schema:
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


def _write(index: Index, dead: Ids, wanted: Wanted, new: Ids, progress: Progress) -> None:
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


def _finished(base: LexicalState | None, wanted: Wanted, working: Path) -> LexicalState:
    """Remove what no segment needs, and put down what there is."""
    dead = _tidied(working)
    write_bytes(working / ROWS, np.packbits(wanted.rows, bitorder="little").tobytes())
    before = {record.name: record for record in base.files} if base else {}
    records = [_record(working / name, before, base) for name in sorted(os.listdir(working))]
    rows = int(wanted.rows.sum())
    state = LexicalState(working, wanted.chunks, wanted.stemmer, rows, dead, tuple(records))
    write_json(working / MANIFEST, state.to_json())
    verified = Verified(working)
    for record in records:
        verified.trust(record)
    verified.save()
    return state


def _record(path: Path, before: dict[str, FileRecord], base: LexicalState | None) -> FileRecord:
    """What is the base's very file has been hashed already."""
    known = before.get(path.name)
    if base is not None and known and os.path.samefile(path, base.folder / path.name):
        return known
    return FileRecord.of(path)


def _tidied(working: Path) -> int:
    """Remove files of segments that were merged, and locks; how many rows are dead in the rest."""
    meta = (working / _META).read_bytes()
    wanted, dead = {_META}, 0
    for segment in json.loads(meta)["segments"]:
        stem, deletes = segment["segment_id"].replace("-", ""), segment["deletes"]
        mine = {path.name for path in working.glob(f"{stem}.*") if path.suffix != ".del"}
        if deletes:
            dead += deletes["num_deleted_docs"]
            mine.add(f"{stem}.{deletes['opstamp']}.del")
        wanted |= mine
    for path in working.iterdir():
        if path.name not in wanted and path.name != _MANAGED:
            path.unlink()
    write_bytes(working / _MANAGED, json.dumps(sorted(wanted)).encode())
    write_bytes(working / _META, meta)  # with the rights that all files have
    return dead
