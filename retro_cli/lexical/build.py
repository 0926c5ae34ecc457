"""Make the lexical state of a chunk manifest: from a state before it, or from the texts.

Tantivy's segments are immutable files, so a new state begins as hard links to the old one's, takes
the new chunks in and the dead ones out, and appears in one rename. A kill leaves a folder that the
next run removes; older states stay as they are for who reads them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from retro_cli.errors import DiskFull, RetroError
from retro_cli.events import SILENT, Progress
from retro_cli.lexical.state import (
    MANIFEST,
    ROWS,
    UNFINISHED,
    LexicalState,
    load_state,
)
from retro_cli.lexical.words import analyzer
from retro_cli.lexical.write import (
    ANALYZER,
    MANAGED,
    META,
    Wanted,
    open_index,
    schema,
    tidied,
    write_rows,
)
from retro_cli.store.atomic import sync_folder, write_bytes, write_json
from retro_cli.store.files import FileRecord, Verified

if TYPE_CHECKING:
    pass

MAX_DEAD = 0.1  # dead rows count in the statistics until they are written out
_ROOM = 1 << 20  # bytes; with less, a write failed for want of them
Bits = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.int64]


def keep_in_step(
    wanted: Wanted, max_dead: float = MAX_DEAD, progress: Progress = SILENT
) -> LexicalState | None:
    """The state of a chunk manifest, made if it is not there; None where none is to be kept. The
    caller holds the lock.

    max_dead: the share of rows in its files that may be dead; with 0 none of a dead row's words
    are left.
    """
    folder = wanted.layout.lexical
    if not wanted.kept:
        shutil.rmtree(folder, ignore_errors=True)  # whoever reads it has its files
        return None
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
        if record.name in (META, MANAGED):
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
        write_rows(index, dead, wanted, new, progress)
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
        index = tantivy.Index(schema(), path=str(working))
        index.register_tokenizer(ANALYZER, analyzer(wanted.stemmer))
        write_rows(index, rows[:0], wanted, rows, progress)
    except ValueError as error:
        if shutil.disk_usage(working).free < _ROOM:
            raise DiskFull(
                f"no space left while writing {wanted.layout.lexical}",
                "free some space and run the same command again",
            ) from error
        raise RetroError(
            f"the lexical index cannot be written: {error}", "run retro index again"
        ) from error


def _finished(base: LexicalState | None, wanted: Wanted, working: Path) -> LexicalState:
    """Remove what no segment needs, and put down what there is."""
    dead = tidied(working)
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
