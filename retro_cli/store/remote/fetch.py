"""Whole objects into files, checked by their hashes: many small ones at once, large ones in
pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from retro_cli.errors import IntegrityError
from retro_cli.events import SILENT, Progress
from retro_cli.store.remote.place import Place, Range
from retro_cli.store.remote.snapshot import Stored

TASK = "fetching"
_PIECE = 1 << 23
_PIECES = 8  # at once

# What gives a context with ``write``: the file appears when it is left without an error.
Writer = Callable[[Stored], Any]


def fetch(
    place: Place, wanted: Sequence[Stored], writer: Writer, progress: Progress = SILENT
) -> None:
    """Write each object. Raises IntegrityError for one with other bytes than its name says."""
    progress.started(TASK, sum(each.bytes for each in wanted), "bytes")
    for batch in _batches(wanted):
        if len(batch) == 1 and batch[0].bytes > _PIECE:
            _stream(place, batch[0], writer, progress)
            continue
        found = place.read([Range(each.key, 0, each.bytes) for each in batch])
        for each, data in zip(batch, found, strict=True):
            _check(place, each, hashlib.sha256(data).hexdigest())
            with writer(each) as out:
                out.write(data)
            progress.advanced(TASK, each.bytes)
    progress.finished(TASK)


def _batches(wanted: Sequence[Stored]) -> Iterator[list[Stored]]:
    batch: list[Stored] = []
    size = 0
    for each in sorted(wanted, key=lambda stored: stored.bytes):
        if (batch and size + each.bytes > _PIECE * _PIECES) or each.bytes > _PIECE:
            if batch:
                yield batch
            batch, size = [], 0
        batch.append(each)
        size += each.bytes
    if batch:
        yield batch


def _stream(place: Place, stored: Stored, writer: Writer, progress: Progress) -> None:
    digest = hashlib.sha256()
    with writer(stored) as out:
        for start in range(0, stored.bytes, _PIECE * _PIECES):
            stop = min(start + _PIECE * _PIECES, stored.bytes)
            pieces = range(start, stop, _PIECE)
            asked = [Range(stored.key, at, min(at + _PIECE, stop)) for at in pieces]
            for data in place.read(asked):
                digest.update(data)
                out.write(data)
                progress.advanced(TASK, len(data))
        _check(place, stored, digest.hexdigest())


def _check(place: Place, stored: Stored, sha256: str) -> None:
    if sha256 != stored.sha256:
        raise IntegrityError(
            f"{place.url}/{stored.key} has other bytes than were pushed (sha256 differs)",
            "push the database again with --repair, from a folder that is whole",
        )
