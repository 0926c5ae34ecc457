"""The proof that a database is what its manifests say: every hash, and what the hashes cannot say.

Hashes show that bytes did not change. The rest shows that they belong together: rows line up
between chunks and vectors, chunks cover their documents, and a sample of vectors comes out
again when the stored tokens are encoded anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from retro_cli.chunks.manifest import MANIFEST, ChunkManifest, Part, load_manifest
from retro_cli.chunks.rows import read_blocks, token_ids
from retro_cli.datastore.manifest import load_manifest as load_datastore
from retro_cli.datastore.state import key_problems
from retro_cli.embeddings.encoder import load_encoder
from retro_cli.embeddings.manifest import EmbeddingManifest
from retro_cli.embeddings.manifest import load_manifest as load_embeddings
from retro_cli.embeddings.resolve import resolve
from retro_cli.embeddings.stage import uses_stored_ids
from retro_cli.errors import NotBuiltYet, RetroError
from retro_cli.events import SILENT, Progress
from retro_cli.filters.ledger import FILE as LEDGER
from retro_cli.filters.ledger import load_ledger
from retro_cli.filters.score_table import tables
from retro_cli.index.catalogue import (
    all_generations,
    current_generation,
    generation_chunks,
    load_generation,
)
from retro_cli.index.generation import CURRENT
from retro_cli.lexical.search import other_rows
from retro_cli.lexical.state import states
from retro_cli.lexical.write import wanted_words
from retro_cli.query.table import load_table, table_names
from retro_cli.store.files import FileRecord, Verified
from retro_cli.store.here import here
from retro_cli.store.layout import Layout
from retro_cli.store.tables import read_columns

SAMPLE = 64
# An int8 encoder quantises activations per batch, so a vector alone differs from one in company.
TOLERANCE = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.97}


@dataclass
class Verification:
    """What was looked at and what was wrong. ``skipped`` says what could not be checked and why."""

    files: int = 0
    bytes: int = 0
    documents: int = 0
    vectors: int = 0
    rederived: int = 0
    problems: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def verify(layout: Layout, progress: Progress = SILENT, sample: int = SAMPLE) -> Verification:
    """Check everything; problems are collected, not raised.

    Takes no lock. Where something seems wrong and a writer has committed meanwhile, it may be what
    the writer swept, and everything is checked again as it is now.
    """
    layout.require()
    while True:
        before = _committed(layout)
        try:
            result = _verified(layout, progress, sample)
        except (OSError, RetroError):
            if _committed(layout) == before:
                raise
            continue
        if not result.problems or _committed(layout) == before:
            return result


def _committed(layout: Layout) -> dict[str, bytes]:
    """What the commits of writers change: manifests, the ledger, generations, their pointer."""
    found: dict[str, bytes] = {}
    for name in (MANIFEST, LEDGER, CURRENT, "gen-*.json"):
        for path in layout.root.rglob(name):
            with suppress(FileNotFoundError):
                found[str(path)] = path.read_bytes()
    return found


def _verified(layout: Layout, progress: Progress, sample: int) -> Verification:
    result = Verification()
    chunks = load_manifest(layout.chunks)
    embeddings = load_embeddings(layout.embeddings)
    work = [*_hashed(layout, chunks, embeddings, result), *_words(layout, result)]
    progress.started("verify", sum(record.bytes for _, record in work), "bytes")
    caches = {folder: Verified(folder) for folder, _ in work}
    for folder, record in work:
        if problem := caches[folder].problem(record, every_byte=True):
            result.problems.append(f"{folder.name}: {problem}")
        result.files += 1
        result.bytes += record.bytes
        progress.advanced("verify", record.bytes)
    progress.finished("verify")
    for cache in caches.values():  # what was found damaged is not trusted by the next run
        with suppress(OSError, RetroError):  # who may only read the database may prove it too
            cache.save()
    if chunks is not None and not result.problems:
        for part in chunks.parts:
            _check_part(layout, part, result)
        if embeddings is not None:
            _check_vectors(layout, chunks, embeddings, result)
            _rederive(layout, chunks, embeddings, result, sample)
    if not result.problems:
        _check_words(layout, result)
        result.problems.extend(key_problems(layout))
    return result


def _hashed(
    layout: Layout,
    chunks: ChunkManifest | None,
    embeddings: EmbeddingManifest | None,
    result: Verification,
) -> Iterator[tuple[Path, FileRecord]]:
    if chunks is not None:
        yield from ((layout.chunks, record) for record in chunks.files())
    if embeddings is not None:
        yield from ((layout.embeddings, part.file) for part in embeddings.parts.values())
    yield from _beside(layout)
    load_ledger(layout)
    try:
        current = current_generation(layout.index)
        seen: set[str] = set()
        for name in all_generations(layout.index):
            generation = load_generation(layout.index, name)
            for record in generation.files():
                if record.name not in seen:
                    seen.add(record.name)
                    yield layout.index, record
        if current is None and seen:
            result.problems.append("index: CURRENT is missing")
    except RetroError as error:
        result.problems.append(error.message)


def _beside(layout: Layout) -> Iterator[tuple[Path, FileRecord]]:
    """The files of scores, neighbour tables and the datastore."""
    for table in tables(layout):
        folder = layout.attributes / table.name
        yield from ((folder, file) for _, file in table.parts.values())
    for name in table_names(layout):
        folder = layout.neighbours / name
        yield from ((folder, file) for file in load_table(layout, name).parts.values())
    if (store := load_datastore(layout.datastore)) is not None:
        yield from ((layout.datastore, file) for file in store.files())


def _check_part(layout: Layout, part: Part, result: Verification) -> None:
    """Rows line up with documents, and a document's chunks cover it without gap or overlap."""
    docs = read_columns(
        layout.chunks / part.docs_file, ["document", "first", "chunks", "characters"]
    )
    spans = read_columns(layout.chunks / part.chunks_file, ["doc", "start", "end"])
    doc, start, end = (spans[name].to_numpy() for name in ("doc", "start", "end"))
    counts = docs["chunks"].to_numpy()
    result.documents += len(docs)
    expected = np.repeat(np.arange(len(docs)), counts)
    if len(doc) != part.rows or not np.array_equal(doc, expected):
        result.problems.append(f"{part.name}: chunks and documents do not line up")
        return
    inner = np.flatnonzero(np.diff(doc) == 0) if len(doc) else np.empty(0, np.int64)
    firsts = docs["first"].to_numpy()[counts > 0]
    lasts = firsts + counts[counts > 0] - 1
    covered = (
        (end[inner] == start[inner + 1]).all()
        and (start[firsts] == 0).all()
        and (end[lasts] == docs["characters"].to_numpy()[counts > 0]).all()
    )
    if not covered:
        result.problems.append(f"{part.name}: chunks leave a gap in a document or overlap")


def _words(layout: Layout, result: Verification) -> Iterator[tuple[Path, FileRecord]]:
    try:
        for state in states(layout.lexical):
            yield from ((state.folder, file) for file in state.files)
    except RetroError as error:
        result.problems.append(error.message)


def _check_words(layout: Layout, result: Verification) -> None:
    generation = current_generation(layout.index)
    if generation is None:
        return
    manifest = generation_chunks(layout.index, generation)
    try:
        problem = other_rows(wanted_words(layout, manifest, generation.chunks.sha256))
        result.problems += [problem] if problem else []
    except NotBuiltYet as error:
        result.skipped.append(f"no word was looked up: {error.message}")


def _check_vectors(
    layout: Layout, chunks: ChunkManifest, embeddings: EmbeddingManifest, result: Verification
) -> None:
    rows = {part.name: part.rows for part in chunks.parts}
    for part in embeddings.parts.values():
        vectors = np.load(
            here(layout.embeddings / part.file.name), mmap_mode="r", allow_pickle=False
        )
        if vectors.shape != (rows.get(part.name, part.rows), embeddings.encoder.dim):
            result.problems.append(f"{part.file.name}: shape {vectors.shape} does not fit its part")
            continue
        for start in range(0, len(vectors), 1 << 16):
            norms = np.linalg.norm(vectors[start : start + (1 << 16)].astype(np.float32), axis=1)
            if not np.isfinite(norms).all() or ((norms > 0) & (abs(norms - 1) > 0.01)).any():
                result.problems.append(f"{part.file.name}: a vector is not of unit length")
                break
            result.vectors += int(np.count_nonzero(norms))


def _rederive(
    layout: Layout,
    chunks: ChunkManifest,
    embeddings: EmbeddingManifest,
    result: Verification,
    sample: int,
) -> None:
    """Encode a seeded sample of stored chunks again and compare with the stored vectors."""
    spec = embeddings.encoder
    try:
        resolved = resolve(spec.name)
    except RetroError as error:
        result.skipped.append(f"no vector was derived again: {error.message}")
        return
    if resolved.spec.fingerprint() != spec.fingerprint():
        result.problems.append(f"{spec.name} is not the encoder that made the vectors any more")
        return
    parts = [part for part in chunks.parts if part.name in embeddings.parts and part.rows]
    if not parts:
        return
    random = np.random.default_rng(0)
    weights = np.array([part.rows for part in parts], dtype=float)
    picks = random.choice(
        len(parts), size=min(4, len(parts)), replace=False, p=weights / weights.sum()
    )
    # Half precision is a GPU's; here its vectors are compared with single precision.
    precision = "fp32" if embeddings.precision == "fp16" else embeddings.precision
    encoder = load_encoder(resolved, purpose="bulk", precision=precision, device="cpu")
    use_ids = uses_stored_ids(chunks, spec)
    for pick in picks:
        part = parts[pick]
        file = layout.embeddings / embeddings.parts[part.name].file.name
        stored = np.load(here(file), mmap_mode="r", allow_pickle=False)
        chosen = np.flatnonzero(np.any(stored[: 1 << 12] != 0, axis=1))
        chosen = np.sort(
            random.choice(chosen, min(-(-sample // len(picks)), len(chosen)), replace=False)
        )
        column = "tokens" if use_ids else "text"
        batch = next(read_blocks(layout.chunks / part.chunks_file, [column], rows=1 << 12))
        values = batch.column(0).take(chosen)
        if use_ids:
            again = encoder.encode_ids(token_ids(values, chunks.token_bytes))
        else:
            again = encoder.encode_documents(values.to_pylist())
        rows = stored[chosen].astype(np.float32)
        cosine = (again * rows).sum(axis=1) / np.linalg.norm(rows, axis=1)
        result.rederived += len(chosen)
        worst = float(cosine.min()) if len(cosine) else 1.0
        if worst < TOLERANCE[embeddings.precision]:
            result.problems.append(
                f"{file.name}: a vector derived again has cosine {worst:.4f} to the stored one"
            )
