"""Run chunk or embed for the command line: under a progress display, then say what it did."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from retro_cli.cli import console
from retro_cli.cli.options import Running
from retro_cli.events import Progress
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.chunks.report import ChunkReport

Report = TypeVar("Report")
ANYWHERE = Running()


def timed(stage: Callable[[Progress], Report]) -> tuple[Report, float]:
    """Run a stage under a progress display, which is taken away whatever happens."""
    reporter = console.Reporter()
    begun = time.monotonic()
    try:
        return stage(reporter), time.monotonic() - begun
    finally:
        reporter.close()


def chunk(
    db: Path,
    inputs: list[str],
    overrides: dict[str, Any],
    prune: bool,
    part_size: int,
    download: bool,
    running: Running = ANYWHERE,
) -> ChunkReport:
    from retro_cli import pipeline
    from retro_cli.store.layout import Layout

    how = pipeline.ChunkOptions(
        running.workers, prune, part_size << 20, download, running.engine, running.ray_address
    )
    report, seconds = timed(
        lambda progress: pipeline.chunk(
            Layout(db), inputs, overrides, how, stdin=sys.stdin.buffer, progress=progress
        )
    )
    if console.state.json:
        console.record({"stage": "chunk", "seconds": round(seconds, 3), **asdict(report)})
    else:
        for text in _chunk_lines(report, seconds, db):
            console.say(text)
    return report


def _chunk_lines(report: ChunkReport, seconds: float, db: Path) -> list[str]:
    n = console.number
    if report.changed:
        speed = report.characters_written / max(seconds, 1e-6)
        lines = [
            f"chunk: {counted(report.docs_written, 'document')}, "
            f"{counted(report.rows_written, 'chunk')}, "
            f"{counted(report.tokens_written, 'token')} in {console.duration(seconds)} "
            f"({console.size(speed)}/s)"
        ]
        changes = [
            f"{n(count)} {word}"
            for count, word in (
                (report.docs_replaced, "replaced"),
                (report.docs_removed, "removed"),
            )
            if count
        ]
        if report.docs_given_up:
            lines.append(
                f"chunk: every document was cut again: {n(report.live_docs)} now in place of "
                f"{n(report.docs_given_up)} before"
            )
        if changes:
            lines.append(f"chunk: of the documents before, {', '.join(changes)}")
    else:
        lines = [
            f"chunk: up to date, {counted(report.live_docs, 'document')}, "
            f"{counted(report.live_rows, 'chunk')} ({console.duration(seconds)})"
        ]
    if report.duplicate_docs:
        verb = "merged" if report.merged else "kept (--dedup document merges them)"
        lines.append(f"chunk: exact duplicate documents: {n(report.duplicate_docs)}, {verb}")
    gone = report.docs_vanished or report.files_missing
    if gone:
        lines.append(
            f"chunk: kept what is gone from the input ({counted(report.files_missing, 'file')}, "
            f"{counted(report.docs_vanished, 'record')}); --prune removes it"
        )
    if report.files_not_named and console.state.verbose:
        lines.append(
            f"chunk: {counted(report.files_not_named, 'file')} of the database lie elsewhere; "
            "to remove what is gone there, name the place and add --prune"
        )
    if report.rejected:
        lines.append(
            f"chunk: records set aside: {n(report.rejected)}, the first: {report.first_rejection}"
        )
        lines.append(f"chunk: all of them: {db}/chunks/quarantine.jsonl")
    return lines


def embed(
    db: Path,
    overrides: dict[str, Any],
    device: str = "auto",
    threads: int = 0,
    download: bool = False,
    running: Running = ANYWHERE,
) -> None:
    from retro_cli import pipeline
    from retro_cli.store.layout import Layout

    report, seconds = timed(
        lambda progress: pipeline.embed(
            Layout(db),
            overrides,
            device=device,
            where=running.where(),
            threads=threads,
            allow_download=download,
            progress=progress,
        )
    )
    if console.state.json:
        value = {**asdict(report), "encoder": report.encoder.to_json()}
        console.record({"stage": "embed", "seconds": round(seconds, 3), **value})
        return
    n, made = console.number, f"{report.encoder.name}, {report.precision}"
    if report.parts_done:
        rate = report.rows_embedded / max(seconds, 1e-6)
        console.say(
            f"embed: {counted(report.rows_embedded, 'chunk')} in {console.duration(seconds)} "
            f"({n(rate)} chunks/s; {made}, {counted(report.encoder.dim, 'dimension')})"
        )
    else:
        console.say(
            f"embed: up to date, {counted(report.rows_total, 'vector')} ({made}; "
            f"{console.duration(seconds)})"
        )


def import_vectors(db: Path, vectors: Path, encoder: str | None) -> None:
    from retro_cli.embeddings import external
    from retro_cli.store.layout import Layout

    report, seconds = timed(
        lambda progress: external.import_vectors(Layout(db), vectors, encoder, progress)
    )
    if console.state.json:
        value = {**asdict(report), "encoder": report.encoder.to_json()}
        console.record({"stage": "embed", "seconds": round(seconds, 3), **value})
    else:
        console.say(
            f"embed: took {counted(report.rows_embedded, 'vector')} of "
            f"{counted(report.encoder.dim, 'dimension')} from {vectors} in "
            f"{console.duration(seconds)}"
        )
