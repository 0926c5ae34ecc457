"""The stages as plain calls: settings, lock, stage. The command line calls these."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from retro_cli.choosing import chunk_settings, embed_settings, unchanged
from retro_cli.chunks.diff import InputsDifference, diff_inputs
from retro_cli.chunks.job import knows
from retro_cli.chunks.report import ChunkReport
from retro_cli.chunks.stage import PART_BYTES, ChunkJob
from retro_cli.chunks.stage import chunk as chunk_stage
from retro_cli.config import Settings, load_settings, save_settings
from retro_cli.corpus.gather import STDIN, list_corpus, spool, spool_path
from retro_cli.datastore.manifest import load_manifest as load_datastore
from retro_cli.embeddings.encoder import auto_precision
from retro_cli.embeddings.resolve import resolve
from retro_cli.embeddings.stage import EmbedJob, EmbedReport
from retro_cli.embeddings.stage import embed as embed_stage
from retro_cli.engine import ANYWHERE, Where
from retro_cli.errors import ConfigError
from retro_cli.events import SILENT, Progress
from retro_cli.index.stage import IndexJob, IndexReport
from retro_cli.index.stage import index as index_stage
from retro_cli.index.texts import span_queries
from retro_cli.models.base import DEFAULT_BASE
from retro_cli.query.neighbours import find_neighbours
from retro_cli.query.retrieve import Retriever
from retro_cli.query.table import NeighbourReport, NeighbourSettings
from retro_cli.reading.of_settings import find_tokenizer
from retro_cli.reading.text_neighbours import TextsToRead, find_text_neighbours
from retro_cli.store.atomic import disk_errors, made
from retro_cli.store.layout import SETTINGS_FILE, Layout
from retro_cli.store.lock import writer_lock
from retro_cli.store.sweep import sweep_unreferenced
from retro_cli.upkeep.scoring import refresh_scores

if TYPE_CHECKING:
    from retro_cli.datastore.stage import DatastoreReport


@dataclass(frozen=True)
class ChunkOptions:
    """How to run the chunk stage; what shapes its result is in Settings."""

    workers: int = 0
    prune: bool = False
    part_bytes: int = PART_BYTES
    allow_download: bool = False
    engine: str = ""  # and workers, ray_address: see Where
    ray_address: str = ""


def chunk(
    layout: Layout,
    specs: Sequence[str],
    overrides: dict[str, Any] | None = None,
    options: ChunkOptions | None = None,
    *,
    stdin: BinaryIO | None = None,
    progress: Progress = SILENT,
) -> ChunkReport:
    """Create or update the chunks of a database from files, folders, globs, URLs or ``-``.

    ``overrides`` are settings that the user named now; None means as before, or the default.
    """
    options = options or ChunkOptions()
    settings = chunk_settings(layout, overrides or {})
    with disk_errors(layout.root):
        gone = _may_be_gone(layout, options.prune)
        listed = list_corpus(layout.root, specs, _standing(layout.root), gone)
    if overrides and overrides.get("encoder") is not None:  # what embed would refuse is not saved
        resolve(settings.encoder, allow_download=options.allow_download, verify=False)
    tokenizer = find_tokenizer(settings, options.allow_download)
    with disk_errors(layout.root):
        _make_root(layout)
    with disk_errors(layout.root), writer_lock(layout.root, "chunk"):
        settings = unchanged(layout, settings, chunk_settings(layout, overrides or {}))
        if STDIN in specs:
            listed.add(spool(spool_path(layout.root), stdin))
        if not layout.exists():
            save_settings(layout, Settings())  # makes the folder a database, whatever happens
        job = ChunkJob(
            folder=layout.chunks,
            settings=settings,
            tokenizer=tokenizer,
            specs=specs,
            inputs=listed,
            where=Where(options.engine, options.ray_address, options.workers),
            prune=options.prune,
            part_bytes=options.part_bytes,
            unsaved=settings.beyond(load_settings(layout)),
            accepted=lambda: save_settings(layout, settings),
            scratch=layout.root,
        )
        try:
            return chunk_stage(job, progress)
        finally:
            spool_path(layout.root).unlink(missing_ok=True)


def diff(
    layout: Layout,
    specs: Sequence[str],
    overrides: dict[str, Any] | None = None,
    *,
    prune: bool = False,
    stdin: BinaryIO | None = None,
    progress: Progress = SILENT,
) -> InputsDifference:
    """What ``chunk`` with the same arguments would change in a database. Writes nothing there."""
    settings = chunk_settings(layout, overrides or {}, create=False)
    listed = list_corpus(layout.root, specs, None, _may_be_gone(layout, prune))
    tokenizer = find_tokenizer(settings, weights=False)
    with tempfile.TemporaryDirectory() as folder:
        if STDIN in specs:
            listed.add(spool(Path(folder) / STDIN, stdin))
        job = ChunkJob(layout.chunks, settings, tokenizer, specs, listed, prune=prune)
        return diff_inputs(job, progress)


def embed(
    layout: Layout,
    overrides: dict[str, Any] | None = None,
    *,
    device: str = "auto",
    where: Where = ANYWHERE,
    threads: int = 0,
    allow_download: bool = False,
    progress: Progress = SILENT,
) -> EmbedReport:
    """Create or update the vectors of a database."""
    settings = embed_settings(layout, overrides or {})
    resolved = resolve(settings.encoder, allow_download=allow_download)
    with disk_errors(layout.root), writer_lock(layout.root, "embed"):
        settings = unchanged(layout, settings, embed_settings(layout, overrides or {}))
        named = overrides is not None and overrides.get("encoder") is not None
        precision = settings.precision
        if precision == "auto":
            precision = auto_precision(resolved.spec, device)
        job = EmbedJob(layout, resolved, precision, device, where, threads, named)
        report = embed_stage(job, progress)
        save_settings(layout, settings)
        return report


def index(layout: Layout, job: IndexJob, *, progress: Progress = SILENT) -> IndexReport:
    """Build or update the index of a database, then remove files that nothing refers to."""
    # Refuses what a newer version wrote, and an unknown stemmer, before there is a lock.
    load_settings(layout).changed(stemmer=job.stemmer, words=job.words)
    with disk_errors(layout.root), writer_lock(layout.root, "index"):
        if job.text_queries is None:
            job = replace(job, text_queries=span_queries)
        refresh_scores(layout, progress)
        report = index_stage(job, progress)
        save_settings(layout, load_settings(layout).changed(stemmer=job.stemmer, words=job.words))
        sweep_unreferenced(layout, load_settings(layout).keep_generations)
        return report


def neighbours(
    layout: Layout,
    name: str,
    settings: NeighbourSettings,
    progress: Progress = SILENT,
    *,
    texts: TextsToRead | None = None,
    where: Where = ANYWHERE,
) -> NeighbourReport:
    """Look up the neighbours of every chunk of a database, or of ``texts`` outside it."""
    load_settings(layout)
    if not name or name != Path(name).name or name.startswith("."):
        raise ConfigError(f"'{name}' is no name for a table", "name it without slashes")
    with disk_errors(layout.root), writer_lock(layout.root, "neighbours"):
        if texts is not None:
            return find_text_neighbours(layout, name, settings, texts, progress)
        return find_neighbours(layout, name, settings, progress, where)


def datastore(
    layout: Layout, model: str | Path = "", *, window: int | None = None, device: str = "auto",
    allow_download: bool = False, progress: Progress = SILENT,
) -> DatastoreReport:  # fmt: skip
    """Create or update the token datastore of a database: a key for every token that may be found.

    model: a causal language model; "" is the one before, or the default. window: the most tokens
    before a token that its key is made from.
    """
    from retro_cli.datastore.maker import WINDOW, key_model
    from retro_cli.datastore.stage import datastore as datastore_stage
    from retro_cli.models.language import open_language_model

    load_settings(layout)
    before = load_datastore(layout.datastore)
    name = model or (before.maker.name if before else DEFAULT_BASE)
    window = window or (before.maker.window if before and not model else WINDOW)
    opened = open_language_model(name, device=device, allow_download=allow_download)
    made = key_model(opened, name, window)
    with disk_errors(layout.root), writer_lock(layout.root, "datastore"):
        retriever = Retriever(layout)
        try:
            return datastore_stage(retriever, made, progress)
        finally:
            retriever.close()


def _may_be_gone(layout: Layout, prune: bool) -> Callable[[str], bool]:
    """Whether an input may name nothing today: then what it once named is pruned."""
    return knows(layout.chunks) if prune else lambda spec: False


def _standing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(each for each in (folder, *folder.absolute().parents) if each.is_dir())


def _make_root(layout: Layout) -> None:
    if layout.root.exists() and not layout.root.is_dir():
        raise ConfigError(f"{layout.root} is a file", "name a folder with --db")
    if layout.root.is_dir() and not layout.exists():
        ours = (".", SETTINGS_FILE)  # also what a run leaves that was killed in its first moments
        others = [path.name for path in layout.root.iterdir() if not path.name.startswith(ours)]
        if others:
            raise ConfigError(
                f"{layout.root} is not empty and not a retrieval database (it has {others[0]})",
                "name a new folder with --db",
            )
    with made(layout.root):
        layout.root.mkdir(parents=True, exist_ok=True)
