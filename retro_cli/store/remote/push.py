"""Publish a local database behind a URL: bring the files that are not there, then name them all.

The one step that others see is the creation of ``snapshots/<number>.json``, which only one of
several pushers can do. A push takes over objects of the snapshot before it, and what an earlier
try for the same number brought; all else it brings itself.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from retro_cli.errors import LockedError, RemoteError, UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.store.layout import Layout
from retro_cli.store.lock import writer_lock
from retro_cli.store.remote.blocks import WHOLE, hashed
from retro_cli.store.remote.local import LocalState, files_of
from retro_cli.store.remote.place import Listed, Place
from retro_cli.store.remote.snapshot import (
    OBJECTS,
    SNAPSHOTS,
    Snapshot,
    Stored,
    garbage,
    snapshot_key,
    snapshot_numbers,
)
from retro_cli.store.remote.view import read_snapshot
from retro_cli.store.sweep import sweep_unreferenced

TASK = "pushing"
KEEP_HOURS = 24.0
_BATCH_FILES, _BATCH_BYTES = 64, 1 << 28


@dataclass(frozen=True)
class PushReport:
    """number: of the snapshot that is the newest now. uploaded: of ``files``, those that were not
    there. removed: objects of snapshots that are gone."""

    url: str
    number: int
    changed: bool
    files: int
    bytes: int
    uploaded: int
    uploaded_bytes: int
    removed: int


def push(
    layout: Layout,
    url: str,
    *,
    force: bool = False,
    repair: bool = False,
    prune: bool = False,
    keep_hours: float = KEEP_HOURS,
    progress: Progress = SILENT,
) -> PushReport:
    """Make the database behind ``url`` the same as the local one. The writer's lock is held.

    force: also where the remote one is not what this one was last the same as. repair: bring every
    file anew. prune: leave no older snapshot; otherwise those stay that were the newest less than
    ``keep_hours`` ago, for who reads from them. After a purge none stays.

    Raises LockedError if another push came first, RemoteError, UsageError.
    """
    layout.require()
    place = Place(url)
    with writer_lock(layout.root, "push"):
        state = LocalState(layout.root)
        before = newest_snapshot(place)
        _check_base(place, state, before, force)
        sweep_unreferenced(layout, keep=sys.maxsize)  # what killed runs left is not published
        files = files_of(layout.root)
        hashes = state.hashes(files, progress)
        state.save()
        if before is not None and before.same_files(hashes) and not repair:
            snapshot, brought, changed = before, dict[str, Stored](), False
        else:
            snapshot, brought = _bring(place, before, files, hashes, repair, progress)
            state.publishing(place.url, snapshot)
            _publish(place, snapshot)
            changed = True
        hours = 0.0 if prune or place.url in state.purged else keep_hours
        removed = _collect(place, snapshot, hours)
        state.same_as(place.url, snapshot)
        state.save()
    return PushReport(
        place.url,
        snapshot.number,
        changed,
        len(snapshot.files),
        snapshot.size,
        len(brought),
        sum(stored.bytes for stored in brought.values()),
        removed,
    )


def newest_snapshot(place: Place) -> Snapshot | None:
    """None where nothing was pushed yet."""
    listed = place.listed(SNAPSHOTS)
    numbers = snapshot_numbers(listed)
    if not numbers:
        return None
    return read_snapshot(place, numbers[-1], listed[snapshot_key(numbers[-1])])


def _check_base(place: Place, state: LocalState, before: Snapshot | None, force: bool) -> None:
    base = state.bases.get(place.url)
    if before is None or force or (base is not None and base.is_of(before)):
        return
    was = f"last number {base.number}" if base and base.number else "never pushed there"
    raise _came_first(place, f"it has number {before.number}, this one was {was}")


def _came_first(place: Place, why: str) -> LockedError:
    return LockedError(
        f"{place.url} was pushed to from elsewhere: {why}",
        f"nothing was changed there or here; see what it holds (retro status {place.url}), then "
        f"pull it into a new folder, or replace it with --force",
    )


def _bring(
    place: Place,
    before: Snapshot | None,
    files: Mapping[str, Path],
    hashes: Mapping[str, str],
    repair: bool,
    progress: Progress,
) -> tuple[Snapshot, dict[str, Stored]]:
    """The snapshot to publish, with all its objects in place, and what was brought, by sha256."""
    number = before.number + 1 if before else 1
    folder = f"{OBJECTS}/{number:06d}"
    known: dict[str, Stored] = {}
    if before is not None and not repair:
        known = {stored.sha256: stored for stored in before.files.values()}
    there = {} if repair else place.listed(folder)
    wanted = {hashes[name]: path for name, path in files.items() if hashes[name] not in known}
    brought: dict[str, Stored] = {}
    progress.started(TASK, sum(path.stat().st_size for path in wanted.values()), "bytes")
    for batch in _batches(wanted):
        uploads: list[tuple[Path, str]] = []
        digests: dict[str, bytes] = {}
        for sha256, path in batch:
            stored, blocks = _described(path, sha256, number)
            brought[sha256] = stored
            if not _is_there(stored, there):
                uploads.append((path, stored.key))
            if stored.blocks and stored.blocks_key not in there:
                digests[stored.blocks_key] = blocks
        place.upload(uploads)
        place.write(digests)
        progress.advanced(TASK, sum(brought[sha256].bytes for sha256, _ in batch))
    progress.finished(TASK)
    _require(brought.values(), place.listed(folder) if brought else {}, place)
    known |= brought
    named = {name: known[sha256] for name, sha256 in hashes.items()}
    return Snapshot(number, uuid4().hex, datetime.now(UTC).isoformat(), named), brought


def _batches(wanted: Mapping[str, Path]) -> Iterator[list[tuple[str, Path]]]:
    batch: list[tuple[str, Path]] = []
    size = 0
    for item in wanted.items():
        batch.append(item)
        size += item[1].stat().st_size
        if len(batch) == _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _described(path: Path, sha256: str, number: int) -> tuple[Stored, bytes]:
    """Raises RemoteError if something else than retro writes there meanwhile."""
    size = path.stat().st_size
    found, blocks = hashed(path)
    if found != sha256:
        raise RemoteError(
            f"{path} changed while it was pushed", "see what writes there, then push again"
        )
    stored = Stored(number, size, sha256)
    if size <= WHOLE:
        return stored, b""
    return replace(stored, blocks=hashlib.sha256(blocks).hexdigest()), blocks


def _is_there(stored: Stored, there: Mapping[str, Listed]) -> bool:
    return stored.key in there and there[stored.key].bytes == stored.bytes


def _require(brought: Iterable[Stored], there: Mapping[str, Listed], place: Place) -> None:
    for stored in brought:
        if not _is_there(stored, there) or not set(stored.objects()) <= set(there):
            raise RemoteError(
                f"{place.url}/{stored.key} is not what was put there", "push again; it resumes"
            )


def _publish(place: Place, snapshot: Snapshot) -> None:
    key, data = snapshot_key(snapshot.number), snapshot.to_bytes()
    if not place.create(key, data):
        raise _came_first(place, f"number {snapshot.number} appeared just now")
    if not place.refuses_to_replace(key, data):
        raise UsageError(
            f"{place.url} was pushed, but its server lets one push replace another unseen",
            "push from one machine only, or to a server that honours If-None-Match",
        )


def _collect(place: Place, snapshot: Snapshot, keep_hours: float) -> int:
    """Remove older snapshots and what only they need; how many objects that were."""
    listed = place.listed(SNAPSHOTS)
    older = [number for number in snapshot_numbers(listed) if number < snapshot.number]
    oldest_end = datetime.now(UTC) - timedelta(hours=keep_hours)
    needed, gone = snapshot.keys(), []
    follower = snapshot
    for number in reversed(older):
        mine = None
        if keep_hours > 0 and datetime.fromisoformat(follower.published) > oldest_end:
            mine = read_snapshot(place, number, listed[snapshot_key(number)])
        if mine is None:
            gone = [snapshot_key(each) for each in older if each <= number]
            break
        needed |= mine.keys()
        follower = mine
    place.remove(gone)  # before what they need
    left = garbage(place.listed(OBJECTS), snapshot.number, needed)
    for start in range(0, len(left), 1000):
        place.remove(left[start : start + 1000])
    return len(left)
