"""Parts of remote files: blocks of 16 KiB, each checked by its digest, kept in a sparse file.

A digest is the first 16 bytes of a block's sha256. What the sparse file holds is known by the
digests alone, so several processes may write it, and a power cut does it no harm.
"""

from __future__ import annotations

import hashlib
import io
import os
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from retro_cli.errors import IntegrityError
from retro_cli.store.remote.objects import BLOCKS, SOME, ObjectCache
from retro_cli.store.remote.place import Place, Range
from retro_cli.store.remote.snapshot import Stored

BLOCK = 1 << 14
DIGEST = 16
WHOLE = 1 << 18  # files of so many bytes are not worth dividing
_AT_ONCE = 1 << 26  # bytes of one round of requests
_READ = 1 << 20


def digest(block: bytes) -> bytes:
    return hashlib.sha256(block).digest()[:DIGEST]


def hashed(path: Path) -> tuple[str, bytes]:
    """The sha256 of a file in hex, and the digests of its blocks."""
    whole, blocks = hashlib.sha256(), bytearray()
    with path.open("rb", buffering=0) as file:
        while data := file.read(_READ):
            whole.update(data)
            for start in range(0, len(data), BLOCK):
                blocks += digest(data[start : start + BLOCK])
    return whole.hexdigest(), bytes(blocks)


class Missing(NamedTuple):
    """The blocks [first, last) of a file, which are not here."""

    file: BlockFile
    first: int
    last: int


class BlockFile(io.RawIOBase):
    """A remote file of which only what is read is fetched. Read-only; seeks."""

    def __init__(self, place: Place, cache: ObjectCache, stored: Stored) -> None:
        self.place, self.cache, self.stored = place, cache, stored
        self._digests = b""
        self._seen: set[int] = set()
        self._at = 0
        with cache.disk_errors():
            cache.folder.mkdir(parents=True, exist_ok=True)
            path = cache.folder / f"{stored.sha256}{SOME}"
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        weakref.finalize(self, os.close, self._descriptor)
        cache.hold(path)

    def missing(self, start: int, stop: int) -> list[Missing]:
        """Runs of blocks that hold the bytes [start, stop) and are not here."""
        runs: list[Missing] = []
        for block in range(start // BLOCK, -(-min(stop, self.stored.bytes) // BLOCK)):
            if block in self._seen or self._stands(block):
                continue
            if runs and runs[-1].last == block:
                runs[-1] = runs[-1]._replace(last=block + 1)
            else:
                runs.append(Missing(self, block, block + 1))
        return runs

    def _stands(self, block: int) -> bool:
        if not self._digests and not self._load_digests():
            return False
        expected = self._digests[block * DIGEST : (block + 1) * DIGEST]
        good = digest(os.pread(self._descriptor, BLOCK, block * BLOCK)) == expected
        if good:
            self._seen.add(block)
        return good

    def _load_digests(self) -> bool:
        path = self.cache.folder / f"{self.stored.sha256}{BLOCKS}"
        try:
            data = path.read_bytes()
        except OSError:
            return False
        return self._take_digests(data)

    def _take_digests(self, data: bytes) -> bool:
        good = hashlib.sha256(data).hexdigest() == self.stored.blocks
        self._digests = data if good else b""
        return good

    def digests_asked(self) -> list[Range]:
        """The object with the digests, if they are not here."""
        if self._digests or self._load_digests():
            return []
        size = DIGEST * -(-self.stored.bytes // BLOCK)
        return [Range(self.stored.blocks_key, 0, size)]

    def keep_digests(self, data: bytes) -> None:
        """Raises IntegrityError for others than the snapshot names."""
        if not self._take_digests(data):
            raise _damaged(self.place, self.stored.blocks_key)
        self.cache.put(f"{self.stored.sha256}{BLOCKS}", data)

    def bytes_of(self, run: Missing) -> Range:
        return Range(self.stored.key, run.first * BLOCK, min(run.last * BLOCK, self.stored.bytes))

    def keep(self, run: Missing, data: bytes) -> None:
        """Raises IntegrityError for other bytes than were pushed."""
        for number, block in enumerate(range(run.first, run.last)):
            piece = data[number * BLOCK : (number + 1) * BLOCK]
            if digest(piece) != self._digests[block * DIGEST : (block + 1) * DIGEST]:
                raise _damaged(self.place, self.stored.key)
        with self.cache.disk_errors():
            os.pwrite(self._descriptor, data, run.first * BLOCK)
        self._seen.update(range(run.first, run.last))

    def pread(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop), fetched if need be."""
        load([(self, start, stop)])
        return os.pread(self._descriptor, stop - start, start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def size(self) -> int:
        return self.stored.bytes

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.stored.bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer).cast("B")
        stop = min(self._at + len(room), self.stored.bytes)
        data = self.pread(self._at, stop) if stop > self._at else b""
        room[: len(data)] = data
        self._at += len(data)
        return len(data)


def load(wanted: Iterable[tuple[BlockFile, int, int]]) -> None:
    """Fetch what is not here of some byte ranges [start, stop) of some files, all at once.

    Raises RemoteError, IntegrityError, DiskFull, and ConfigError where the cache is too small.
    """
    runs = [run for file, start, stop in wanted for run in file.missing(start, stop)]
    batch: list[Missing] = []
    size = 0
    for piece in dict.fromkeys(piece for run in runs for piece in _pieces(run)):
        batch.append(piece)
        size += (piece.last - piece.first) * BLOCK
        if size >= _AT_ONCE:
            _fetch(batch)
            batch, size = [], 0
    if batch:
        _fetch(batch)


def _pieces(run: Missing) -> Iterable[Missing]:
    step = _AT_ONCE // 8 // BLOCK
    for first in range(run.first, run.last, step):
        yield run._replace(first=first, last=min(first + step, run.last))


def _fetch(runs: Sequence[Missing]) -> None:
    place, cache = runs[0].file.place, runs[0].file.cache
    cache.make_room(sum((run.last - run.first) * BLOCK for run in runs))
    files = list(dict.fromkeys(run.file for run in runs))
    digests = [(file, each) for file in files for each in file.digests_asked()]
    asked = [each for _, each in digests] + [run.file.bytes_of(run) for run in runs]
    found = place.read(asked)
    for (file, _), data in zip(digests, found, strict=False):
        file.keep_digests(data)
    for run, data in zip(runs, found[len(digests) :], strict=True):
        run.file.keep(run, data)


def _damaged(place: Place, key: str) -> IntegrityError:
    return IntegrityError(
        f"{place.url}/{key} has other bytes than were pushed (sha256 differs)",
        "push the database again with --repair, from a folder that is whole",
    )
