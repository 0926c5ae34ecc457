"""What a model is trained or evaluated on: rows of m tokens, each with its neighbours' ids."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.manifest import Part
from retro_cli.chunks.rows import token_ids
from retro_cli.config import Settings
from retro_cli.errors import UsageError
from retro_cli.query.neighbours import NeighbourTable
from retro_cli.query.retrieve import Retriever
from retro_cli.reading.texts import Tokens, padded
from retro_cli.store.tables import read_columns

Ids = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Material:
    """Chunks of documents, in order.

    tokens: (n, m) int32, -1 behind a document's end. start: (n,) bool, whether nothing of the same
    document precedes the row, so that it begins a text of its own. neighbours: (n, k) int64 chunk
    ids of the database, best first, -1 where there are fewer.
    """

    tokens: Tokens
    start: Bits
    neighbours: Ids

    @property
    def rows(self) -> int:
        return len(self.tokens)

    @property
    def token_count(self) -> int:
        return int((self.tokens >= 0).sum())


def require_same_cut(
    settings: Settings, stored_sha256: str, tokenizer_sha256: str, size: int
) -> None:
    """Raises UsageError unless a database's chunks are a model's: same tokens, cut exactly."""
    problems = []
    if stored_sha256 != tokenizer_sha256:
        problems.append("cut with another tokenizer than the model's")
    if settings.cut != "exact":
        problems.append("not all of one length (--cut word)")
    if settings.tokens != size:
        problems.append(f"of {settings.tokens} tokens, the model's of {size}")
    if problems:
        raise UsageError(
            f"the database's own text cannot be read by the model: its chunks are "
            f"{', '.join(problems)}",
            f"chunk with --tokenizer MODEL --cut exact --tokens {size}, or name texts with --text",
        )


def database_material(retriever: Retriever, table: NeighbourTable, size: int) -> Material:
    """The living chunks of a database with their neighbours; ``require_same_cut`` has passed.

    A chunk whose predecessor was filtered out begins a text of its own.
    """
    return joined(
        [_of_part(retriever, table, part, size) for part in retriever.manifest.parts if part.rows]
    )


def joined(parts: Sequence[Material]) -> Material:
    """One after the other; at least one, all of one shape."""
    return Material(
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([part.start for part in parts]),
        np.concatenate([part.neighbours for part in parts]),
    )


def _of_part(retriever: Retriever, table: NeighbourTable, part: Part, size: int) -> Material:
    rows, neighbours = table.read(part.name)
    columns = read_columns(
        retriever.layout.chunks / part.chunks_file, ["doc", "position", "tokens"]
    ).take(rows - part.base)
    width = retriever.manifest.token_bytes
    ids = token_ids(columns["tokens"].combine_chunks(), width)
    document, place = columns["doc"].to_numpy(), columns["position"].to_numpy()
    start = np.ones(len(rows), dtype=bool)
    start[1:] = (document[1:] != document[:-1]) | (place[1:] != place[:-1] + 1)
    return Material(padded(ids, len(rows), size), start, neighbours)


def with_ends(material: Material, end: int) -> Material:
    """The same with the token ``end`` behind each document whose last chunk has room for it."""
    last = np.append(material.start[1:], True)
    short = last & (material.tokens[:, -1] < 0)
    rows = np.flatnonzero(short)
    tokens = material.tokens.copy()
    tokens[rows, (material.tokens[rows] >= 0).sum(axis=1)] = end
    return replace(material, tokens=tokens)


def material_fingerprint(material: Material) -> str:
    """A sha256 (hex): equal materials have equal ones."""
    state = hashlib.sha256()
    for array in (material.tokens, material.start, material.neighbours):
        state.update(f"{array.shape} {array.dtype.str}\n".encode())
        state.update(np.ascontiguousarray(array).view(np.uint8).data)
    return state.hexdigest()
