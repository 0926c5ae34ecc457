"""Rows of a sequence -> the tensors that a model is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from retro_cli.reading.evidence import NeighbourTokens
from retro_cli.reading.material import Material
from retro_cli.training.echoes import with_echoes
from retro_cli.training.packing import FILLING, continues, pack

Ids = npt.NDArray[np.int64]
IGNORED = -100  # a label that the loss leaves out
NONE = -1
ECHOES = 1  # sets the echoes' random numbers apart from those of packing


@dataclass(frozen=True)
class Batch:
    """input_ids, labels, position_ids: (b, n) int64; neighbour_ids: (b, l-1, k, r) int64, or None
    where none are read.

    Each document of a sequence has positions from 0, so that attention keeps to it; the last
    token of one is never asked for the first of the next, nor does it read its neighbours.
    """

    input_ids: Ids
    labels: Ids
    position_ids: Ids
    neighbour_ids: Ids | None

    @property
    def scored(self) -> int:
        """Tokens that the loss is a mean over."""
        return int((self.labels[:, 1:] != IGNORED).sum())


class Batches:
    """An endless, repeatable stream: batch ``number`` is the same whenever it is asked for.

    Each pass over the material packs the documents anew. Neighbours of the last row of a document
    or a sequence are left out: nobody reads them.
    """

    def __init__(
        self, material: Material, evidence: NeighbourTokens | None, *, length: int, size: int,
        seed: int, pad: int, echoes: float = 0.0,
    ) -> None:  # fmt: skip
        """length: rows in a sequence. size: sequences in a batch. pad: what fills input_ids.

        echoes: the share of chunks that find passages of their own document, see ``echoes.py``.
        """
        self.material, self.evidence, self.echoes = material, evidence, echoes
        self.length, self.size, self.seed, self.pad = length, size, seed, pad
        sequences = max(1, -(-material.rows // length))
        self.per_pass = max(1, sequences // size)
        self._packed: tuple[int, Ids] = (-1, np.empty((0, length), np.int64))

    def at(self, number: int) -> Batch:
        """The batch of a number, from 0."""
        lap, place = divmod(number, self.per_pass)
        if self._packed[0] != lap:
            random = np.random.default_rng([self.seed, lap])
            self._packed = (lap, pack(self.material.start, self.length, random))
        rows = self._packed[1][place * self.size : (place + 1) * self.size]
        batch = batch_of(rows, self.material, self.evidence, self.pad)
        if not self.echoes or batch.neighbour_ids is None:
            return batch
        random = np.random.default_rng([self.seed, number, ECHOES])
        return replace(
            batch,
            neighbour_ids=with_echoes(
                batch.neighbour_ids, rows, self.material, self.echoes, random
            ),
        )

    def since(self, number: int) -> Iterator[Batch]:
        while True:
            yield self.at(number)
            number += 1


def batch_of(rows: Ids, material: Material, evidence: NeighbourTokens | None, pad: int) -> Batch:
    """rows: (b, l) of the material, -1 for filling."""
    count, length = rows.shape
    tokens = np.where(rows[..., None] == FILLING, NONE, material.tokens[rows]).astype(np.int64)
    joins = continues(rows, material.start)
    size = tokens.shape[-1]
    labels = np.where(tokens < 0, IGNORED, tokens)
    labels[..., 0] = np.where(joins, labels[..., 0], IGNORED)
    flat = (count, length * size)
    neighbours = None
    if evidence is not None and length > 1:
        read = np.where(joins[:, 1:, None], material.neighbours[rows[:, :-1]], NONE)
        neighbours = evidence.read(read).astype(np.int64)
    return Batch(
        np.where(tokens < 0, pad, tokens).reshape(flat),
        labels.reshape(flat),
        _positions(joins, size),
        neighbours,
    )


def _positions(joins: npt.NDArray[np.bool_], size: int) -> Ids:
    """(b, l * size): places in the document, counted from where it begins in the sequence."""
    length = joins.shape[1]
    firsts = np.maximum.accumulate(np.where(joins, 0, np.arange(length)), axis=1)
    inside = (np.arange(length) - firsts)[..., None] * size + np.arange(size)
    return inside.reshape(len(joins), length * size).astype(np.int64)
