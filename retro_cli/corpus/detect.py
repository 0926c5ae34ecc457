"""What a file is: by its first bytes where they are telling, else by its name."""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass

from retro_cli.corpus.encoding import effective_encoding, glance, is_line_safe
from retro_cli.corpus.streams import MAGIC, decompressed_head
from retro_cli.errors import UnreadableInput

KINDS = (
    "text", "markdown", "rst", "html", "jsonl", "json", "csv", "tsv",
    "parquet", "arrow", "pdf", "warc",
)  # fmt: skip

_SUFFIXES = {
    "txt": "text", "text": "text", "log": "text",
    "md": "markdown", "markdown": "markdown", "mdx": "markdown",
    "rst": "rst", "html": "html", "htm": "html", "xhtml": "html",
    "jsonl": "jsonl", "ndjson": "jsonl", "json": "json", "csv": "csv", "tsv": "tsv", "tab": "tsv",
    "parquet": "parquet", "pq": "parquet", "arrow": "arrow", "feather": "arrow", "ipc": "arrow",
    "pdf": "pdf", "warc": "warc",
}  # fmt: skip
_COMPRESSED = {"gz": "gz", "gzip": "gz", "zst": "zst", "zstd": "zst", "bz2": "bz2", "xz": "xz"}
_BINARY = {"parquet": "Parquet", "arrow": "Arrow", "pdf": "PDF", "warc": "WARC"}
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
_ARROW_STREAM = b"\xff\xff\xff\xff"


@dataclass(frozen=True)
class Format:
    """``kind`` is one of KINDS; ``compression`` is "" or one of gz, zst, bz2, xz."""

    kind: str
    compression: str = ""


def detect(head: bytes, name: str) -> Format:
    """The format of a file from its first 64 KiB, as stored, and its name.

    Raises UnreadableInput for archives and for binary data of no known kind.
    """
    compression, head = peel(head)
    return Format(detect_content(head, inner_suffix(name)), compression)


def peel(head: bytes) -> tuple[str, bytes]:
    """The compression of a file's head, and the head below it."""
    for compression, magic in MAGIC.items():
        if head.startswith(magic):
            return compression, decompressed_head(head, compression)
    return "", head


def inner_suffix(name: str) -> str:
    """The suffix that tells the format: "jsonl" for ``wiki.jsonl.gz``."""
    stem = posixpath.basename(name.partition("?")[0]).lower()
    parts = stem.split(".")
    if len(parts) > 2 and parts[-1] in _COMPRESSED:
        parts.pop()
    return parts[-1] if len(parts) > 1 else ""


def detect_content(head: bytes, suffix: str) -> str:
    """The kind of decompressed content. Raises UnreadableInput like ``detect``."""
    kind = _by_magic(head, suffix)
    if kind:
        return kind
    named = _SUFFIXES.get(suffix, "")
    if named in _BINARY:
        raise UnreadableInput(f"not a {_BINARY[named]} file, whatever its name says")
    text = _as_text(head)
    if named in ("json", "jsonl"):
        return _json_kind(text, named)
    return named or _by_text(text)


def _by_magic(head: bytes, suffix: str) -> str:
    if head.startswith(_ARCHIVES) or head[257:262] == b"ustar":
        raise UnreadableInput("an archive; archives are not read", "unpack it first")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"ARROW1"):
        return "arrow"
    if head.startswith(_ARROW_STREAM) and _SUFFIXES.get(suffix) == "arrow":
        return "arrow"
    if head.startswith(b"%PDF-"):
        return "pdf"
    return "warc" if head.startswith(b"WARC/1.") else ""


def _as_text(head: bytes) -> str:
    """The head as text, for looking only. Raises UnreadableInput if it is binary."""
    encoding = effective_encoding(head, "utf-8")
    if is_line_safe(encoding) and b"\0" in head:
        raise UnreadableInput("binary data of no known format", "leave it out, or convert it")
    return glance(head, encoding)


def _json_kind(text: str, named: str) -> str:
    """JSON lines, or one JSON text: an array, or an object over several lines."""
    start = text.lstrip()
    if start.startswith("["):
        return "json"
    if named == "jsonl" or not start.startswith("{"):
        return named
    first, newline, _ = start.partition("\n")
    return "jsonl" if not newline or _is_object(first) else "json"


def _by_text(text: str) -> str:
    """The kind of a text whose name does not tell."""
    start = text.lstrip()
    if start.startswith("{"):
        first, newline, rest = start.partition("\n")
        if _is_object(first):
            return "jsonl"
        return "json" if re.match(r'\{\s*"', start) and newline and rest else "text"
    if re.match(r"\[\s*\{\s*[\"}]", start):
        return "json"
    if re.match(r"<!doctype html|<html[\s>]", start, re.IGNORECASE):
        return "html"
    return "tsv" if start.startswith("id\ttext\ttitle") else "text"


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
