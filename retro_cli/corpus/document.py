"""What reading a corpus gives: documents, and the records that had to be set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

EXCERPT = 200  # characters


@dataclass(frozen=True, slots=True)
class Document:
    """One text of the corpus. Every character offset elsewhere refers to ``text``.

    ``uri`` names the file it came from and ``key`` the document: the record's own id, "" where it
    has none, and the uri for a file that is one document. ``metadata`` is a JSON object with
    sorted keys. ``position`` is where in the file the record begins: a byte offset (JSONL, CSV
    and TSV, in the decompressed stream), a row number (Parquet, Arrow), an ordinal (JSON arrays,
    WARC), else 0.
    """

    uri: str
    key: str
    text: str
    title: str = ""
    source: str = ""
    metadata: str = "{}"
    position: int = 0


class Rejected(NamedTuple):
    """A record, or a whole file, that was set aside. ``where`` is for people ("line 71203")."""

    uri: str
    position: int
    where: str
    reason: str
    excerpt: str


def excerpt(record: str | bytes) -> str:
    """The beginning of a bad record, safe to print and to encode, at most 200 characters."""
    head = record[: EXCERPT * 4]
    if isinstance(head, str):
        head = head.encode("utf-8", "backslashreplace")
    shown = head.decode("utf-8", "backslashreplace")[:EXCERPT]
    return "".join(letter if letter.isprintable() else " " for letter in shown).strip()
