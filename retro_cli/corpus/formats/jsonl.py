"""JSON Lines: one object a line."""

from __future__ import annotations

import json
from typing import Any

from retro_cli.corpus.document import Document
from retro_cli.corpus.encoding import decode
from retro_cli.corpus.fields import Fields
from retro_cli.corpus.lines import Lines
from retro_cli.corpus.reading import Reading, Records
from retro_cli.errors import UnreadableInput

# NaN and Infinity are not JSON, but pandas writes them; they count as null.
_decode = json.JSONDecoder(parse_constant=lambda name: None).decode


def documents(work: Reading) -> Records:
    """The records that begin in the slice. Broken lines are set aside with their number."""
    fields = Fields(work.file.uri, work.options)
    last = work.last_wanted()
    stream, encoding = work.open_lines()
    with stream:
        lines = Lines(work, stream)
        try:
            for line in lines:
                position = lines.offset
                if not work.wanted(position):
                    if position > last:
                        return
                    continue
                if line.isspace() or not line:
                    continue
                try:
                    yield _document(lines.check(line), encoding, position, fields)
                except UnreadableInput as error:
                    yield work.reject(position, f"line {lines.number()}", error, line)
        except UnreadableInput as error:
            yield work.reject(lines.offset, f"line {lines.number()}", error)


def _document(line: bytes, encoding: str, position: int, fields: Fields) -> Document:
    return fields.document(parse_object(decode(line, encoding, position)), position)


def parse_object(text: str) -> dict[str, Any]:
    """One JSON object. Raises UnreadableInput with what is wrong."""
    try:
        record = _decode(text)
    except RecursionError as error:
        raise UnreadableInput("JSON nested too deep") from error
    except ValueError as error:
        raise UnreadableInput(f"broken JSON: {error}") from error
    return require_object(record)


def require_object(record: object) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise UnreadableInput(f"not a JSON object but {type(record).__name__}")
    return record
