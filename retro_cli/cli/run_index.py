"""Run the index stage for the command line, or show its plan, and say what came of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retro_cli.cli import console
from retro_cli.cli.options import Running
from retro_cli.cli.run import ANYWHERE, timed
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.index.stage import IndexReport


def index(
    db: Path,
    recall: float | None = None,
    factory: str = "",
    memory: float = 4.0,
    retrain: bool = False,
    threads: int = 0,
    stemmer: str | None = None,
    words: bool | None = None,
    running: Running = ANYWHERE,
) -> None:
    from retro_cli import pipeline
    from retro_cli.index.stage import IndexJob
    from retro_cli.store.layout import Layout

    job = IndexJob(
        Layout(db),
        recall,
        factory,
        int(memory * 1e9),
        retrain,
        threads,
        stemmer=stemmer,
        words=words,
        where=running.where(),
    )
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
    from retro_cli.index.catalogue import current_generation
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
