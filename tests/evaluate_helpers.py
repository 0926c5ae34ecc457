"""Texts of random tokens, as an evaluation reads them, and neighbours that need no database."""

from __future__ import annotations

import numpy as np

from retro_cli.evaluate.text import EvaluationText

BYTES = 3  # of every token


def random_text(lengths, m=4, vocabulary=61, k=2, seed=0):
    """Documents of these many tokens, each of three bytes; neighbours are random ids below 50."""
    rng = np.random.default_rng(seed)
    tokens, document = [], []
    for number, length in enumerate(lengths):
        ids = rng.integers(3, vocabulary, length).astype(np.int32)
        for first in range(0, length, m):
            row = np.full(m, -1, dtype=np.int32)
            row[: len(ids[first : first + m])] = ids[first : first + m]
            tokens.append(row)
            document.append(number)
    tokens = np.array(tokens).reshape(-1, m)
    return EvaluationText(
        tokens=tokens,
        document=np.array(document, dtype=np.int64),
        sizes=BYTES * (tokens >= 0).sum(axis=1),
        leads=np.full(len(lengths), BYTES),
        names=tuple(f"document {number}" for number in range(len(lengths))),
        vectors=np.zeros((len(tokens), 2), np.float16),
        neighbours=rng.integers(0, 50, (len(tokens), k)),
    )


def reader(length=8, vocabulary=61):
    """Chunk ids -> token ids, as a database would give them: the same for the same id."""
    table = np.random.default_rng(9).integers(3, vocabulary, (50, length)).astype(np.int32)
    table[::7, length // 2 :] = -1

    def read(ids):
        return np.where(ids[..., None] >= 0, table[ids], np.int32(-1))

    return read
