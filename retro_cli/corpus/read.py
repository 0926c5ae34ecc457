"""Files to pieces, and pieces to documents: the two entry points of the package."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator

from retro_cli.corpus.detect import KINDS, Format, detect_content, inner_suffix, peel
from retro_cli.corpus.document import Document, Rejected
from retro_cli.corpus.encoding import effective_encoding, glance, is_line_safe
from retro_cli.corpus.inputs import InputFile, Slice
from retro_cli.corpus.reading import Reader, Reading, ReadOptions
from retro_cli.corpus.streams import head_of
from retro_cli.errors import MissingExtra, RetroError, UnreadableInput, UsageError

__all__ = ["ReadOptions", "Slice", "format_of", "read", "split"]

_READERS = {
    "text": "text", "markdown": "text", "rst": "text", "html": "html",
    "jsonl": "jsonl", "json": "json_array", "csv": "table", "tsv": "table",
    "parquet": "columnar", "arrow": "columnar", "pdf": "pdf", "warc": "warc",
}  # fmt: skip
_EXTRAS = {"pdf": ("PDF", "pypdf"), "warc": ("WARC", "warcio")}


def format_of(file: InputFile, options: ReadOptions) -> Format:
    """What a file is. Raises UnreadableInput; UsageError for a bad option; MissingExtra."""
    if options.format and options.format not in KINDS:
        raise UsageError(f"unknown format {options.format}", "one of " + ", ".join(KINDS))
    effective_encoding(b"", options.encoding)
    compression, head = peel(head_of(file))
    kind = options.format
    if not kind:
        encoding = effective_encoding(head, options.encoding)
        if not is_line_safe(encoding):
            head = glance(head, encoding).encode("utf-8", "ignore")
        kind = detect_content(head, inner_suffix(file.uri))
    if kind in _EXTRAS and importlib.util.find_spec(_EXTRAS[kind][1]) is None:
        raise MissingExtra(f"reading {_EXTRAS[kind][0]} files ({file.uri})", kind)
    return Format(kind, compression)


def split(file: InputFile, options: ReadOptions, target_bytes: int) -> list[Slice]:
    """Pieces of about ``target_bytes`` that together hold each record of the file once.

    Looks only at the head, and at the footer of a Parquet or Arrow file. What cannot be split,
    or not be read at all, is one piece. Raises UsageError or MissingExtra.
    """
    whole = [Slice(file)]
    try:
        found = format_of(file, options)
        if found.compression or file.size <= target_bytes:
            return whole
        if found.kind in ("parquet", "arrow"):
            from retro_cli.corpus.formats.columnar import split_groups

            return split_groups(file, target_bytes)
        reading = Reading(whole[0], "", options)
        if not _has_line_records(found.kind, reading):
            return whole
    except UnreadableInput:
        return whole
    count = -(-file.size // max(target_bytes, 1))
    starts = [file.size * i // count for i in range(count)]
    stops = [*starts[1:], None]
    return [Slice(file, start, stop) for start, stop in zip(starts, stops, strict=True)]


def _has_line_records(kind: str, reading: Reading) -> bool:
    """Whether every line is a record, so that a reader can start in the middle."""
    if kind not in ("jsonl", "tsv") or not is_line_safe(reading.encoding()):
        return False
    from retro_cli.corpus.formats.table import is_collection

    return kind == "jsonl" or is_collection(reading)


def read(piece: Slice, options: ReadOptions) -> Iterator[Document | Rejected]:
    """The documents of a piece, in order, and the records that are none.

    Memory stays flat except for files that are one document. A file that cannot be read is one
    Rejected with ``where="file"``. Raises UsageError for a bad option, MissingExtra, and
    RetroError if the device or the network fails: a later run may find the file readable.
    """
    if piece.only is not None and not piece.only:
        return
    uri = piece.file.uri
    try:
        found = format_of(piece.file, options)
        yield from _reader(found.kind)(Reading(piece, found.compression, options))
    except UnreadableInput as error:
        reason = f"{error.message} ({error.hint})" if error.hint else error.message
        yield Rejected(uri, 0, "file", reason, "")
    except OSError as error:
        raise RetroError(f"cannot read {uri}: {error}", "run the same command again") from error


def _reader(kind: str) -> Reader:
    module = importlib.import_module(f"retro_cli.corpus.formats.{_READERS[kind]}")
    reader: Reader = module.documents
    return reader
