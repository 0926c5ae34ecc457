"""Score the chunks of a database, once: part by part, resumable, and after rewrites of parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live, searchable
from retro_cli.chunks.manifest import ChunkManifest, Part
from retro_cli.chunks.rows import read_blocks
from retro_cli.config import fingerprint
from retro_cli.embeddings.manifest import EmbeddingManifest, require_manifest
from retro_cli.errors import NotBuiltYet, RetroError
from retro_cli.events import SILENT, Progress
from retro_cli.filters.score_table import ScoreTable, load_table, read_scores, write_scores
from retro_cli.filters.scorers.contract import Batch, Scorer
from retro_cli.store.atomic import sweep_temporaries
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.layout import Layout

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ScoreReport:
    table: ScoreTable
    rows_scored: int
    rows_kept: int


def score(
    layout: Layout,
    chunks: ChunkManifest,
    aliases: Aliases,
    scorer: Scorer,
    table: ScoreTable,
    progress: Progress = SILENT,
) -> ScoreReport:
    """Score every chunk part that has a row to return and no scores yet. The caller holds the
    lock. ``table`` says what to call it; a part that is done stays done after a kill."""
    folder = layout.attributes / table.name
    folder.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(folder)
    embeddings = require_manifest(layout.embeddings) if scorer.needs_vectors else None
    before = load_table(layout, table.name)
    kept = before.parts if before and before.scorer == scorer.fingerprint else {}
    verified = Verified(folder)
    live = searchable(own_live(chunks), aliases)
    parts: dict[str, tuple[str, FileRecord]] = {}
    waiting: list[tuple[Part, str]] = []
    for part in chunks.parts:
        if not live[part.base : part.base + part.rows].any():
            continue
        key = _key(part, embeddings, scorer)
        have = kept.get(part.name)
        if have and have[0] == key and not verified.problem(have[1]):
            parts[part.name] = have
        else:
            waiting.append((part, key))
    kept_rows = sum(part.rows for part in chunks.parts if part.name in parts)
    progress.started("score", sum(part.rows for part, _ in waiting), "chunks")
    for part, key in waiting:
        merged = np.zeros(part.rows, dtype=bool)
        low, high = np.searchsorted(aliases.member, [part.base, part.base + part.rows])
        merged[aliases.member[low:high] - part.base] = True
        file = _score_part(layout, folder, part, merged, embeddings, scorer, progress)
        verified.trust(file)
        parts[part.name] = (key, file)
        replace(table, scorer=scorer.fingerprint, parts=dict(parts)).save(layout)
    progress.finished("score")
    # An older generation may still show parts that have no row to return any more.
    older = {
        name: have
        for name, have in kept.items()
        if (layout.chunks / f"{name}.chunks.parquet").exists()
    }
    parts = {**older, **parts}
    done = replace(table, scorer=scorer.fingerprint, parts=parts)
    if done != before:
        done.save(layout)
    names = {file.name for _, file in parts.values()}
    verified.save(names)
    for path in folder.glob("*.f4"):
        if path.name not in names:
            path.unlink()
    return ScoreReport(done, sum(part.rows for part, _ in waiting), kept_rows)


def _key(part: Part, embeddings: EmbeddingManifest | None, scorer: Scorer) -> str:
    vectors = ""
    if embeddings is not None:
        have = embeddings.parts.get(part.name)
        if have is None:
            raise NotBuiltYet(
                "some chunks have no vectors yet, and this scorer reads them", "run retro embed"
            )
        vectors = have.file.sha256
    return fingerprint([part.written.files[0].sha256, vectors, scorer.fingerprint])


def _score_part(
    layout: Layout,
    folder: Path,
    part: Part,
    merged: npt.NDArray[np.bool_],
    embeddings: EmbeddingManifest | None,
    scorer: Scorer,
    progress: Progress,
) -> FileRecord:
    scores = np.full(part.rows, np.nan, dtype=np.float32)
    done = 0
    for batch in _batches(layout, part, embeddings, scorer):
        found = scorer.score(batch)
        if not ((found >= 0) & (found <= 1)).all():
            raise RetroError(f"{scorer.name} gave a score that is not between 0 and 1")
        scores[done : done + len(found)] = found
        done += len(found)
        progress.advanced("score", len(found))
    scores[merged] = np.nan  # the row that stands for it has the vector, and the score
    return write_scores(folder, part.name, scores)


def _batches(
    layout: Layout, part: Part, embeddings: EmbeddingManifest | None, scorer: Scorer
) -> Iterator[Batch]:
    vectors: npt.NDArray[np.float16] | None = None
    if embeddings is not None:
        path = layout.embeddings / embeddings.parts[part.name].file.name
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    if vectors is not None and not scorer.needs_text:
        for start in range(0, part.rows, 1 << 15):
            yield Batch(None, vectors[start : start + (1 << 15)])
        return
    start = 0
    for block in read_blocks(layout.chunks / part.chunks_file, ["text"]):
        stop = start + len(block)
        texts = block["text"].to_pylist()
        yield Batch(texts, None if vectors is None else vectors[start:stop])
        start = stop


def follow_scores(
    layout: Layout,
    table: ScoreTable,
    old: ChunkManifest,
    embeddings: EmbeddingManifest,
    new: ChunkManifest,
    vectors: EmbeddingManifest,
    aliases: Aliases,
    own: npt.NDArray[np.bool_],
) -> ScoreTable:
    """A table after a rewrite of chunk parts (``old`` to ``new``): the same scores, none of rows
    that were blanked. aliases: of ``old``; own: (next_id,) rows of ``new`` that are alive."""
    scores = np.full(new.next_id, np.nan, dtype=np.float32)
    reads_vectors: dict[int, bool] = {}
    for part in old.parts:
        have = table.parts.get(part.name)
        if have is None:
            continue
        scores[part.base : part.base + part.rows] = read_scores(layout, table, have[1], part.rows)
        chunk_file = part.written.files[0].sha256
        reads_vectors[part.base] = have[0] != fingerprint([chunk_file, "", table.scorer])
    scores[aliases.member] = scores[aliases.canonical]
    scores[~own] = np.nan
    parts: dict[str, tuple[str, FileRecord]] = {}
    for part in new.parts:
        if part.base not in reads_vectors:
            continue
        made = vectors.parts.get(part.name)
        uses = reads_vectors[part.base] and made is not None
        sha = made.file.sha256 if uses and made is not None else ""
        key = fingerprint([part.written.files[0].sha256, sha, table.scorer])
        have = table.parts.get(part.name)
        if have is None or have[0] != key:
            mine = scores[part.base : part.base + part.rows]
            have = (key, write_scores(layout.attributes / table.name, part.name, mine))
        parts[part.name] = have
    return replace(table, parts=parts)
