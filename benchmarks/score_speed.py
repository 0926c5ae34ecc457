"""Chunks a second that a scorer reads from the disk, scores and writes: lines of ``filtering``."""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from context import SEED, Context, database, fresh, generated_file
from measure import alternate, retro
from results import Line

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.manifest import require_manifest
from retro_cli.embeddings.external import exported_ids
from retro_cli.embeddings.manifest import require_manifest as require_embeddings
from retro_cli.filters.score_table import ScoreTable
from retro_cli.filters.scorers.contract import Scorer
from retro_cli.filters.scorers.default import CombinedScorer, VectorScorer, shipped
from retro_cli.filters.scorers.probe import About, Probe, ProbeScorer, load_probe
from retro_cli.filters.scores import score
from retro_cli.store.layout import Layout

SCORED_MEGABYTES = 43.0  # about 200,000 chunks
PROBE_DIM = 384
SPEED_TARGET = 100_000
LABELLED, TRAINING_SECONDS = 4_000, 60


def scoring(context: Context) -> list[Line]:
    """Vectors at random, as long as those of the default encoder: their values cost nothing."""
    layout = _scored_database(context)
    spec = require_embeddings(layout.embeddings).encoder
    weights = np.random.default_rng(SEED).standard_normal(PROBE_DIM).astype(np.float32)
    path = context.work / "probe.safetensors"
    Probe(weights, 0.0, About(spec.fingerprint(), "nothing", 0, 0.5)).save(path)
    probes: dict[str, Callable[[], Scorer]] = {
        "the vector half of the default scorer": lambda: VectorScorer(shipped()),
        "a probe of one's own": lambda: ProbeScorer(load_probe(path), spec.fingerprint()),
    }
    rates = alternate(
        {name: partial(_rate, layout, make) for name, make in probes.items()},
        context.pick(5, 2),
    )
    combined = [_rate(layout, lambda: CombinedScorer(shipped()), 0)]
    rows = require_manifest(layout.chunks).next_id
    return [
        *(_speed_line(name, rows, found, SPEED_TARGET) for name, found in rates.items()),
        _speed_line("the default scorer, texts and vectors,", rows, combined, 0),
        _training_line(context),
    ]


def _training_line(context: Context) -> Line:
    """A probe of one's own, from labelled texts to the file: the whole command."""
    archive = Path(__file__).parent.parent / "sample_corpus" / "archive"
    db = database(context, "archive", [archive], "all-MiniLM-L6-v2", "embed", "index")
    labelled = context.work / "labelled.csv"
    with (context.data / "tox-davidson" / "data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(islice(csv.reader(file), context.pick(LABELLED, 200) + 1))
    with labelled.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    out = context.work / "probe-of-ones-own.safetensors"
    times = [
        retro("filter", "train-scorer", db, labelled, "--out", out).seconds
        for _ in range(context.pick(3, 1))
    ]
    value = statistics.median(times)
    return Line(
        f"`retro filter train-scorer` from {len(rows) - 1:,} labelled tweets, embedded with "
        "all-MiniLM-L6-v2 in fp32: the whole command",
        f"at most {TRAINING_SECONDS} s",
        f"{value:.0f} s",
        value,
        TRAINING_SECONDS,
        False,
        {"train-scorer, s": times},
    )


def _scored_database(context: Context) -> Layout:
    corpus = generated_file(context, 2.0 if context.quick else SCORED_MEGABYTES)
    name = "quick-scored" if context.quick else "scored"
    layout = Layout(database(context, name, [corpus], "wordllama"))
    if not layout.embeddings.is_dir():
        chunks = require_manifest(layout.chunks)
        rows = len(exported_ids(chunks, Aliases.load(layout.chunks, chunks.aliases)))
        vectors = context.work / "scored.npy"
        rng = np.random.default_rng(SEED)
        np.save(vectors, rng.standard_normal((rows, PROBE_DIM), dtype=np.float32))
        retro("embed", layout.root, "--from", vectors)
        vectors.unlink()
    return layout


def _rate(layout: Layout, make: Callable[[], Scorer], _: int) -> float:
    """Chunks a second of a whole call that scores every part anew and writes its table."""
    table = ScoreTable("benchmark", "benchmark", "", "")
    fresh(layout.attributes / table.name)
    begun = time.perf_counter()
    chunks = require_manifest(layout.chunks)
    aliases = Aliases.load(layout.chunks, chunks.aliases)
    parts = require_embeddings(layout.embeddings).parts
    files = {name: part.file.name for name, part in parts.items()}
    report = score(layout, [(chunks, aliases)], files, make(), table)
    rate = report.rows_scored / (time.perf_counter() - begun)
    assert report.rows_scored == chunks.next_id
    return rate


def _speed_line(name: str, rows: int, rates: list[float], target: int) -> Line:
    rate = statistics.median(rates)
    return Line(
        f"chunks a second through {name} over {rows:,} stored float16 vectors of {PROBE_DIM}",
        f"at least {target:,}" if target else "no target",
        f"{rate:,.0f}",
        rate,
        target,
        True,
        {"chunks/s": rates},
    )
