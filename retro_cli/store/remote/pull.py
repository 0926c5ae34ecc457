"""Fetch a remote database into a folder: what is not there, checked by its hashes; then the
manifests, ``CURRENT`` last."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from retro_cli.errors import NotBuiltYet, UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.store.atomic import TEMPORARY, disk_errors, made, sweep_temporaries, sync_file
from retro_cli.store.layout import Layout
from retro_cli.store.lock import remove_unread, writer_lock
from retro_cli.store.remote.fetch import fetch
from retro_cli.store.remote.local import LocalState, files_of
from retro_cli.store.remote.place import Place
from retro_cli.store.remote.push import newest_snapshot
from retro_cli.store.remote.snapshot import Snapshot, Stored
from retro_cli.store.sweep import sweep_unreferenced

_SWEPT = ("chunks", "embeddings", "index", "lexical")  # by the rules that spare readers
_ARRIVING = ".arriving"


@dataclass(frozen=True)
class PullReport:
    """fetched: of ``files``, those that were not in the folder."""

    url: str
    number: int
    files: int
    bytes: int
    fetched: int
    fetched_bytes: int
    removed: int


def pull(
    url: str, layout: Layout, *, force: bool = False, progress: Progress = SILENT
) -> PullReport:
    """Make a local database the same as the newest snapshot behind ``url``.

    A pull that was killed is completed by the next one. force: also if the folder was changed
    since it was last the same as what is there. Raises UsageError for such a folder, NotBuiltYet
    where nothing was pushed, RemoteError, IntegrityError, DiskFull.
    """
    _check_folder(layout)
    place = Place(url)
    snapshot = newest_snapshot(place)
    if snapshot is None:
        raise NotBuiltYet(f"{url} is not a retrieval database", f"retro push DB {url}")
    root = layout.root
    with made(root):
        root.mkdir(parents=True, exist_ok=True)
    with disk_errors(root), writer_lock(root, "pull"):
        state = LocalState(root)
        have = files_of(root)
        hashes = state.hashes(have, progress)
        if not force and have:
            _check_unchanged(place, state, hashes)
        state.becoming(place.url, snapshot)
        missing = _missing(snapshot, hashes, root)
        fetch(place, list(missing.values()), lambda stored: _Arriving(root, stored), progress)
        _put_in_place(root, snapshot, hashes)
        removed = _remove_others(layout, snapshot, have)
        state.hashes(files_of(root), SILENT)
        state.same_as(place.url, snapshot)
        state.save()
    return PullReport(
        place.url,
        snapshot.number,
        len(snapshot.files),
        snapshot.size,
        len(missing),
        sum(stored.bytes for stored in missing.values()),
        removed,
    )


def _check_folder(layout: Layout) -> None:
    root = layout.root
    if layout.exists():
        layout.require()
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file", "name a folder")
    if root.is_dir() and not layout.exists() and not (root / _ARRIVING).is_dir():
        others = [path.name for path in root.iterdir() if not path.name.startswith(".")]
        if others:
            raise UsageError(
                f"{root} is not empty and not a retrieval database (it has {others[0]})",
                "name a new folder",
            )


def _check_unchanged(place: Place, state: LocalState, hashes: Mapping[str, str]) -> None:
    base = state.bases.get(place.url)
    known = set(base.known) if base else set()
    for name, sha256 in hashes.items():
        if sha256 not in known:
            raise UsageError(
                f"{state.root} has changes of its own ({name}), which a pull would lose",
                f"push it (retro push {state.root} {place.url}), pull into another folder, or "
                "give them up with --force",
            )


def _missing(snapshot: Snapshot, hashes: Mapping[str, str], root: Path) -> dict[str, Stored]:
    """What has to be fetched, by sha256; an interrupted pull may have brought some of it."""
    folder = root / _ARRIVING
    folder.mkdir(exist_ok=True)
    sweep_temporaries(folder)
    arrived = {path.name for path in folder.iterdir()}
    return {
        stored.sha256: stored
        for name, stored in snapshot.files.items()
        if hashes.get(name) != stored.sha256 and stored.sha256 not in arrived
    }


class _Arriving(AbstractContextManager[BinaryIO]):
    """A file that gets the name of its content when it is whole."""

    def __init__(self, root: Path, stored: Stored) -> None:
        self._path = root / _ARRIVING / stored.sha256
        self._temporary = self._path.with_name(self._path.name + TEMPORARY)

    def __enter__(self) -> BinaryIO:
        self._file = self._temporary.open("wb")
        return self._file

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._file.close()
        if error is not None:
            self._temporary.unlink(missing_ok=True)
            return
        sync_file(self._temporary)
        self._temporary.rename(self._path)


def _put_in_place(root: Path, snapshot: Snapshot, hashes: Mapping[str, str]) -> None:
    """Files with the hash of their content in their names first, manifests then, CURRENT last."""
    last: dict[str, str] = {}
    for name, stored in sorted(snapshot.files.items(), key=lambda item: _rank(item[0])):
        if hashes.get(name) == stored.sha256:
            continue
        target, arrived = root / name, root / _ARRIVING / stored.sha256
        target.parent.mkdir(parents=True, exist_ok=True)
        if stored.sha256 in last:  # two names of one content
            arrived = root / last[stored.sha256]
            copy = target.with_name(target.name + TEMPORARY)
            copy.unlink(missing_ok=True)
            os.link(arrived, copy)
            os.replace(copy, target)
        else:
            os.replace(arrived, target)
            last[stored.sha256] = name
    for folder in {root, *(root / name for name in snapshot.files)}:
        sync_file(folder if folder.is_dir() else folder.parent)
    shutil.rmtree(root / _ARRIVING)


def _rank(name: str) -> int:
    file = name.rpartition("/")[2]
    if file == "CURRENT":
        return 4
    if name == "retro.toml":
        return 3
    return 2 if file == "manifest.json" else 1 if file.endswith(".json") else 0


def _remove_others(layout: Layout, snapshot: Snapshot, had: Mapping[str, Path]) -> int:
    """What the snapshot does not have, but for what an open reader holds."""
    before = len(files_of(layout.root))
    for name, path in had.items():
        if name not in snapshot.files and not name.startswith(_SWEPT):
            path.unlink(missing_ok=True)
        elif name not in snapshot.files and name.startswith("index/gen-"):
            remove_unread(path)
    sweep_unreferenced(layout, keep=sys.maxsize)
    return before - len(files_of(layout.root))
