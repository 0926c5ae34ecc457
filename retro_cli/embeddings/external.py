"""Vectors made elsewhere: taken in row by row, checked, and never mistaken for our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live, searchable
from retro_cli.chunks.manifest import ChunkManifest, require_manifest
from retro_cli.chunks.rows import ChunkRows
from retro_cli.embeddings.encoder import load_encoder
from retro_cli.embeddings.manifest import EmbeddedPart, EmbeddingManifest, made_by
from retro_cli.embeddings.resolve import resolve
from retro_cli.embeddings.spec import EXTERNAL, EncoderSpec
from retro_cli.embeddings.stage import EmbedReport, WantedPart, wanted_parts
from retro_cli.embeddings.work import write_vectors
from retro_cli.errors import EncoderMismatch, UnreadableInput
from retro_cli.events import Progress
from retro_cli.store.atomic import file_sha256
from retro_cli.store.files import FileRecord
from retro_cli.store.layout import Layout
from retro_cli.store.lock import writer_lock
from retro_cli.wording import counted

Floats = npt.NDArray[np.float32]
_SAMPLE = 8
_AGREES = 0.98


def import_vectors(
    layout: Layout, path: Path, encoder: str | None, progress: Progress
) -> EmbedReport:
    """Take the vectors of every chunk that needs one from a .npy or Parquet file.

    ``encoder`` names the encoder that made them, so that text queries work: a sample is encoded
    again and must agree. Without it only query vectors can search. Raises UnreadableInput for a
    file that does not fit, EncoderMismatch if the sample disagrees.
    """
    layout.require()
    with writer_lock(layout.root, "embed"):
        chunks = require_manifest(layout.chunks)
        layout.embeddings.mkdir(exist_ok=True)
        aliases = Aliases.load(layout.chunks, chunks.aliases)
        ids = exported_ids(chunks, aliases)
        vectors = _normalised(_load(path, ids, aliases.representatives(chunks.next_id)), path)
        spec = _spec(layout, chunks, path, encoder, ids, vectors)
        parts: dict[str, EmbeddedPart] = {}
        progress.started("embed", len(ids), "vectors")
        for want in wanted_parts(chunks, aliases, made_by(spec, "fp32")):
            file = _write_part(layout, want, ids, vectors)
            parts[want.part.name] = EmbeddedPart(
                want.part.name, want.part.rows, want.live, want.fingerprint, file
            )
            progress.advanced("embed", want.live)
        progress.finished("embed")
        EmbeddingManifest(spec, "fp32", parts).save(layout.embeddings)
    return EmbedReport(len(parts), 0, len(ids), len(ids), spec, "fp32", False)


def exported_ids(chunks: ChunkManifest, aliases: Aliases) -> npt.NDArray[np.int64]:
    """The ids of the searchable chunks, ascending: the order of ``retro export``."""
    return np.flatnonzero(searchable(own_live(chunks), aliases))


def _load(path: Path, ids: npt.NDArray[np.int64], canonical: npt.NDArray[np.int64]) -> Any:
    """(len(ids), dim) vectors. A Parquet file may name any row that a chunk of ``ids`` stands for:
    canonical is (next_id,)."""
    if path.suffix == ".npy":
        try:
            matrix = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UnreadableInput(
                f"{path}: {error}", "give a .npy file of shape (n, dim)"
            ) from error
        if matrix.ndim != 2 or len(matrix) != len(ids) or matrix.dtype.kind not in "fiu":
            raise UnreadableInput(
                f"{path} has shape {matrix.shape} of {matrix.dtype}, but there are {len(ids):,} "
                "chunks to embed",
                "retro export --with-filtered writes them in the order that --from expects",
            )
        return matrix
    try:
        missing = [name for name in ("id", "vector") if name not in pq.read_schema(path).names]
        if missing:
            raise UnreadableInput(
                f"{path} has no column {' and none '.join(missing)}",
                "give .npy, or Parquet with the columns id and vector",
            )
        table = pq.read_table(path, columns=["id", "vector"])
        given = table["id"].to_numpy().astype(np.int64, casting="safe")
        rows = table["vector"].combine_chunks()
        lengths = set(pc.list_value_length(rows).to_pylist())
        flat = rows.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, pa.ArrowException) as error:
        raise UnreadableInput(
            f"{path}: {error}", "give .npy, or Parquet with the columns id and vector"
        ) from error
    if len(lengths) != 1 or None in lengths or not all(lengths):
        raise UnreadableInput(f"{path}: vectors of unequal length", "every vector needs dim values")
    known = (given >= 0) & (given < len(canonical))
    given = np.where(known, canonical[np.where(known, given, 0)], -1)
    order = np.argsort(given, kind="stable")
    places = np.searchsorted(given, ids, sorter=order)
    found = np.take(order, np.minimum(places, len(order) - 1)) if len(order) else places
    if not len(order) or (given[found] != ids).any():
        lost = ids[given[found] != ids] if len(order) else ids
        raise UnreadableInput(
            f"{path} lacks vectors for {counted(len(lost), 'chunk')}, the first is {lost[0]}",
            "retro export DB chunks.parquet --with-filtered lists the ids",
        )
    return flat.reshape(len(rows), -1)[found]


def _normalised(matrix: Any, path: Path) -> Floats:
    vectors = np.asarray(matrix, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = ~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise UnreadableInput(
            f"{path}: row {row} is zero or holds NaN or infinity ({int(bad.sum())} such rows)",
            "check what made the vectors",
        )
    unit: Floats = vectors / norms
    return unit


def _spec(
    layout: Layout,
    chunks: ChunkManifest,
    path: Path,
    encoder: str | None,
    ids: npt.NDArray[np.int64],
    vectors: Floats,
) -> EncoderSpec:
    dim = int(vectors.shape[1])
    if encoder is None:
        return EncoderSpec(
            name=EXTERNAL,
            kind=EXTERNAL,
            dim=dim,
            max_tokens=0,
            pooling="",
            normalize=True,
            query_prompt="",
            document_prompt="",
            weights_sha256=file_sha256(path),
            tokenizer_sha256="",
        )
    resolved = resolve(encoder)
    if resolved.spec.dim != dim:
        raise EncoderMismatch(
            f"{path} has {dim} dimensions, {encoder} has {resolved.spec.dim}",
            "name the encoder that made these vectors",
        )
    picks = np.linspace(0, len(ids) - 1, min(_SAMPLE, len(ids))).astype(np.int64)
    rows = ChunkRows(layout.chunks, chunks.parts)
    texts = [chunk.text for chunk in rows.get(ids[picks].tolist())]
    rows.close()
    again = load_encoder(resolved, purpose="query").encode_documents(texts)
    worst = float((again * vectors[picks]).sum(axis=1).min())
    if worst < _AGREES:
        raise EncoderMismatch(
            f"{encoder} does not make these vectors: a sample has cosine {worst:.3f}",
            "name the encoder that made them, or none to search with vectors only",
        )
    return resolved.spec


def _write_part(
    layout: Layout, want: WantedPart, ids: npt.NDArray[np.int64], vectors: Floats
) -> FileRecord:
    part = want.part
    low, high = np.searchsorted(ids, [part.base, part.base + part.rows])
    block = np.zeros((part.rows, vectors.shape[1]), dtype=np.float32)
    block[ids[low:high] - part.base] = vectors[low:high]
    return write_vectors(layout.embeddings / part.name, part.rows, vectors.shape[1], iter([block]))
