"""Score the chunks of a database, once: part by part, resumable, and after rewrites of parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live, searchable
from retro_cli.chunks.manifest import ChunkManifest, Part
from retro_cli.config import fingerprint
from retro_cli.engine import HERE, Load, Where, open_engine
from retro_cli.errors import NotBuiltYet
from retro_cli.events import SILENT, Progress
from retro_cli.filters.score_table import ScoreTable, load_table, read_scores, tables, write_scores
from retro_cli.filters.score_work import Task, score_elsewhere, score_part
from retro_cli.filters.scorers.contract import Scorer
from retro_cli.store.atomic import sweep_temporaries
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.layout import Layout

Floats = npt.NDArray[np.float32]
View = tuple[ChunkManifest, Aliases]
RATE = 10_000.0  # chunks a second on one core, about, through the default scorer


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
    *,
    elsewhere: Callable[[], Scorer] | None = None,
    where: Where = HERE,
) -> ScoreReport:
    """Score every chunk part that has a row to return and no scores yet. The caller holds the
    lock. ``table`` says what to call it; a part that is done stays done after a kill.

    views: what there is now, and what queries see; files: chunk part -> its vectors; elsewhere:
    loads the scorer in another process (without it, all is scored in this one)
    """
    folder = layout.attributes / table.name
    folder.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(folder)
    verified = Verified(folder)
    plan = plan_scores(layout, views, files, scorer, table, verified)
    parts, waiting = dict(plan.done), sum(part.rows for part, _, _ in plan.waiting)
    progress.started("score", waiting, "chunks")
    load = Load(len(plan.waiting), waiting / RATE, folder)
    engine = open_engine(HERE if elsewhere is None else where, load, progress)
    work: Callable[[Task], FileRecord] = score_elsewhere
    if engine.here:  # then progress moves within a part
        work = partial(score_part, scorer=scorer, advance=partial(progress.advanced, "score"))
    tasks = (
        _task(layout, folder, part, aliases, files, scorer, elsewhere)
        for part, _, aliases in plan.waiting
    )
    with closing(engine.run(work, tasks)) as made:
        for index, file in made:
            part, key, _ = plan.waiting[index]
            verified.trust(file)
            parts[part.name] = (key, file)
            replace(table, scorer=scorer.fingerprint, parts={**plan.before, **parts}).save(layout)
            if not engine.here:
                progress.advanced("score", part.rows)
    progress.finished("score")
    done = replace(table, scorer=scorer.fingerprint, parts={**plan.before, **parts})
    if done != load_table(layout, table.name):
        done.save(layout)
    verified.save({file.name for _, file in done.parts.values()})
    tidy_scores(layout)
    return ScoreReport(done, waiting, plan.rows_done)


def _task(
    layout: Layout,
    folder: Path,
    part: Part,
    aliases: Aliases,
    files: Mapping[str, str],
    scorer: Scorer,
    elsewhere: Callable[[], Scorer] | None,
) -> Task:
    low, high = np.searchsorted(aliases.member, [part.base, part.base + part.rows])
    vectors = layout.embeddings / _vectors_of(part, files) if scorer.needs_vectors else None
    return Task(
        folder.absolute(),
        part.name,
        part.rows,
        aliases.member[low:high] - part.base,
        layout.chunks.absolute() / part.chunks_file,
        vectors.absolute() if vectors else None,
        elsewhere,
        scorer.fingerprint,
    )


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
