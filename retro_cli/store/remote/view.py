"""A view: a remote database as a folder, whose files are links into the cache of objects.

Manifests are there at once; what is larger comes when it is asked for, whole or in blocks. A view
is of one snapshot and never changes, so whoever opened it is not disturbed by a later push.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path

from retro_cli.errors import IntegrityError, LockedError, NotBuiltYet, RetroError
from retro_cli.store.atomic import write_json
from retro_cli.store.cache import cache_folder, made_once, removed
from retro_cli.store.layout import VIEW_FILE
from retro_cli.store.remote.blocks import BlockFile
from retro_cli.store.remote.fetch import fetch
from retro_cli.store.remote.objects import NewObject, ObjectCache
from retro_cli.store.remote.place import Listed, Place, Range
from retro_cli.store.remote.snapshot import (
    SNAPSHOTS,
    Snapshot,
    Stored,
    snapshot_key,
    snapshot_numbers,
)

FRESH = 10.0  # seconds for which a place is not asked again whether there is a newer snapshot
_AT_ONCE = (".json", ".toml")
_LATER = ("chunks-", "measured-")  # of the index, of which one generation's is wanted at most
_MOST = 1 << 29  # bytes of a snapshot


class View:
    """One opened by this process."""

    def __init__(self, root: Path) -> None:
        """Raises IntegrityError if it is damaged."""
        self.root = root
        try:
            value = json.loads((root / VIEW_FILE).read_bytes())
            self.url, self.stamp = str(value["url"]), str(value["stamp"])
            data = json.dumps(value["snapshot"]).encode()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{root} is damaged ({error})", "remove this folder") from error
        self.snapshot = Snapshot.from_bytes(data, str(root / VIEW_FILE))
        self.cache = ObjectCache()
        self._asked = time.monotonic()

    @cached_property
    def place(self) -> Place:
        return Place(self.url)

    def stored(self, path: Path) -> Stored | None:
        return self.snapshot.files.get(path.relative_to(self.root).as_posix())

    def fetch(self, paths: Iterable[Path]) -> None:
        """See that these files are here, whole. Raises what reading and writing them does."""
        found = (self.stored(path) for path in paths)
        wanted = {stored.sha256: stored for stored in found if stored is not None}
        hold = self.cache.hold
        for _ in range(3):  # another process may remove what was here just now
            missing = [s for s in wanted.values() if not hold(self.cache.whole(s.sha256))]
            if not missing:
                return
            fetch(self.place, missing, self._writer)

    def _writer(self, stored: Stored) -> NewObject:
        return self.cache.writing(stored.sha256, stored.bytes)

    def blocks(self, path: Path) -> BlockFile | None:
        """The file to be read by blocks; None if it is here whole, or too small for that."""
        stored = self.stored(path)
        if stored is None or not stored.blocks or self.cache.hold(self.cache.whole(stored.sha256)):
            return None
        return BlockFile(self.place, self.cache, stored)

    def outdated(self) -> bool:
        """Whether the place has a newer snapshot. Asked again after ten seconds at the earliest;
        while it cannot be reached, the one that is open is the newest there is."""
        if time.monotonic() - self._asked < FRESH:
            return False
        self._asked = time.monotonic()
        with suppress(RetroError):
            number, listed = newest(self.place)
            return (number, listed.stamp) != (self.snapshot.number, self.stamp)
        return False


_opened: dict[Path, View] = {}


def view_at(root: Path) -> View:
    if root not in _opened:
        _opened[root] = View(root)
    return _opened[root]


def view_of(path: Path) -> View | None:
    """The view that a file belongs to, if it is one's."""
    for folder in path.absolute().parents:
        if folder in _opened or (folder / VIEW_FILE).is_file():
            return view_at(folder)
    return None


def open_view(url: str) -> Path:
    """The folder of the newest snapshot behind a URL.

    Raises NotBuiltYet if there is none, RemoteError, IntegrityError, ConfigError and DiskFull.
    """
    place = Place(url)
    number, listed = newest(place)
    name = hashlib.sha256(f"{place.url}\n{number}\n{listed.stamp}".encode()).hexdigest()[:32]
    root = cache_folder() / "remote" / "views" / name
    is_new = not root.is_dir()
    made_once(root, partial(_make, place, number, listed, root))
    view = view_at(root)
    view.fetch(root / name for name in view.snapshot.files if _at_once(name))
    if is_new:
        _drop_older(view)
    return root


def newest(place: Place) -> tuple[int, Listed]:
    """The number of the newest snapshot. Raises NotBuiltYet, RemoteError."""
    keys = place.listed(SNAPSHOTS)
    numbers = snapshot_numbers(keys)
    if not numbers:
        raise NotBuiltYet(
            f"{place.url} is not a retrieval database", f"push one there: retro push DB {place.url}"
        )
    return numbers[-1], keys[snapshot_key(numbers[-1])]


def read_snapshot(place: Place, number: int, listed: Listed) -> Snapshot:
    """Raises IntegrityError for one that no push wrote, RemoteError."""
    key = snapshot_key(number)
    where = f"{place.url}/{key}"
    if listed.bytes > _MOST:
        raise IntegrityError(f"{where} has {listed.bytes:,} bytes", "that is no snapshot")
    snapshot = Snapshot.from_bytes(place.read([Range(key, 0, listed.bytes)])[0], where)
    if snapshot.number != number or any(s.push > number for s in snapshot.files.values()):
        raise IntegrityError(f"{where} claims another number", "push the database again")
    return snapshot


def _make(place: Place, number: int, listed: Listed, root: Path, folder: Path) -> None:
    snapshot = read_snapshot(place, number, listed)
    objects = ObjectCache()
    with objects.disk_errors():
        for name, stored in snapshot.files.items():
            link = folder / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(objects.whole(stored.sha256))
        value = {
            "url": place.url,
            "stamp": listed.stamp,
            "snapshot": json.loads(snapshot.to_bytes()),
        }
        write_json(folder / VIEW_FILE, value)


def _at_once(name: str) -> bool:
    if name.startswith("filters/"):
        return True
    file = name.rpartition("/")[2]
    return not file.startswith(_LATER) and (file.endswith(_AT_ONCE) or "." not in file)


def _drop_older(view: View) -> None:
    """Remove views of older snapshots that nobody has open, and the objects that no view needs: a
    purged text does not stay in the cache of who opens the database again."""
    needed = set[str]()
    for root in view.root.parent.glob("[0-9a-f]*[0-9a-f]"):
        with suppress(RetroError, OSError):
            other = view if root == view.root else View(root)
            if other.url == view.url and other.snapshot.number < view.snapshot.number:
                with suppress(LockedError):
                    removed(root)
                    _opened.pop(root, None)
                    continue
            needed |= {stored.sha256 for stored in other.snapshot.files.values()}
    view.cache.drop_others(needed)
