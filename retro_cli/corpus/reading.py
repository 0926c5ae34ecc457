"""What every format reader is given: a piece of a file, the options, and ways to report."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import BinaryIO

from retro_cli.config import fingerprint
from retro_cli.corpus.document import Document, Rejected, excerpt
from retro_cli.corpus.encoding import effective_encoding, is_line_safe, transcoded
from retro_cli.corpus.inputs import InputFile, Slice
from retro_cli.corpus.streams import (
    decompressed_head,
    head_of,
    open_stream,
    read_up_to,
)
from retro_cli.errors import UnreadableInput

MAX_RECORD = 1 << 28  # bytes of one line, one JSON value, one text file

# Raised by one whenever the same file and options would give other documents.
READER_VERSION = 2


@dataclass(frozen=True)
class ReadOptions:
    """How to read. "" means: find out from the content.

    ``with_title`` puts the title and a blank line before a text that does not begin with it.
    """

    format: str = ""
    text_field: str = ""
    id_field: str = ""
    title_field: str = ""
    source_field: str = ""
    encoding: str = "utf-8"
    with_title: bool = False

    def fingerprint(self) -> str:
        """Identifies the settings: equal ones read the same documents from the same bytes."""
        return fingerprint({"reader": READER_VERSION, **asdict(self)})


@dataclass(frozen=True)
class Reading:
    """One piece being read. ``compression`` is "" or one of gz, zst, bz2, xz."""

    piece: Slice
    compression: str
    options: ReadOptions

    @property
    def file(self) -> InputFile:
        return self.piece.file

    def open(self) -> BinaryIO:
        """The file's decompressed bytes, from the beginning."""
        return open_stream(self.file, self.compression)

    def encoding(self) -> str:
        """The file's encoding, by its byte order mark or as declared."""
        return effective_encoding(self.head(), self.options.encoding)

    def head(self) -> bytes:
        """The first decompressed bytes."""
        return decompressed_head(head_of(self.file), self.compression)

    def open_lines(self) -> tuple[BinaryIO, str]:
        """A stream that can be cut at "\\n", and the encoding of its lines."""
        encoding = self.encoding()
        stream = self.open()
        if is_line_safe(encoding):
            return stream, encoding
        return transcoded(stream, encoding), "utf-8"

    def whole(self) -> bytes:
        """All decompressed bytes of a file that is one document, up to MAX_RECORD."""
        with self.open() as stream:
            data = read_up_to(stream, MAX_RECORD + 1)
        if len(data) > MAX_RECORD:
            raise UnreadableInput(
                f"larger than {MAX_RECORD >> 20} MiB as one document", "split it, or use JSONL"
            )
        return data

    def wanted(self, position: int) -> bool:
        only = self.piece.only
        if only is None:
            return True
        at = bisect_left(only, position)
        return at < len(only) and only[at] == position

    def last_wanted(self) -> float:
        """The position after which nothing is wanted any more."""
        only = self.piece.only
        if only is None:
            return float("inf")
        return only[-1] if only else -1

    def reject(
        self, position: int, where: str, error: UnreadableInput, record: str | bytes = b""
    ) -> Rejected:
        return Rejected(self.file.uri, position, where, error.message, excerpt(record))


Records = Iterator[Document | Rejected]
Reader = Callable[[Reading], Records]
