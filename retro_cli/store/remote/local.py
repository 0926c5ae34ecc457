"""The files of a local database that a snapshot holds, by their hashes, and where it was pushed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from retro_cli.errors import UsageError
from retro_cli.events import Progress
from retro_cli.store.atomic import STAGING, TEMPORARY, file_sha256, write_json
from retro_cli.store.remote.snapshot import HIDDEN, Snapshot, check_names

STATE = ".pushed.json"
TASK = "hashing"
_UNFINISHED = ("journal.jsonl",)


def files_of(root: Path) -> dict[str, Path]:
    """The files of a database by name, without locks, caches and what is not finished.

    Raises UsageError for a name that cannot be on every system.
    """
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(each for each in folders if _wanted(each))
        for name in sorted(names):
            if _wanted(name) and name not in _UNFINISHED:
                path = Path(folder) / name
                found[path.relative_to(root).as_posix()] = path
    try:
        check_names(found)
    except ValueError as error:
        raise UsageError(f"{root} cannot be pushed: {error}", "rename the file") from error
    return found


def _wanted(name: str) -> bool:
    return name == HIDDEN or (not name.startswith(".") and not name.endswith((TEMPORARY, STAGING)))


@dataclass
class Base:
    """The snapshot of a place that a local database was last the same as (0 and "": none yet).

    known: the sha256 of its files, and of those that an unfinished pull has begun to bring.
    pending: the id that a push was about to publish, and may have before it was killed.
    """

    number: int = 0
    id: str = ""
    known: list[str] = field(default_factory=list)
    pending: str = ""

    def is_of(self, snapshot: Snapshot) -> bool:
        return snapshot.id in (self.id, self.pending)


class LocalState:
    """What ``.pushed.json`` remembers: hashes by size and time, the base of each place, and
    whether a purge has to reach the next one. Without it files are hashed again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[str, list[int | str]] = {}
        self.bases: dict[str, Base] = {}
        self.purged: set[str] = set()
        try:
            value = json.loads((root / STATE).read_bytes())
            self._seen = dict(value["seen"])
            self.bases = {url: Base(**base) for url, base in value["bases"].items()}
            self.purged = set(value["purged"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass

    def save(self) -> None:
        bases = {url: vars(base) for url, base in self.bases.items()}
        value = {"seen": self._seen, "bases": bases, "purged": sorted(self.purged)}
        write_json(self.root / STATE, value)

    def same_as(self, url: str, snapshot: Snapshot) -> None:
        """Note that the folder is, byte for byte, this snapshot."""
        self.bases[url] = Base(snapshot.number, snapshot.id, _contents(snapshot))
        self.purged.discard(url)

    def publishing(self, url: str, snapshot: Snapshot) -> None:
        """Note what is about to be published."""
        self.bases.setdefault(url, Base()).pending = snapshot.id
        self.save()

    def becoming(self, url: str, snapshot: Snapshot) -> None:
        """Note that files of a snapshot are about to take the place of others."""
        base = self.bases.setdefault(url, Base())
        base.known = sorted({*base.known, *_contents(snapshot)})
        self.save()

    def hashes(self, files: Mapping[str, Path], progress: Progress) -> dict[str, str]:
        """The sha256 of each file, by name; a file of the same size and time is not read again."""
        new: dict[str, list[int | str]] = {}
        progress.started(TASK, sum(path.stat().st_size for path in files.values()), "bytes")
        for name, path in files.items():
            status = path.stat()
            known = self._seen.get(name, [])
            now: list[int | str] = [status.st_size, status.st_mtime_ns]
            new[name] = known if known[:2] == now and len(known) == 3 else [*now, file_sha256(path)]
            progress.advanced(TASK, status.st_size)
        progress.finished(TASK)
        self._seen = new
        return {name: str(values[2]) for name, values in new.items()}


def _contents(snapshot: Snapshot) -> list[str]:
    return sorted({stored.sha256 for stored in snapshot.files.values()})


def note_purge(root: Path) -> None:
    """The next push to each place must leave nothing older there. Called before a purge begins."""
    state = LocalState(root)
    if state.bases:
        state.purged |= set(state.bases)
        state.save()
