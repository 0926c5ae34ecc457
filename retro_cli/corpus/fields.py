"""Which field of a record is what, and from a record to a Document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from retro_cli.corpus.document import Document, excerpt
from retro_cli.corpus.reading import ReadOptions
from retro_cli.errors import UnreadableInput

# In order of preference. BEIR: _id, title, text. DPR: id, text, title. pyserini: id, contents.
# KILT: wikipedia_id, wikipedia_title, text.
TEXT = (
    "text", "contents", "content", "body", "passage", "passage_text", "document", "abstract",
    "article", "page_content", "raw_content", "markdown", "segment", "chunk",
)  # fmt: skip
ID = (
    "id", "_id", "docid", "doc_id", "pid", "document_id", "passage_id", "docno", "uuid", "key",
    "wikipedia_id",
)  # fmt: skip
TITLE = ("title", "headline", "name", "heading", "subject", "wikipedia_title")
SOURCE = ("source", "url", "uri", "link", "source_url", "path", "file_name", "filename")

MAX_FIELD = 1 << 14  # characters of JSON; larger metadata values are dropped
_REMEMBERED = 256  # different sets of keys


@dataclass(frozen=True, slots=True)
class Roles:
    """The field names that play a part ("" if none), and the rest, sorted."""

    text: str
    id: str
    title: str
    source: str
    rest: tuple[str, ...]


class Fields:
    """Turns the records of one file into documents."""

    def __init__(self, uri: str, options: ReadOptions) -> None:
        self._uri = uri
        self._options = options
        self._roles: dict[tuple[str, ...], Roles] = {}

    def roles(self, names: Iterable[str]) -> Roles:
        """Who plays which part. Raises UnreadableInput if no field is the text."""
        key = tuple(names)
        known = self._roles.get(key)
        if known is None:
            if len(self._roles) >= _REMEMBERED:
                self._roles.clear()
            known = self._roles[key] = choose_roles(key, self._options)
        return known

    def document(self, record: Mapping[str, Any], position: int) -> Document:
        """Raises UnreadableInput with the reason if the record cannot be a document."""
        roles = self.roles(record)
        text = _text(_paragraphs(record, roles.text), roles.text)
        key = _label(record[roles.id]) if roles.id else ""
        title = _label(record[roles.title]) if roles.title else ""
        source = _label(record[roles.source]) if roles.source else ""
        metadata = _metadata(record, roles.rest) if roles.rest else "{}"
        if self._options.with_title:
            text = with_title(title, text)
        for value in (text, key, title, source, metadata):
            if not value.isascii():
                _require_encodable(value)
        return Document(self._uri, key, text, title, source or self._uri, metadata, position)


def choose_roles(names: tuple[str, ...], options: ReadOptions) -> Roles:
    text = _choose(names, options.text_field, TEXT)
    if not text:
        raise UnreadableInput(
            f"has no text column; columns: {_listed(names)}", "name the right one with --text-field"
        )
    key = _choose(names, options.id_field, ID, text)
    title = _choose(names, options.title_field, TITLE, text)
    source = _choose(names, options.source_field, SOURCE, text)
    rest = tuple(sorted(set(names).difference((text, key, title, source))))
    return Roles(text, key, title, source, rest)


def _choose(names: tuple[str, ...], asked: str, usual: tuple[str, ...], taken: str = "") -> str:
    """The asked-for name, which has to be there, or the first usual one, in any case."""
    if asked:
        if asked not in names:
            raise UnreadableInput(
                f"has no column {asked!r}; columns: {_listed(names)}",
                "check the names given with --text-field, --id-field, --title-field ...",
            )
        return asked
    free = [name for name in names if name != taken]
    by_lower = {name.lower(): name for name in reversed(free)}
    for candidate in usual:
        if candidate in free:
            return candidate
        if candidate in by_lower:
            return by_lower[candidate]
    return ""


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(excerpt(name[:40]) for name in names[:20]) or "none"


def _paragraphs(record: Mapping[str, Any], field: str) -> Any:
    """The text of a record; of a KILT page its paragraphs, each a line, so that the number of a
    paragraph is the number of line ends before it."""
    value = record[field]
    of_kilt = isinstance(value, list) and "wikipedia_id" in record
    if not of_kilt or not all(isinstance(paragraph, str) for paragraph in value):
        return value
    return "\n".join(paragraph.strip("\n").replace("\n", " ") for paragraph in value)


def _text(value: Any, field: str) -> str:
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            raise UnreadableInput(f"{field!r} is not valid utf-8") from error
    if value is None:
        raise UnreadableInput("empty text")
    if not isinstance(value, str):
        raise UnreadableInput(f"{field!r} is not a string but {type(value).__name__}")
    return require_text(value)


def require_text(text: str) -> str:
    if not text or text.isspace():
        raise UnreadableInput("empty text")
    return text


def with_title(title: str, text: str) -> str:
    return text if not title or text.startswith(title) else f"{title}\n\n{text}"


def _label(value: Any) -> str:
    """A short field (id, title, source) as a string; nested values and null count as absent."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return _text(value, "a label") if value else ""
    if value is None or isinstance(value, bool | dict | list):
        return ""
    return str(value)


def _require_encodable(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UnreadableInput(f"lone surrogate \\u{ord(value[error.start]):04x}") from error


def _plain(value: Any) -> str | float:
    """What JSON has no type for: dates, times, decimals, uuids."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise TypeError(f"not kept as metadata: {type(value).__name__}")


_encode = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain
).encode


def _metadata(record: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return metadata_json({name: record[name] for name in names})


def metadata_json(fields: Mapping[str, Any]) -> str:
    """The fields as JSON. Null, empty, too large and unrepresentable values are dropped."""
    kept = {name: value for name, value in fields.items() if value is not None and value != ""}
    if not kept:
        return "{}"
    try:
        whole = _encode(kept)
        if len(whole) <= MAX_FIELD:
            return whole
    except (TypeError, ValueError, RecursionError):
        pass
    return "{" + ",".join(filter(None, map(_member, kept.items()))) + "}"


def _member(item: tuple[str, Any]) -> str:
    try:
        value = _encode(item[1])
    except (TypeError, ValueError, RecursionError):
        return ""
    return f"{_encode(item[0])}:{value}" if len(value) <= MAX_FIELD else ""
