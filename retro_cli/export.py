"""What a database holds, out of it: chunks and vectors as ``embed --from`` takes them back, or a
corpus in the forms of others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live, searchable
from retro_cli.chunks.manifest import Part, require_manifest
from retro_cli.chunks.rows import ChunkRows, read_blocks
from retro_cli.embeddings.manifest import EmbeddingManifest
from retro_cli.embeddings.manifest import require_manifest as require_embeddings
from retro_cli.errors import UsageError
from retro_cli.exchange.corpus import DOCUMENTS, HEADERS, LINES, documents, passages
from retro_cli.exchange.judgements import Judgements, judgement_lines
from retro_cli.exchange.questions import Question
from retro_cli.filters.exclusion import exclude
from retro_cli.filters.ledger import load_ledger
from retro_cli.index.state import read_state
from retro_cli.store.atomic import check_output, disk_errors, replacing
from retro_cli.store.here import here
from retro_cli.store.layout import Layout

Ids = npt.NDArray[np.int64]
COLUMNS = ["document", "source", "title", "position", "start", "end", "text"]


def export(layout: Layout, out: Path, *, vectors: bool, with_filtered: bool = False) -> int:
    """Write every chunk that has a vector of its own; the number of rows is returned.

    What filter rules take is left out unless ``with_filtered``. A text that several documents hold
    is named after the first of them that is left, as an answer names it.

    ``.parquet``: id, document, source, title, position, start, end, text and, with ``vectors``,
    vector (float32). ``.jsonl``: the same, a line each. ``.npy``: (n, dim) float32, vectors only.
    """
    layout.require()
    chunks = require_manifest(layout.chunks)
    aliases = Aliases.load(layout.chunks, chunks.aliases)
    own = own_live(chunks)
    if not with_filtered:
        own &= ~exclude(layout, chunks, aliases, load_ledger(layout)).rows
    ids = np.flatnonzero(searchable(own, aliases))
    embeddings = None
    if vectors or out.suffix == ".npy":
        embeddings = require_embeddings(layout.embeddings)
        read_state(layout)  # raises unless every chunk has its vector
    writers = {".parquet": _to_parquet, ".jsonl": _to_jsonl, ".npy": _to_npy}
    if out.suffix not in writers:
        raise UsageError(f"{out}: unknown format", "name a .parquet, .jsonl or .npy file")
    check_output(out)
    tables = _tables(layout, chunks.parts, ids, embeddings, texts=out.suffix != ".npy")
    if out.suffix != ".npy":
        tables = _named(layout, chunks.parts, tables, aliases.shown(own))
    with replacing(out) as temporary, disk_errors(out):
        writers[out.suffix](temporary, tables, len(ids), embeddings)
    return len(ids)


def export_corpus(
    layout: Layout,
    out: Path,
    shape: str,
    *,
    with_filtered: bool = False,
    questions: Sequence[Question] = (),
    judgements: Judgements | None = None,
) -> int:
    """Write what may be shown as a corpus of others; the number of its records is returned.

    shape: documents as "beir" (a folder), "kilt" or "msmarco", chunks as "dpr" or "atlas".
    questions, judgements: written beside the corpus of BEIR's folder. Raises UsageError.
    """
    if shape not in LINES:
        raise UsageError(f"--format {shape}", f"choose one of {', '.join(LINES)}")
    layout.require()
    chunks = require_manifest(layout.chunks)
    own = own_live(chunks)
    if not with_filtered:
        aliases = Aliases.load(layout.chunks, chunks.aliases)
        own &= ~exclude(layout, chunks, aliases, load_ledger(layout)).rows
    if shape == "beir" and out.is_file():
        raise UsageError(f"{out} is a file", "BEIR's layout is a folder: name one")
    written = (documents if shape in DOCUMENTS else passages)(layout.chunks, chunks, own)
    lines = chain([HEADERS.get(shape, "")], map(LINES[shape], written))
    count = _write_lines(out / "corpus.jsonl" if shape == "beir" else out, lines) - 1
    if questions:
        asked = (_json({"_id": each.id, "text": each.text}) for each in questions)
        _write_lines(out / "queries.jsonl", asked)
    if judgements:
        _write_lines(out / "qrels" / "test.tsv", judgement_lines(judgements, "beir"))
    return count


def _write_lines(path: Path, lines: Iterable[str]) -> int:
    """How many lines there were."""
    check_output(path)
    count = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for line in lines:
            file.write(line)
            count += 1
    return count


def _tables(
    layout: Layout,
    parts: tuple[Part, ...],
    ids: np.ndarray,
    embeddings: EmbeddingManifest | None,
    *,
    texts: bool,
) -> Iterator[pa.Table]:
    for part in parts:
        low, high = np.searchsorted(ids, [part.base, part.base + part.rows])
        rows = ids[low:high] - part.base
        if not len(rows):
            continue
        stored = _stored(layout, part, embeddings)
        done = 0
        for batch in read_blocks(layout.chunks / part.chunks_file, COLUMNS if texts else ["doc"]):
            inside = rows[(rows >= done) & (rows < done + len(batch))] - done
            table = pa.Table.from_batches([batch]).take(pa.array(inside))
            table = table.add_column(0, "id", pa.array(inside + done + part.base))
            if stored is not None:
                block = stored[done : done + len(batch)][inside].astype(np.float32)
                vector = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), block.shape[1])
                table = table.append_column("vector", vector)
            yield table
            done += len(batch)


def _named(
    layout: Layout, parts: tuple[Part, ...], tables: Iterator[pa.Table], shown: Ids
) -> Iterator[pa.Table]:
    """Rows whose own document is gone, in the names of those that they stand for now."""
    rows = ChunkRows(layout.chunks, parts)
    for table in tables:
        ids = table["id"].to_numpy()
        gone = np.flatnonzero(shown[ids] != ids)
        chunks = rows.get(shown[ids[gone]].tolist())
        for at, name in enumerate(table.schema.names) if len(gone) else ():
            if name in ("id", *COLUMNS):
                values = table[name].to_pylist()
                for row, chunk in zip(gone.tolist(), chunks, strict=True):
                    values[row] = getattr(chunk, name)
                field = table.schema.field(at)
                table = table.set_column(at, field, pa.array(values, field.type))
        yield table
    rows.close()


def _stored(layout: Layout, part: Part, embeddings: EmbeddingManifest | None) -> np.ndarray | None:
    if embeddings is None:
        return None
    file = embeddings.parts[part.name].file.name
    stored: np.ndarray = np.load(here(layout.embeddings / file), mmap_mode="r", allow_pickle=False)
    return stored


def _to_parquet(
    path: Path, tables: Iterator[pa.Table], rows: int, embeddings: EmbeddingManifest | None
) -> None:
    writer: pq.ParquetWriter | None = None
    for table in tables:
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer is None:
        pq.write_table(pa.table({"id": pa.array([], pa.int64())}), path)
    else:
        writer.close()


def _to_jsonl(
    path: Path, tables: Iterator[pa.Table], rows: int, embeddings: EmbeddingManifest | None
) -> None:
    with path.open("w", encoding="utf-8") as file:
        for table in tables:
            file.writelines(map(_json, table.to_pylist()))


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _to_npy(
    path: Path, tables: Iterator[pa.Table], rows: int, embeddings: EmbeddingManifest | None
) -> None:
    dim = embeddings.encoder.dim if embeddings else 0
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
        np.lib.format.write_array_header_1_0(file, header)
        for table in tables:
            vectors = table["vector"].combine_chunks().flatten().to_numpy().astype("<f4")
            file.write(vectors.data)  # tofile would not say why it failed
