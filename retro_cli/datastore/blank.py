"""Follow a rewrite of chunks: the keys and values of blanked chunks leave the disk.

A key is made of the text before its token, so with a purged chunk go also the keys of the chunks
that were read after it. Those live on: ``retro datastore`` makes their keys anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from retro_cli.config import fingerprint
from retro_cli.datastore.index import IndexKeys
from retro_cli.datastore.manifest import DatastoreManifest, KeyPart, load_manifest
from retro_cli.datastore.parts import (
    Bits,
    Floats,
    KeyRows,
    Tokens,
    open_keys,
    read_rows,
    write_part,
)
from retro_cli.index.vectors import Vectors
from retro_cli.store.files import Verified
from retro_cli.store.journal import Journal
from retro_cli.store.layout import Layout

JOURNAL = "compact.jsonl"  # apart from that of a killed run, which resumes all the same
_BLOCK = 16_384  # rows


def follow_blanking(layout: Layout, gone: Bits) -> DatastoreManifest | None:
    """The datastore without the chunks of ``gone`` (bool by id), not yet committed; None where
    there is none, or nothing of it goes. The new files lie beside the old ones."""
    folder = layout.datastore
    before = load_manifest(folder)
    if before is None:
        return None
    keys = open_keys(folder, before)
    parts = []
    for part in before.parts:
        rows = read_rows(folder, part)
        lost = without(rows, gone) & rows.there
        if not lost.any():
            parts.append(part)
        elif not lost[rows.there].all():
            parts.append(_blanked(folder, part, rows, lost, keys, before.maker.dim))
    after = replace(before, parts=tuple(parts))
    if after == before:
        return None
    live = Tokens(folder, after).of_chunks(np.ones(len(gone), dtype=bool))
    journal = Journal(folder / JOURNAL)
    work = IndexKeys(folder, open_keys(folder, after), live, journal, Verified(folder))
    after = replace(after, index=work.made(before.index))
    journal.discard()
    return after


def without(rows: KeyRows, gone: Bits) -> Bits:
    """(n,) which chunks of a part are gone, or have keys that a chunk that is gone has shaped."""
    before = np.concatenate([[0], np.cumsum(gone)])
    known = np.clip(rows.chunk + 1, 0, len(gone))
    lost: Bits = before[known] > before[np.clip(rows.since, 0, len(gone))]
    return lost


def _blanked(
    folder: Path, part: KeyPart, rows: KeyRows, lost: Bits, keys: Vectors, dim: int
) -> KeyPart:
    values = tuple(
        None if goes else each for goes, each in zip(lost.tolist(), rows.values, strict=True)
    )
    kept = np.repeat(rows.there & ~lost, rows.count)

    def blocks() -> Iterator[Floats]:
        for start in range(0, len(kept), _BLOCK):
            block = np.zeros((min(_BLOCK, len(kept) - start), dim), dtype=np.float32)
            here = np.flatnonzero(kept[start : start + _BLOCK])
            block[here] = keys.gather(part.base + start + here)
            yield block

    stem = fingerprint([part.keys.name, np.flatnonzero(lost).tolist()])[:12]
    return write_part(folder, stem, part.base, replace(rows, values=values), dim, blocks())
