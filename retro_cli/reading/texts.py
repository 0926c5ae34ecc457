"""Texts, whole, and cut into chunks of a language model's own tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.schema import digest
from retro_cli.chunks.splitter import split
from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.corpus import Document, ReadOptions, list_inputs, read
from retro_cli.corpus.inputs import Slice
from retro_cli.errors import InputNotFound
from retro_cli.events import SILENT, Progress

Tokens = npt.NDArray[np.int32]
NO_TOKEN = -1


@dataclass(frozen=True)
class Text:
    """One document outside the database. ``hash`` is that of equal texts inside it."""

    name: str
    text: str

    @property
    def hash(self) -> bytes:
        return digest(self.text)


@dataclass(frozen=True)
class Piece:
    """A chunk of a text: its tokens, its characters, and its bytes ``[start, end)`` in UTF-8."""

    ids: npt.NDArray[np.unsignedinteger]
    text: str
    start: int
    end: int


def read_texts(specs: Sequence[str], progress: Progress = SILENT) -> Iterator[Text]:
    """The documents of files, folders, globs or URLs, in order; empty ones are left out.

    Raises InputNotFound where there is none; a record that cannot be read is noted and skipped.
    """
    found = 0
    for file in list_inputs(specs):
        for document in read(Slice(file), ReadOptions()):
            if not isinstance(document, Document):
                progress.note(f"{document.uri}, {document.where}: {document.reason}; skipped")
            elif document.text.strip():
                found += 1
                yield Text(_name(document), document.text)
    if not found:
        raise InputNotFound("there is no text in the input", "name files with documents")


def _name(document: Document) -> str:
    same = document.key in ("", document.uri)
    return document.uri if same else f"{document.uri}#{document.key}"


def cut(text: str, tokenizer: ChunkTokenizer, size: int) -> list[Piece]:
    """The chunks of a text: ``size`` tokens each but the last, together the whole text.

    tokenizer: one that cuts exactly. A chunk that ends inside a character (byte-level tokens can)
    leaves that character to the next.
    """
    pieces = []
    place = 0
    for part in split(tokenizer.windows(text), len(text), size):
        words = text[part.start : part.end]
        stop = place + len(words.encode("utf-8", "surrogatepass"))
        pieces.append(Piece(part.ids, words, place, stop))
        place = stop
    return pieces


def padded(rows: Iterable[npt.NDArray[np.integer]], count: int, length: int) -> Tokens:
    """(count, length) int32: each row's tokens from the left, -1 behind them; cut to fit."""
    result = np.full((count, length), NO_TOKEN, dtype=np.int32)
    for row, ids in enumerate(rows):
        kept = ids[:length]
        result[row, : len(kept)] = kept
    return result
