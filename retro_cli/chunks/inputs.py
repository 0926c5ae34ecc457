"""The table of input files: what each was when it was read, and which parts hold its documents.

A rerun trusts a file whose size and modification time are as recorded, and hashes only those
that the two call in doubt. There may be millions of files, so tables and listings are never held:
they are read in the order of their uris, side by side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Set
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from retro_cli.corpus import InputFile
from retro_cli.store.atomic import replacing
from retro_cli.store.files import FileRecord
from retro_cli.store.scratch import Scratch, SortedSpool
from retro_cli.store.tables import read_batches

SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sha256", pa.string()),
        ("items", pa.list_(pa.int32())),
        ("vanished", pa.int64()),
    ]
)
NEW, CHANGED, UNCHANGED, MISSING = "new", "changed", "unchanged", "missing"
_ROWS = 1 << 14  # files that are read or written at once


class KnownFile(NamedTuple):
    """An input file as it was read. ``items`` are the plan numbers whose parts hold it.

    ``vanished`` counts documents that are kept although the file no longer has them.
    """

    uri: str
    size: int
    mtime_ns: int
    sha256: str
    items: tuple[int, ...] = ()
    vanished: int = 0


class Compared(NamedTuple):
    """A file today against the table: ``now`` is what to record of it. No path: it is missing."""

    state: str
    now: KnownFile
    before: KnownFile | None = None
    path: str = ""


class _Named(Protocol):
    @property
    def uri(self) -> str: ...


Left = TypeVar("Left", bound=_Named)
Right = TypeVar("Right", bound=_Named)


def paired(
    left: Iterable[Left], right: Iterable[Right]
) -> Iterator[tuple[Left | None, Right | None]]:
    """Both of two lists side by side: None where one lacks a uri that the other has.

    Each is sorted by uri and has each uri once.
    """
    lefts, rights = iter(left), iter(right)
    mine, theirs = next(lefts, None), next(rights, None)
    while mine is not None or theirs is not None:
        if mine is not None and (theirs is None or mine.uri < theirs.uri):
            yield mine, None
            mine = next(lefts, None)
        elif theirs is not None and (mine is None or theirs.uri < mine.uri):
            yield None, theirs
            theirs = next(rights, None)
        else:
            yield mine, theirs
            mine, theirs = next(lefts, None), next(rights, None)


def compare_inputs(
    listed: Iterable[InputFile],
    known: Iterable[KnownFile],
    reread: Callable[[KnownFile], bool],
    sha256: Callable[[InputFile], str],
) -> Iterator[Compared]:
    """What became of each file: new, changed, unchanged or missing. Both sides are sorted by uri.

    A file that ``reread`` names counts as changed, whatever its bytes: some of its documents
    have to be found again. ``sha256`` is called for new files and for those that size and time
    call in doubt.
    """
    for file, before in paired(listed, known):
        if file is not None and before is not None:
            same = before.size == file.size and before.mtime_ns == file.mtime_ns
            digest = before.sha256 if same and file.mtime_ns else ""
            digest = digest or sha256(file)
            now = before  # a million of these are not copied for nothing
            if not same or digest != before.sha256:
                now = before._replace(size=file.size, mtime_ns=file.mtime_ns, sha256=digest)
            changed = digest != before.sha256 or reread(before)
            yield Compared(CHANGED if changed else UNCHANGED, now, before, file.path)
        elif file is not None:
            now = KnownFile(file.uri, file.size, file.mtime_ns, sha256(file))
            yield Compared(NEW, now, None, file.path)
        elif before is not None:
            yield Compared(MISSING, before, before)


def hash_input(stream_of: Callable[[InputFile], Iterable[bytes]], file: InputFile) -> str:
    digest = hashlib.sha256()
    for block in stream_of(file):
        digest.update(block)
    return digest.hexdigest()


def _pair(values: list[Any]) -> tuple[str, int]:
    uri, item = values
    return uri, item


class RecoveredInputs:
    """The table again from (uri, item) pairs of the parts, with nothing known of the files.

    A size of -1 never matches, so that each file is compared by its documents when it is named.
    """

    def __init__(self, found: Iterable[tuple[str, int]], scratch: Scratch) -> None:
        self._found: SortedSpool[tuple[str, int]] = SortedSpool(scratch, _pair)
        self._found.extend(found)

    def __iter__(self) -> Iterator[KnownFile]:
        for uri, pairs in groupby(self._found, key=itemgetter(0)):
            yield KnownFile(uri, -1, 0, "", tuple(dict.fromkeys(item for _, item in pairs)))


def doubted(file: KnownFile, damaged_items: Set[int]) -> KnownFile:
    """The file; if it lost documents, marked so that it is read when next named."""
    lost = not damaged_items.isdisjoint(file.items)
    return file._replace(size=-1, sha256="") if lost else file


class InputTable:
    """The files of a stored table, read anew each time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[KnownFile]:
        """Raises IntegrityError."""
        for batch in read_batches(self._path, _ROWS):
            columns = (batch[name].to_pylist() for name in SCHEMA.names)
            for uri, size, mtime_ns, sha256, items, vanished in zip(*columns, strict=True):
                yield KnownFile(uri, size, mtime_ns, sha256, tuple(items), vanished)


def load_inputs(folder: Path, record: FileRecord | None) -> Iterable[KnownFile]:
    """The files by uri, as often as wanted."""
    return InputTable(folder / record.name) if record is not None else ()


def save_inputs(folder: Path, files: Iterable[KnownFile]) -> FileRecord:
    """Write the table of files, sorted by uri. Equal tables have equal bytes, and names."""
    rest = iter(files)
    blocks = iter(lambda: list(islice(rest, _ROWS)), [])
    return write_table(folder, "inputs", SCHEMA, map(_table, blocks))


def _table(files: list[KnownFile]) -> pa.Table:
    columns = zip(*files, strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def write_table(
    folder: Path, stem: str, schema: pa.Schema, blocks: Iterable[pa.Table]
) -> FileRecord:
    """Write a side table as ``<stem>-<hash8>.parquet``, atomically."""
    staging = folder / f"{stem}.staging"
    with (
        replacing(staging) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for block in blocks:
            writer.write_table(block)
    record = FileRecord.of(staging)
    name = f"{stem}-{record.sha256[:8]}.parquet"
    staging.rename(folder / name)
    return FileRecord(name, record.bytes, record.sha256)
