"""WARC, with warcio: each HTML response is a document, its key the URI it was fetched from."""

from __future__ import annotations

import json
from io import BufferedReader
from typing import Any, BinaryIO, cast

from retro_cli.corpus import reading
from retro_cli.corpus.document import Document
from retro_cli.corpus.fields import require_text, with_title
from retro_cli.corpus.formats.html import decode_html, extract, web_encoding
from retro_cli.corpus.reading import Reading, Records
from retro_cli.corpus.streams import read_up_to
from retro_cli.errors import MissingExtra, UnreadableInput


def documents(work: Reading) -> Records:
    """Position is the record's ordinal in the file. Raises MissingExtra without warcio."""
    try:
        from warcio.archiveiterator import ArchiveIterator
    except ImportError as error:
        raise MissingExtra("reading WARC files", "warc") from error
    position, last = -1, work.last_wanted()
    with work.open() as stream:
        records = iter(ArchiveIterator(_Patient(stream)))
        while position < last:
            position += 1
            try:
                record = next(records, None)
            except Exception as error:  # warcio raises errors of several kinds
                yield work.reject(position, f"record {position}", _broken(error))
                return
            if record is None:
                return
            if not (work.wanted(position) and _is_page(record)):
                continue
            try:
                yield _document(work, record, position)
            except UnreadableInput as error:
                uri = record.rec_headers.get_header("WARC-Target-URI") or ""
                yield work.reject(position, f"record {position}", error, uri)


class _Patient:
    """A stream whose ``read`` gives what there is before it raises, as warcio needs it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = cast(BufferedReader, stream)

    def read(self, size: int) -> bytes:
        return self._stream.read1(size)

    def tell(self) -> int:
        return 0


def _broken(error: Exception) -> UnreadableInput:
    if isinstance(error, UnreadableInput):
        return error
    return UnreadableInput(f"broken WARC: {error}")


def _is_page(record: Any) -> bool:
    if record.rec_type != "response" or record.http_headers is None:
        return False
    kind = record.http_headers.get_header("Content-Type") or ""
    return kind.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")


def _document(work: Reading, record: Any, position: int) -> Document:
    headers = record.rec_headers
    uri = headers.get_header("WARC-Target-URI") or ""
    title, text = extract(_markup(work, record))
    text = require_text(text)
    if work.options.with_title:
        text = with_title(title, text)
    fetched = headers.get_header("WARC-Date")
    metadata = json.dumps({"date": fetched}, separators=(",", ":")) if fetched else "{}"
    return Document(work.file.uri, uri, text, title, uri or work.file.uri, metadata, position)


def _markup(work: Reading, record: Any) -> str:
    try:
        data = read_up_to(record.content_stream(), reading.MAX_RECORD + 1)
    except UnreadableInput:
        raise
    except Exception as error:
        raise UnreadableInput(f"broken WARC record: {error}") from error
    if len(data) > reading.MAX_RECORD:
        raise UnreadableInput(f"a page of more than {reading.MAX_RECORD >> 20} MiB")
    kind = record.http_headers.get_header("Content-Type") or ""
    charset = kind.partition("charset=")[2].partition(";")[0].strip("\"' ")
    return decode_html(data, web_encoding(charset) if charset else work.options.encoding)
