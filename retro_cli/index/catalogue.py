"""The generations on the disk: which there are, which one queries open, what each was made from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.manifest import ChunkManifest
from retro_cli.errors import IntegrityError, NotBuiltYet
from retro_cli.index.bitmaps import load_bitmap, save_blob
from retro_cli.index.generation import CURRENT, Generation
from retro_cli.store.atomic import json_bytes, read_json
from retro_cli.store.files import FileRecord
from retro_cli.store.here import shown_name
from retro_cli.store.lock import ReadHold


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
            shown = shown_name(folder.parent)
            raise NotBuiltYet(f"{shown} has no index yet", f"run: retro index {shown}")
        try:
            hold = ReadHold(folder / name)
        except FileNotFoundError:
            if current_name(folder) == name:
                raise _missing(folder / name) from None
            continue  # replaced by newer ones in this very moment
        return load_generation(folder, name), hold


def all_generations(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("gen-[0-9]*[0-9].json"))


def numbered(folder: Path, generation: Generation, after: int = 0) -> Generation:
    """The generation with the next number after all there are, and after ``after``.

    If the last of them is this very generation, a run was killed before it moved CURRENT: its
    number is taken again, so that an interrupted run ends as an undisturbed one.
    """
    names = all_generations(folder)
    last = int(names[-1].removeprefix("gen-").removesuffix(".json")) if names else 0
    again = replace(generation, number=last)
    if names and (folder / names[-1]).read_bytes() == json_bytes(again.to_json()):
        return again
    return replace(generation, number=max(last, after) + 1)


def generation_chunks(folder: Path, generation: Generation) -> ChunkManifest:
    """The chunk manifest that a generation was made from. Raises IntegrityError."""
    path = folder / generation.chunks.name
    try:
        chunks = ChunkManifest.from_json(read_json(path))
        if generation.indexed.bytes != -(-chunks.next_id // 8):
            raise ValueError(f"{chunks.next_id} ids, {generation.indexed.bytes} bytes of bits")
        return chunks
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
