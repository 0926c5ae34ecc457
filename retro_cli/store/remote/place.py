"""The objects below one URL: read in batches, written, created once, listed, removed; counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from retro_cli.errors import IntegrityError, UsageError
from retro_cli.store.layout import is_remote
from retro_cli.store.remote.systems import file_system, reaching

_NO_BUCKET = ("s3:///", "s3a:///", "gs:///", "gcs:///")
_UNREADABLE = "see whether the server serves parts of files (range requests)"


@dataclass
class Traffic:
    """What this process asked of a place, and how many bytes of files it got."""

    requests: int = 0
    bytes: int = 0


class Range(NamedTuple):
    """The bytes [start, stop) of an object."""

    key: str
    start: int
    stop: int


class Listed(NamedTuple):
    """stamp: differs when other bytes are put under the same key."""

    bytes: int
    stamp: str


TRAFFIC: dict[str, Traffic] = {}  # by URL


class Place:
    """Objects are known by keys, paths below the URL. All methods raise RemoteError."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        if not is_remote(url):
            raise UsageError(f"{url} is no URL", "as in s3://bucket/wiki.db")
        # What is left of s3:// would be a folder here; s3:///x has a path, and nothing it is in.
        if not is_remote(self.url) or self.url.startswith(_NO_BUCKET):
            raise UsageError(f"{url} names no bucket", "as in s3://bucket/wiki.db")
        with reaching("reach", self.url):
            self._system, root = file_system(self.url)
        self._root = root.rstrip("/")
        if not self._root.strip("/"):
            raise UsageError(f"{url} names no bucket", "as in s3://bucket/wiki.db")
        self.traffic = TRAFFIC.setdefault(self.url, Traffic())

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def read(self, wanted: Sequence[Range]) -> list[bytes]:
        """The bytes of each range; where the file system can, all are under way at once.

        Raises IntegrityError for an object that ends too early.
        """
        asked = [each for each in wanted if each.stop > each.start]
        with reaching("read", self.url):
            found = self._system.cat_ranges(
                [self._path(each.key) for each in asked],
                [each.start for each in asked],
                [each.stop for each in asked],
                on_error="return",
            )
        got: dict[Range, bytes] = {}
        for each, data in zip(asked, found, strict=True):
            with reaching("read", f"{self.url}/{each.key}"):
                if isinstance(data, Exception):
                    raise data
            self.traffic.requests += 1
            self.traffic.bytes += len(data)
            if len(data) != each.stop - each.start:
                raise IntegrityError(
                    f"{self.url}/{each.key} gave {len(data):,} bytes of {each.stop - each.start:,}",
                    _UNREADABLE + "; if it is damaged, push the database again with --repair",
                )
            got[each] = bytes(data)
        return [got.get(each, b"") for each in wanted]

    def upload(self, files: Sequence[tuple[Path, str]]) -> None:
        """Put files under keys; what is read of an object is whole or not there."""
        if files:
            with reaching("write to", self.url):
                self._system.put(
                    [str(path) for path, _ in files], [self._path(k) for _, k in files]
                )

    def write(self, objects: Mapping[str, bytes]) -> None:
        if objects:
            with reaching("write to", self.url):
                self._system.pipe({self._path(key): data for key, data in objects.items()})

    def create(self, key: str, data: bytes) -> bool:
        """Put an object where there is none yet; False if another was there, or came first.

        The condition is the store's own (If-None-Match on S3, ifGenerationMatch on GCS). Its
        refusal has another name in each of them, and an answer may be lost on its way: so what
        stands there afterwards decides.
        """
        failed: Exception | None = None
        try:
            self._system.pipe_file(self._path(key), data, mode="create")
        except Exception as error:
            failed = error
        if failed is None:
            return True
        with reaching("write to", self.url):
            self._system.invalidate_cache()
            try:
                there = self._system.cat_file(self._path(key))
            except FileNotFoundError:
                raise failed from None
        return bool(there == data)

    def refuses_to_replace(self, key: str, data: bytes) -> bool:
        """Whether the store heeds the condition of ``create``, tried with the very bytes that
        stand there."""
        try:
            self._system.pipe_file(self._path(key), data, mode="create")
        except Exception:  # whatever its name is
            return True
        return False

    def listed(self, folder: str) -> dict[str, Listed]:
        """The objects below a folder, by key; none if there is no such folder."""
        with reaching("list", self.url):
            self._system.invalidate_cache()
            found = self._system.find(self._path(folder), detail=True)
        self.traffic.requests += 1
        known = {}
        for path, info in found.items():
            key = folder + path.partition(self._path(folder))[2]
            known[key] = Listed(int(info.get("size") or 0), _stamp(info))
        return known

    def remove(self, keys: Sequence[str]) -> None:
        if keys:
            with reaching("remove from", self.url):
                self._system.rm([self._path(key) for key in keys])


def _stamp(info: Mapping[str, object]) -> str:
    for name in ("ETag", "generation", "md5Hash", "etag", "created", "mtime"):
        if value := info.get(name):
            return str(value)
    return ""
