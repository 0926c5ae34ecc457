"""Blank rows for good: chunks, vectors and scores are written anew without them, together.

The new files lie beside the old ones, under other names, until every manifest has moved to them
in one commit. Older generations go on naming the old files; when those go, the text goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.blank import blank_rows, blanked
from retro_cli.chunks.dedup import Aliases, find_duplicates
from retro_cli.chunks.live import own_live
from retro_cli.chunks.manifest import MANIFEST, ChunkManifest, require_manifest
from retro_cli.embeddings.blank import follow
from retro_cli.embeddings.manifest import require_manifest as require_embeddings
from retro_cli.events import SILENT, Progress
from retro_cli.filters.score_table import tables
from retro_cli.filters.scores import follow_scores
from retro_cli.store.commit import commit_together
from retro_cli.store.files import Verified
from retro_cli.store.layout import Layout

Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rewritten:
    """What a rewrite did. ``rows`` were blanked; wholly blank parts are gone."""

    rows: int = 0
    parts_rewritten: int = 0
    parts_gone: int = 0


def rewrite_without(
    layout: Layout,
    rows: Bits,
    *,
    besides: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Rewritten:
    """Blank ``rows`` (by id) wherever they are not blank yet. The caller holds the lock.

    besides: JSON files, by their paths in the database, that change in the same commit. Every
    part must have its vectors; raises NotBuiltYet otherwise.
    """
    manifest = require_manifest(layout.chunks)
    new, report = _chunks(layout, manifest, rows, progress)
    if not report.parts_rewritten and not report.parts_gone:
        commit_together(layout.root, besides or {})
        return report
    embeddings = require_embeddings(layout.embeddings)
    before = Aliases.load(layout.chunks, manifest.aliases)
    duplicates = find_duplicates(layout.chunks, new.parts, new.dedup)
    new = replace(
        new,
        aliases=duplicates.aliases.save(layout.chunks),
        duplicate_docs=duplicates.docs,
        duplicate_rows=duplicates.rows,
    )
    own = own_live(new)
    vectors = follow(
        layout.embeddings, embeddings, manifest, before, new, duplicates.aliases, ~rows
    )
    values: dict[str, Any] = {
        **(besides or {}),
        f"chunks/{MANIFEST}": new.to_json(),
        f"embeddings/{MANIFEST}": vectors.to_json(),
    }
    for table in tables(layout):
        followed = follow_scores(
            layout,
            table,
            (manifest, before),
            {name: part.file.name for name, part in embeddings.parts.items()},
            (new, duplicates.aliases),
            {name: part.file.name for name, part in vectors.parts.items()},
            own,
        )
        values[f"attributes/{table.name}/{MANIFEST}"] = followed.to_json()
    commit_together(layout.root, values)
    for folder, records in (
        (layout.chunks, new.files()),
        (layout.embeddings, [part.file for part in vectors.parts.values()]),
    ):
        verified = Verified(folder)
        for record in records:
            if not verified.knows(record):
                verified.trust(record)
        verified.save({record.name for record in records})
    return report


def _chunks(
    layout: Layout, manifest: ChunkManifest, rows: Bits, progress: Progress
) -> tuple[ChunkManifest, Rewritten]:
    parts = []
    report = Rewritten()
    progress.started("rewrite", len(manifest.parts), "parts")
    for part in manifest.parts:
        mine = rows[part.base : part.base + part.rows]
        progress.advanced("rewrite", 1)
        if not mine.any():
            parts.append(part)
            continue
        if mine.all():
            report = replace(report, rows=report.rows + part.rows, parts_gone=report.parts_gone + 1)
            continue
        fresh = mine & ~blanked(layout.chunks, part)
        if not fresh.any():
            parts.append(part)
            continue
        parts.append(blank_rows(layout.chunks, part, mine, manifest.token_bytes))
        report = replace(
            report,
            rows=report.rows + int(fresh.sum()),
            parts_rewritten=report.parts_rewritten + 1,
        )
    progress.finished("rewrite")
    return replace(manifest, parts=tuple(parts)), report
