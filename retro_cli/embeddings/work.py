"""Embed one chunk part. Runs in a worker process; knows nothing of the rest of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.rows import read_blocks, token_ids
from retro_cli.embeddings.encoder import Encoder, load_encoder
from retro_cli.embeddings.resolve import ResolvedEncoder
from retro_cli.errors import RetroError
from retro_cli.store.atomic import STAGING, replacing, unfinished
from retro_cli.store.files import FileRecord
from retro_cli.wording import counted

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """Everything a worker needs, in plain values.

    skipped: rows (sorted) that are left zero because another row stands for them
    use_ids: encode the stored token ids; otherwise tokenise the text again
    """

    chunks: Path
    target: Path
    rows: int
    skipped: tuple[int, ...]
    encoder: ResolvedEncoder
    precision: str
    device: str
    threads: int
    token_bytes: int
    use_ids: bool


_loaded: dict[tuple[str, str, str, int], Encoder] = {}


def encoder_for(task: Task) -> Encoder:
    """One encoder a process, whatever the number of parts."""
    key = (task.encoder.spec.fingerprint(), task.precision, task.device, task.threads)
    if key not in _loaded:
        _loaded[key] = load_encoder(
            task.encoder,
            purpose="bulk",
            precision=task.precision,
            device=task.device,
            threads=task.threads,
        )
    return _loaded[key]


def embed_part(task: Task, advance: Callable[[int], None] | None = None) -> FileRecord:
    """Write the part's vectors to ``task.target`` (named by content) and return its record."""
    encoder = encoder_for(task)
    skip = np.zeros(task.rows, dtype=bool)
    skip[list(task.skipped)] = True
    blocks = _vectors(task, encoder, skip, advance)
    return write_vectors(task.target, task.rows, encoder.spec.dim, blocks)


def _vectors(
    task: Task, encoder: Encoder, skip: npt.NDArray[np.bool_], advance: Callable[[int], None] | None
) -> Iterator[Floats]:
    done = 0
    for batch in read_blocks(task.chunks, ["tokens" if task.use_ids else "text"]):
        wanted = np.flatnonzero(~skip[done : done + len(batch)])
        column = batch.column(0).take(wanted)
        if task.use_ids:
            encoded = encoder.encode_ids(token_ids(column, task.token_bytes))
        else:
            encoded = encoder.encode_documents(column.to_pylist())
        block = np.zeros((len(batch), encoder.spec.dim), dtype=np.float32)
        block[wanted] = encoded
        yield block
        done += len(batch)
        if advance is not None:
            advance(len(batch))


def write_vectors(target: Path, rows: int, dim: int, blocks: Iterator[Floats]) -> FileRecord:
    """Stream blocks into a float16 .npy of ``(rows, dim)``; its name gets its content's hash.

    Raises RetroError on a vector with NaN or infinity: it would poison the index silently.
    """
    staging = unfinished(target, STAGING)
    with replacing(staging) as temporary, temporary.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)}
        np.lib.format.write_array_header_1_0(file, header)
        written = 0
        for block in blocks:
            finite = np.isfinite(block).all(axis=1)
            if not finite.all():
                row = written + int(np.flatnonzero(~finite)[0])
                raise RetroError(
                    f"the vector of row {row} for {target.name} holds NaN or infinity",
                    "check the encoder's weights, or the file given to --from",
                )
            # tofile would not say why it failed.
            file.write(np.ascontiguousarray(block, dtype="<f2").data)
            written += len(block)
        if written != rows:
            vectors, chunks = counted(written, "vector"), counted(rows, "chunk")
            raise RetroError(f"{vectors} for {chunks} in {target.name}")
        file.flush()
    record = FileRecord.of(staging)
    final = target.with_name(f"{target.name}-{record.sha256[:8]}.npy")
    staging.rename(final)
    return FileRecord(final.name, record.bytes, record.sha256)
