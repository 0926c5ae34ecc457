"""A lexical state: an immutable folder with the words of the chunks that one manifest names.

``lexical/000007/`` holds Tantivy's files, ``rows.bitmap`` and ``manifest.json``, which names the
chunk manifest by its hash. A generation is made of a chunk manifest too: its state is the newest
with the same one. Rules are no part of it; they mask what is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.errors import IntegrityError
from retro_cli.store.atomic import read_json
from retro_cli.store.files import FileRecord, Verified, whole_number
from retro_cli.store.here import here

MANIFEST, ROWS = "manifest.json", "rows.bitmap"
SCHEMA = 1  # raised when the same chunks would give other words
UNFINISHED = ".tmp"
Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LexicalState:
    """chunks: sha256 of the chunk manifest. rows: chunks that can be found; dead: others whose
    words are still in the files."""

    folder: Path
    chunks: str
    stemmer: str
    rows: int
    dead: int
    files: tuple[FileRecord, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "chunks": self.chunks,
            "stemmer": self.stemmer,
            "rows": self.rows,
            "dead": self.dead,
            "files": [record.to_json() for record in self.files],
        }

    @property
    def bytes(self) -> int:
        return sum(record.bytes for record in self.files)

    def problem(self) -> str:
        """What is damaged, by size and time, or else by content; "" if nothing is."""
        verified = Verified(self.folder)
        found = next((why for each in self.files if (why := verified.problem(each))), "")
        verified.save()
        return found

    def row_bits(self, total: int) -> Bits:
        """(total,) the chunks that are in it."""
        packed = np.fromfile(here(self.folder / ROWS), dtype=np.uint8)
        bits = np.unpackbits(packed, bitorder="little")[:total].astype(bool)
        return np.pad(bits, (0, total - len(bits)))


def states(folder: Path) -> Iterator[LexicalState]:
    """The whole states below ``lexical/``, the newest first. Raises IntegrityError."""
    for path in sorted(folder.glob("[0-9]*[0-9]"), reverse=True):
        with suppress(FileNotFoundError):  # swept by a writer in this moment
            yield load_state(path)


def load_state(folder: Path) -> LexicalState:
    value = read_json(folder / MANIFEST)
    try:
        files = tuple(FileRecord.from_json(each) for each in value["files"])
        stemmer = value["stemmer"] if value["schema"] == SCHEMA else ""  # "": to be made again
        rows, dead = whole_number(value["rows"]), whole_number(value["dead"])
        return LexicalState(folder, str(value["chunks"]), str(stemmer), rows, dead, files)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{folder / MANIFEST} lacks what it should hold ({error})", "run retro index"
        ) from error


def state_of_chunks(folder: Path, chunks: str) -> LexicalState | None:
    """The state of a chunk manifest, by its sha256. Raises IntegrityError."""
    return next((state for state in states(folder) if state.chunks == chunks), None)
