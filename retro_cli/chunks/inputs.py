"""The table of input files: what each was when it was read, and which parts hold its documents.

A rerun trusts a file whose size and modification time are as recorded, and hashes only those
that the two call in doubt. All decisions here are pure; the stage does the reading.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from retro_cli.corpus import InputFile
from retro_cli.store.atomic import replacing
from retro_cli.store.files import FileRecord
from retro_cli.store.tables import read_columns

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


@dataclass(frozen=True, slots=True)
class KnownFile:
    """An input file as it was read. ``items`` are the plan numbers whose parts hold it.

    ``vanished`` counts documents that are kept although the file no longer has them.
    """

    uri: str
    size: int
    mtime_ns: int
    sha256: str
    items: tuple[int, ...] = ()
    vanished: int = 0


@dataclass
class Comparison:
    """Today's inputs against the table. Every known or listed file is in exactly one list."""

    new: list[KnownFile] = field(default_factory=list)
    changed: list[KnownFile] = field(default_factory=list)
    unchanged: list[KnownFile] = field(default_factory=list)
    missing: list[KnownFile] = field(default_factory=list)


def compare_inputs(
    listed: Mapping[str, InputFile],
    known: Mapping[str, KnownFile],
    reread: Callable[[KnownFile], bool],
    sha256: Callable[[InputFile], str],
) -> Comparison:
    """Sort files into new, changed, unchanged and missing.

    A file that ``reread`` names counts as changed, whatever its bytes: some of its documents
    have to be found again. ``sha256`` is called for new files and for those that size and time
    call in doubt.
    """
    result = Comparison()
    for file in listed.values():
        before = known.get(file.uri)
        if before is None:
            result.new.append(KnownFile(file.uri, file.size, file.mtime_ns, sha256(file)))
            continue
        same = (before.size, before.mtime_ns) == (file.size, file.mtime_ns)
        trusted = same and file.mtime_ns and before.sha256
        now = before.sha256 if trusted else sha256(file)
        entry = before  # a million of these are not copied for nothing
        if not same or now != before.sha256:
            entry = replace(before, size=file.size, mtime_ns=file.mtime_ns, sha256=now)
        if now == before.sha256 and not reread(before):
            result.unchanged.append(entry)
        else:
            result.changed.append(entry)
    result.missing = [entry for uri, entry in known.items() if uri not in listed]
    return result


def hash_input(stream_of: Callable[[InputFile], Iterable[bytes]], file: InputFile) -> str:
    digest = hashlib.sha256()
    for block in stream_of(file):
        digest.update(block)
    return digest.hexdigest()


def recover_inputs(uris: Iterable[tuple[str, int]]) -> dict[str, KnownFile]:
    """The table again from (uri, item) pairs of the parts, with nothing known of the files.

    A size of -1 never matches, so that each file is compared by its documents when it is named.
    """
    items: dict[str, set[int]] = {}
    for uri, item in uris:
        items.setdefault(uri, set()).add(item)
    return {uri: KnownFile(uri, -1, 0, "", tuple(sorted(found))) for uri, found in items.items()}


def doubted(files: Iterable[KnownFile], damaged_items: Set[int]) -> list[KnownFile]:
    """The files, with those that lost documents marked so that they are read when next named."""
    return [
        replace(f, size=-1, sha256="") if not damaged_items.isdisjoint(f.items) else f
        for f in files
    ]


def save_inputs(folder: Path, files: Sequence[KnownFile]) -> FileRecord:
    """Write the table, named by its content; equal tables have equal bytes."""
    ordered = sorted(files, key=lambda file: file.uri)
    columns = [
        pa.array([getattr(file, name) for file in ordered], SCHEMA.field(name).type)
        for name in SCHEMA.names
    ]
    table = pa.Table.from_arrays(columns, schema=SCHEMA)
    return write_table(folder, "inputs", table)


def write_table(folder: Path, stem: str, table: pa.Table) -> FileRecord:
    """Write a small side table as ``<stem>-<hash8>.parquet``, atomically."""
    staging = folder / f"{stem}.staging"
    with replacing(staging) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    record = FileRecord.of(staging)
    name = f"{stem}-{record.sha256[:8]}.parquet"
    staging.rename(folder / name)
    return FileRecord(name, record.bytes, record.sha256)


def load_inputs(folder: Path, record: FileRecord | None) -> dict[str, KnownFile]:
    if record is None:
        return {}
    known: dict[str, KnownFile] = {}
    shared: dict[tuple[int, ...], tuple[int, ...]] = {}  # many small files are one item
    for batch in read_columns(folder / record.name).to_batches(max_chunksize=1 << 14):
        columns = (batch[name].to_pylist() for name in SCHEMA.names)
        for uri, size, mtime_ns, sha256, found, vanished in zip(*columns, strict=True):
            items = tuple(found)
            items = shared.setdefault(items, items)
            known[uri] = KnownFile(uri, size, mtime_ns, sha256, items, vanished)
    return known
