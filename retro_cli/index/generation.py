"""A generation: everything one answer needs, by name. Readers open one and never see half a change.

``gen-000007.json`` names the segments, bitmaps, vectors and the chunk manifest it was made from;
``CURRENT`` names the generation that queries open, and is replaced last, in one rename.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.manifest import ChunkManifest
from retro_cli.embeddings.spec import EncoderSpec
from retro_cli.errors import DatabaseTooNew, IntegrityError, NotBuiltYet
from retro_cli.index.bitmaps import load_bitmap, save_blob
from retro_cli.index.plan import IndexPlan
from retro_cli.store.atomic import json_bytes, read_json, write_bytes, write_json
from retro_cli.store.files import FileRecord
from retro_cli.store.layout import FORMAT_VERSION
from retro_cli.store.lock import ReadHold

CURRENT = "CURRENT"


@dataclass(frozen=True)
class Segment:
    """One immutable inverted file: rows by id order of arrival, sharing the template.

    error: mean of 1 - cosine between a row and the centroid of its list (-1: not measured);
    imbalance: 1 for lists of equal length, else the factor by which it slows a search
    """

    file: FileRecord
    rows: int
    error: float = -1.0
    imbalance: float = 1.0

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "file": self.file.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Segment:
        return cls(**{**value, "file": FileRecord.from_json(value["file"])})


@dataclass(frozen=True)
class Filtered:
    """The rules that a generation was made with, and the rows that they keep out (a bitmap).

    ``key`` identifies the rules and the scores they read.
    """

    rules: tuple[int, ...] = ()
    key: str = ""
    rows: FileRecord | None = None

    def to_json(self) -> dict[str, Any]:
        rows = self.rows.to_json() if self.rows else None
        return {"rules": list(self.rules), "key": self.key, "rows": rows}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Filtered:
        rows = FileRecord.from_json(value["rows"]) if value["rows"] else None
        return cls(tuple(value["rules"]), value["key"], rows)


@dataclass(frozen=True)
class Quality:
    """Recall@10 against exact search, as measured when nprobe was chosen.

    The truth and the result leave out a query's own row and its exact copies. ``low`` and
    ``high`` bound the 95 % interval over ``queries``; ``text_recall`` is the same for short
    text queries; ``rows`` is how many rows there were then, and ``next_id`` the first id after
    them.
    """

    target: float
    recall: float
    low: float
    high: float
    queries: int
    met: bool
    text_recall: float | None
    text_queries: int
    rows: int
    next_id: int


@dataclass(frozen=True)
class Generation:
    """``indexed``: rows in some segment; ``dead``: those that no search may return (bitmaps)."""

    number: int
    plan: IndexPlan
    requested_factory: str
    template: FileRecord
    template_rows: int
    segments: tuple[Segment, ...]
    indexed: FileRecord
    dead: FileRecord
    chunks: FileRecord
    vectors: dict[str, str]  # chunk part name -> file in embeddings/
    encoder: EncoderSpec
    precision: str
    rows: int  # that a search may return
    nprobe: int
    candidates: int
    quality: Quality
    seed: int
    filtered: Filtered = Filtered()
    cause: str = ""  # what made it, for people
    trained_error: float = -1.0  # the segments' mean error when the template was trained

    def files(self) -> list[FileRecord]:
        return [
            self.template,
            self.indexed,
            self.dead,
            self.chunks,
            *(segment.file for segment in self.segments),
            *([self.filtered.rows] if self.filtered.rows else []),
        ]

    @property
    def file_name(self) -> str:
        return f"gen-{self.number:06d}.json"

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT_VERSION,
            "number": self.number,
            "plan": asdict(self.plan),
            "requested_factory": self.requested_factory,
            "template": self.template.to_json(),
            "template_rows": self.template_rows,
            "segments": [segment.to_json() for segment in self.segments],
            "indexed": self.indexed.to_json(),
            "dead": self.dead.to_json(),
            "chunks": self.chunks.to_json(),
            "vectors": self.vectors,
            "encoder": self.encoder.to_json(),
            "precision": self.precision,
            "rows": self.rows,
            "nprobe": self.nprobe,
            "candidates": self.candidates,
            "quality": asdict(self.quality),
            "seed": self.seed,
            "filtered": self.filtered.to_json(),
            "cause": self.cause,
            "trained_error": self.trained_error,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Generation:
        if value["format"] > FORMAT_VERSION:
            raise DatabaseTooNew(
                f"the index has format {value['format']}, this retro reads {FORMAT_VERSION}",
                "upgrade: pip install --upgrade retro-cli",
            )
        plain = ("number", "requested_factory", "template_rows", "vectors", "precision", "rows")
        more = ("nprobe", "candidates", "seed", "cause", "trained_error")
        return cls(
            **{name: value[name] for name in (*plain, *more)},
            plan=IndexPlan(**value["plan"]),
            template=FileRecord.from_json(value["template"]),
            segments=tuple(Segment.from_json(segment) for segment in value["segments"]),
            indexed=FileRecord.from_json(value["indexed"]),
            dead=FileRecord.from_json(value["dead"]),
            chunks=FileRecord.from_json(value["chunks"]),
            encoder=EncoderSpec.from_json(value["encoder"]),
            quality=Quality(**value["quality"]),
            filtered=Filtered.from_json(value["filtered"]),
        )

    def save(self, folder: Path) -> None:
        """Write the generation, then point CURRENT at it."""
        write_json(folder / self.file_name, self.to_json())
        write_bytes(folder / CURRENT, (self.file_name + "\n").encode())


def load_generation(folder: Path, name: str) -> Generation:
    """Raises IntegrityError for a file that is missing or damaged."""
    generation = load_if_kept(folder, name)
    if generation is None:
        raise _missing(folder / name)
    return generation


def load_if_kept(folder: Path, name: str) -> Generation | None:
    """The same for a listed name; None if a writer has swept it since.

    A generation is one file that never changes, so it is read whole or not at all.
    """
    path = folder / name
    try:
        return Generation.from_json(read_json(path))
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{path} lacks what it should hold ({error})",
            "run retro index to build a new generation",
        ) from error


def _missing(path: Path) -> IntegrityError:
    return IntegrityError(f"{path} is missing", "run retro index to build a new generation")


def current_name(folder: Path) -> str | None:
    """The file name of the generation that queries open, or None before the first."""
    pointer = folder / CURRENT
    if not pointer.is_file():
        return None
    name = pointer.read_text(encoding="ascii", errors="replace").strip()
    if not name.startswith("gen-") or "/" in name:
        raise IntegrityError(f"{pointer} does not name a generation", "run retro index")
    return name


def current_generation(folder: Path) -> Generation | None:
    """The generation that queries open, or None before the first."""
    name = current_name(folder)
    return load_generation(folder, name) if name else None


def hold_generation(folder: Path) -> tuple[Generation, ReadHold]:
    """The generation that queries open, kept on the disk until the hold is closed.

    Raises NotBuiltYet if there is none.
    """
    while True:
        name = current_name(folder)
        if name is None:
            raise NotBuiltYet(
                f"{folder.parent} has no index yet", f"run: retro index {folder.parent}"
            )
        try:
            hold = ReadHold(folder / name)
        except FileNotFoundError:
            if current_name(folder) == name:
                raise _missing(folder / name) from None
            continue  # replaced by newer ones in this very moment
        return load_generation(folder, name), hold


def all_generations(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("gen-[0-9]*[0-9].json"))


def numbered(folder: Path, generation: Generation) -> Generation:
    """The generation with the next number after all there are.

    If the last of them is this very generation, a run was killed before it moved CURRENT: its
    number is taken again, so that an interrupted run ends as an undisturbed one.
    """
    names = all_generations(folder)
    last = int(names[-1].removeprefix("gen-").removesuffix(".json")) if names else 0
    again = replace(generation, number=last)
    if names and (folder / names[-1]).read_bytes() == json_bytes(again.to_json()):
        return again
    return replace(generation, number=last + 1)


def generation_chunks(folder: Path, generation: Generation) -> ChunkManifest:
    """The chunk manifest that a generation was made from. Raises IntegrityError."""
    path = folder / generation.chunks.name
    try:
        return ChunkManifest.from_json(read_json(path))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path} cannot be read ({error})", "run retro index") from error


def excluded_rows(folder: Path, generation: Generation, rows: int) -> npt.NDArray[np.bool_]:
    """(rows,) what the rules keep out of a generation."""
    if generation.filtered.rows is None:
        return np.zeros(rows, dtype=bool)
    return load_bitmap(folder, generation.filtered.rows, rows)


def chunk_snapshot(folder: Path, chunks: ChunkManifest) -> FileRecord:
    """Keep the chunk manifest that a generation is made from."""
    data = json.dumps(chunks.seen_by_index().to_json(), sort_keys=True).encode()
    return save_blob(folder, "chunks", "json", data)
