"""Score the chunks of a database, once: part by part, resumable, and after rewrites of parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live, searchable
from retro_cli.chunks.manifest import ChunkManifest, Part
from retro_cli.chunks.rows import read_blocks
from retro_cli.config import fingerprint
from retro_cli.errors import NotBuiltYet, RetroError
from retro_cli.events import SILENT, Progress
from retro_cli.filters.score_table import ScoreTable, load_table, read_scores, tables, write_scores
from retro_cli.filters.scorers.contract import Batch, Scorer
from retro_cli.store.atomic import sweep_temporaries
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.layout import Layout

Floats = npt.NDArray[np.float32]
View = tuple[ChunkManifest, Aliases]


@dataclass(frozen=True)
class ScoreReport:
    table: ScoreTable
    rows_scored: int
    rows_kept: int


@dataclass(frozen=True)
class ScorePlan:
    """``before``: the scores there are of this very scorer; ``done``: those of them that stand;
    ``waiting``: parts to score, each with the key of what is scored, and its merged rows."""

    before: dict[str, tuple[str, FileRecord]]
    done: dict[str, tuple[str, FileRecord]]
    rows_done: int
    waiting: tuple[tuple[Part, str, Aliases], ...]


def plan_scores(
    layout: Layout,
    views: Sequence[View],
    files: Mapping[str, str],
    scorer: Scorer,
    table: ScoreTable,
    verified: Verified,
) -> ScorePlan:
    """What ``score`` has to do. Reads only."""
    known = load_table(layout, table.name)
    before = known.parts if known and known.scorer == scorer.fingerprint else {}
    done: dict[str, tuple[str, FileRecord]] = {}
    waiting: list[tuple[Part, str, Aliases]] = []
    rows_done = 0
    for part, aliases in _wanted(views):
        key = _key(part, _vectors_of(part, files) if scorer.needs_vectors else "", scorer)
        have = before.get(part.name)
        if have and have[0] == key and not verified.problem(have[1]):
            done[part.name] = have
            rows_done += part.rows
        else:
            waiting.append((part, key, aliases))
    return ScorePlan(before, done, rows_done, tuple(waiting))


def score(
    layout: Layout,
    views: Sequence[View],
    files: Mapping[str, str],
    scorer: Scorer,
    table: ScoreTable,
    progress: Progress = SILENT,
) -> ScoreReport:
    """Score every chunk part that has a row to return and no scores yet. The caller holds the
    lock. ``table`` says what to call it; a part that is done stays done after a kill.

    views: what there is now, and what queries see; files: chunk part -> its vectors
    """
    folder = layout.attributes / table.name
    folder.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(folder)
    verified = Verified(folder)
    plan = plan_scores(layout, views, files, scorer, table, verified)
    parts, waiting = dict(plan.done), sum(part.rows for part, _, _ in plan.waiting)
    progress.started("score", waiting, "chunks")
    for part, key, aliases in plan.waiting:
        merged = np.zeros(part.rows, dtype=bool)
        low, high = np.searchsorted(aliases.member, [part.base, part.base + part.rows])
        merged[aliases.member[low:high] - part.base] = True
        file = _score_part(layout, folder, part, merged, files, scorer, progress)
        verified.trust(file)
        parts[part.name] = (key, file)
        replace(table, scorer=scorer.fingerprint, parts={**plan.before, **parts}).save(layout)
    progress.finished("score")
    done = replace(table, scorer=scorer.fingerprint, parts={**plan.before, **parts})
    if done != load_table(layout, table.name):
        done.save(layout)
    verified.save({file.name for _, file in done.parts.values()})
    tidy_scores(layout)
    return ScoreReport(done, waiting, plan.rows_done)


def tidy_scores(layout: Layout) -> None:
    """Forget the scores of chunk parts that no kept generation names any more."""
    for table in tables(layout):
        parts = {
            name: have
            for name, have in table.parts.items()
            if (layout.chunks / f"{name}.chunks.parquet").exists()
        }
        if parts != table.parts:
            replace(table, parts=parts).save(layout)
        names = {file.name for _, file in parts.values()}
        for path in (layout.attributes / table.name).glob("*.f4"):
            if path.name not in names:
                path.unlink()


def _wanted(views: Sequence[View]) -> Iterator[tuple[Part, Aliases]]:
    """Each part that has a row to return in some view, once."""
    seen: set[str] = set()
    for chunks, aliases in views:
        live = searchable(own_live(chunks), aliases)
        for part in chunks.parts:
            if part.name not in seen and live[part.base : part.base + part.rows].any():
                seen.add(part.name)
                yield part, aliases


def _vectors_of(part: Part, files: Mapping[str, str]) -> str:
    if part.name not in files:
        raise NotBuiltYet(
            "some chunks have no vectors yet, and this scorer reads them", "run retro embed"
        )
    return files[part.name]


def _key(part: Part, vectors: str, scorer: Scorer | str) -> str:
    mark = scorer if isinstance(scorer, str) else scorer.fingerprint
    return fingerprint([part.written.files[0].sha256, vectors, mark])


def _score_part(
    layout: Layout,
    folder: Path,
    part: Part,
    merged: npt.NDArray[np.bool_],
    files: Mapping[str, str],
    scorer: Scorer,
    progress: Progress,
) -> FileRecord:
    scores = np.full(part.rows, np.nan, dtype=np.float32)
    done = 0
    for batch in _batches(layout, part, files, scorer):
        found = scorer.score(batch)
        if not ((found >= 0) & (found <= 1)).all():
            raise RetroError(f"{scorer.name} gave a score that is not between 0 and 1")
        scores[done : done + len(found)] = found
        done += len(found)
        progress.advanced("score", len(found))
    scores[merged] = np.nan  # the row that stands for it has the vector, and the score
    return write_scores(folder, part.name, scores)


def _batches(
    layout: Layout, part: Part, files: Mapping[str, str], scorer: Scorer
) -> Iterator[Batch]:
    vectors: npt.NDArray[np.float16] | None = None
    if scorer.needs_vectors:
        path = layout.embeddings / _vectors_of(part, files)
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
    old: View,
    old_files: Mapping[str, str],
    new: View,
    files: Mapping[str, str],
    own: npt.NDArray[np.bool_],
) -> ScoreTable:
    """A table after a rewrite of chunk parts (``old`` to ``new``): the same scores, none of rows
    that were blanked. old_files, files: chunk part -> vectors; own: (next_id,) rows of ``new``
    that are alive."""
    chunks, aliases = old
    scores = np.full(new[0].next_id, np.nan, dtype=np.float32)
    reads_vectors = False
    for part in chunks.parts:
        have = table.parts.get(part.name)
        if have is None:
            continue
        scores[part.base : part.base + part.rows] = read_scores(layout, table, have[1], part.rows)
        reads_vectors |= have[0] == _key(part, old_files.get(part.name, "?"), table.scorer)
    scores[aliases.member] = scores[aliases.canonical]
    scores[~own] = np.nan
    parts = dict(table.parts)
    for part, _ in _wanted([new]):
        mine = scores[part.base : part.base + part.rows]
        key = _key(part, files[part.name] if reads_vectors else "", table.scorer)
        if table.parts.get(part.name, ("",))[0] != key and not np.isnan(mine).all():
            parts[part.name] = (
                key,
                write_scores(layout.attributes / table.name, part.name, mine),
            )
    return replace(table, parts=parts)
