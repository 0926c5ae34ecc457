"""Score tables: one number in [0, 1] for every chunk, on the disk.

``attributes/<name>/`` holds a float32 file beside each chunk part, row for row, NaN where a row
was not scored. Thresholds are a rule's business, so changing one scores nothing again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live
from retro_cli.chunks.manifest import ChunkManifest
from retro_cli.errors import IntegrityError, NotBuiltYet, UsageError
from retro_cli.store.atomic import STAGING, read_json, replacing, unfinished, write_json
from retro_cli.store.files import FileRecord, plain_name, typed
from retro_cli.store.here import here
from retro_cli.store.layout import Layout
from retro_cli.wording import counted

MANIFEST = "manifest.json"
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ScoreTable:
    """``spec`` names the scorer again; ``parts``: chunk part -> (what was scored, its file)."""

    name: str
    spec: str
    toxic_label: str
    scorer: str  # its fingerprint
    parts: dict[str, tuple[str, FileRecord]] = field(default_factory=dict)

    def options(self) -> str:
        """What makes this very table again on the command line."""
        words = [f"--scorer {self.spec}"]
        words += [f"--as {self.name}"] if table_name(self.spec) != self.name else []
        words += [f"--toxic-label {self.toxic_label}"] if self.toxic_label else []
        return " ".join(words)

    def to_json(self) -> dict[str, Any]:
        parts = {name: [key, file.to_json()] for name, (key, file) in self.parts.items()}
        return {**vars(self), "parts": parts}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ScoreTable:
        parts = {
            name: (str(key), FileRecord.from_json(file))
            for name, (key, file) in value["parts"].items()
        }
        table = typed(cls, {**value, "parts": parts})
        plain_name(table.name)
        return table

    def save(self, layout: Layout) -> None:
        write_json(layout.attributes / self.name / MANIFEST, self.to_json())


def table_name(spec: str) -> str:
    """A folder's name for a scorer's table: ``default``, ``words``, ``probe-toxic`` ..."""
    kind, _, rest = spec.partition(":")
    stem = Path(rest or kind).stem if rest or "/" in kind else ""
    name = "-".join(part for part in (kind if "/" not in kind else "", stem) if part)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "scores"


def load_table(layout: Layout, name: str) -> ScoreTable | None:
    path = layout.attributes / name / MANIFEST
    if not path.is_file():
        return None
    try:
        return ScoreTable.from_json(read_json(path))
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{path} lacks what it should hold ({error})", "run retro filter score again"
        ) from error


def tables(layout: Layout) -> list[ScoreTable]:
    """Every score table of a database, by name."""
    paths = sorted(layout.attributes.glob(f"*/{MANIFEST}"))
    return [table for path in paths if (table := load_table(layout, path.parent.name))]


def write_scores(folder: Path, part: str, scores: Floats) -> FileRecord:
    staging = unfinished(folder / part, STAGING)
    with replacing(staging) as temporary:
        temporary.write_bytes(scores.astype("<f4").data)  # tofile does not say why it failed
    record = FileRecord.of(staging)
    name = f"{part}-{record.sha256[:8]}.f4"
    staging.rename(folder / name)
    return FileRecord(name, record.bytes, record.sha256)


def scores_of(layout: Layout, manifest: ChunkManifest, aliases: Aliases, name: str) -> Floats:
    """(next_id,) the scores of one table, NaN where there is no row; a merged row has the score
    of the row that stands for it. Raises NotBuiltYet if a live row was not scored."""
    table = load_table(layout, name)
    if table is None:
        known = [table.name for table in tables(layout)]
        hint = (
            f"there are: {', '.join(known)}" if known else f"run: retro filter score {layout.root}"
        )
        raise UsageError(f"there are no scores called {name}", hint)
    scores = np.full(manifest.next_id, np.nan, dtype=np.float32)
    for part in manifest.parts:
        have = table.parts.get(part.name)
        if have is not None:
            scores[part.base : part.base + part.rows] = read_scores(
                layout, table, have[1], part.rows
            )
    scores[aliases.member] = scores[aliases.canonical]
    missing = int((own_live(manifest) & np.isnan(scores)).sum())
    if missing:
        raise NotBuiltYet(
            f"{counted(missing, 'chunk has', 'chunks have')} no '{name}' score yet",
            f"run: retro filter score {layout.root} {table.options()}",
        )
    return scores


def read_scores(layout: Layout, table: ScoreTable, file: FileRecord, rows: int) -> Floats:
    try:
        found: Floats = np.fromfile(here(layout.attributes / table.name / file.name), dtype="<f4")
    except OSError as error:
        found, why = np.empty(0, np.float32), f"cannot be read ({error.strerror})"
    else:
        why = f"holds {counted(len(found), 'score')} for {counted(rows, 'chunk')}"
    if len(found) != rows:
        raise IntegrityError(
            f"{table.name}/{file.name} {why}",
            f"run: retro filter score {layout.root} {table.options()}",
        )
    return found


def scores_version(layout: Layout, name: str) -> str:
    """Changes when the same chunks may have other scores: with the scorer."""
    table = load_table(layout, name)
    return table.scorer if table else ""
