"""Run a stage for the command line: call it under a progress display, then say what it did."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from retro_cli.cli import console
from retro_cli.events import Progress
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.chunks.report import ChunkReport
    from retro_cli.index.stage import IndexReport

Report = TypeVar("Report")


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
    workers: int,
    part_size: int,
    download: bool,
) -> ChunkReport:
    from retro_cli import pipeline
    from retro_cli.store.layout import Layout

    how = pipeline.ChunkOptions(workers, prune, part_size << 20, download)
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
    if report.rejected:
        lines.append(
            f"chunk: records set aside: {n(report.rejected)}, the first: {report.first_rejection}"
        )
        lines.append(f"chunk: all of them: {db}/chunks/quarantine.jsonl")
    return lines


def embed(
    db: Path,
    overrides: dict[str, Any],
    device: str,
    workers: int,
    threads: int,
    download: bool,
) -> None:
    from retro_cli import pipeline
    from retro_cli.store.layout import Layout

    report, seconds = timed(
        lambda progress: pipeline.embed(
            Layout(db),
            overrides,
            device=device,
            workers=workers or 1,
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


def index(
    db: Path, recall: float | None, factory: str, memory: float, retrain: bool, threads: int
) -> None:
    from retro_cli import pipeline
    from retro_cli.index.stage import IndexJob
    from retro_cli.store.layout import Layout

    job = IndexJob(Layout(db), recall, factory, int(memory * 1e9), retrain, threads)
    report, seconds = timed(lambda progress: pipeline.index(job.layout, job, progress=progress))
    if console.state.json:
        console.record({"stage": "index", "seconds": round(seconds, 3), **_index_json(report)})
        return
    for text in _index_lines(report, seconds):
        console.say(text)


def _index_json(report: IndexReport) -> dict[str, Any]:
    generation = report.generation
    tuned = report.tuned
    return {
        "up_to_date": report.up_to_date,
        "generation": generation.number,
        "factory": generation.plan.factory,
        "rows": generation.rows,
        "rows_added": report.rows_added,
        "rows_died": report.rows_died,
        "segments": len(generation.segments),
        "trained": report.trained,
        "reason": report.reason,
        "nprobe": generation.nprobe,
        "candidates": generation.candidates,
        **{f"quality_{k}": v for k, v in asdict(generation.quality).items()},
        "latency_ms_p50": tuned.latency_ms_p50 if tuned else None,
        "latency_ms_p95": tuned.latency_ms_p95 if tuned else None,
    }


def _index_lines(report: IndexReport, seconds: float) -> list[str]:
    n, generation = console.number, report.generation
    quality = generation.quality
    if report.up_to_date:
        return [
            f"index: up to date, {counted(generation.rows, 'row')}, generation {generation.number} "
            f"({console.duration(seconds)})"
        ]
    changes = f"{counted(report.rows_added, 'row')} added"
    if report.rows_died:
        changes += f", {n(report.rows_died)} gone"
    lines = [
        f"index: {changes} in {console.duration(seconds)}; generation {generation.number}, "
        f"{counted(generation.rows, 'row')}, {generation.plan.factory}, nprobe {generation.nprobe}"
    ]
    if not quality.queries:
        return [*lines, "index: too few different rows to measure a recall"]
    measured = (
        f"index: recall@10 {quality.recall:.3f} (95 % interval {quality.low:.3f} to "
        f"{quality.high:.3f}, {counted(quality.queries, 'held-out query', 'held-out queries')}"
    )
    if quality.text_recall is not None:
        measured += f"; short text queries {quality.text_recall:.3f}"
    lines.append(measured + ")")
    if report.tuned is not None:
        lines.append(
            f"index: {report.tuned.latency_ms_p50:.2f} ms a query (median, one thread; 95 % "
            f"under {report.tuned.latency_ms_p95:.2f} ms)"
        )
    if not quality.met:
        lines.append(
            f"index: the target of {quality.target} is not met; more --memory or another "
            "--factory would help"
        )
    return lines


def show_plan(db: Path, recall: float | None, factory: str, memory: float) -> None:
    from retro_cli.index.generation import current_generation
    from retro_cli.index.plan import predict
    from retro_cli.index.state import IndexJob, as_before, plan_for, read_state, why_retrain
    from retro_cli.index.train import probe
    from retro_cli.store.layout import Layout

    job = IndexJob(Layout(db), recall, factory, int(memory * 1e9))
    job.layout.require()
    state = read_state(job.layout)
    previous = current_generation(job.layout.index)
    job = as_before(job, previous)
    plan = plan_for(job, state, previous)
    rows, dim = int(state.live.sum()), state.encoder.dim
    costs = predict(plan, rows, dim, probe(dim))
    reason = why_retrain(previous, state, plan, job)
    if console.state.json:
        console.record({**asdict(plan), **asdict(costs), "rows": rows, "retrain": reason})
        return
    console.pairs(
        [
            ("rows", f"{console.number(rows)} of {counted(dim, 'dimension')}"),
            ("factory", plan.factory),
            ("because", plan.reason),
            ("training", f"{counted(plan.training_rows, 'row')}; {reason or 'kept'}"),
            ("bytes a row", console.number(plan.code_bytes)),
            ("on disk", f"{console.size(costs.disk_bytes)} (estimate)"),
            ("peak memory", f"{console.size(costs.peak_bytes)} (estimate)"),
            (
                "time",
                f"{console.duration(costs.train_seconds + costs.add_seconds)} (estimate, from a "
                "probe of this machine)",
            ),
        ]
    )
