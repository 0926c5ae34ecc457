"""Segments that are scanned elsewhere give the answers that they give here, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from retro_cli.index.search import Searcher
from retro_cli.index.spread import Mask, Piece


class Elsewhere:
    """Does all pieces but every ``lazy``-th, as a worker would: from what travels."""

    def __init__(self, lazy=0):
        self.lazy, self.asked = lazy, 0

    def ask(self, function, pieces):
        assert all(isinstance(piece, Piece) for piece in pieces)
        self.asked += len(pieces)
        return [
            None if self.lazy and at % self.lazy == 0 else function(travelled(piece))
            for at, piece in enumerate(pieces)
        ]


def travelled(piece):
    """With arrays of its own."""
    mask = piece.mask and Mask(piece.mask.bits.copy(), piece.mask.barred)
    return replace(piece, queries=piece.queries.copy(), lists=piece.lists.copy(), mask=mask)


def searcher(built, dead, helpers):
    bits = None if dead is None else np.packbits(dead, bitorder="little")
    return Searcher(built.segments, built.corpus.vectors, bits, 8, built.plan.candidates, helpers)


@pytest.mark.parametrize("kind", ["exact", "sq8", "rabitq", "graph", "rotated"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_answers_are_the_same_wherever_segments_are_scanned(build, corpus, kind, share):
    built = build(kind)
    rng = np.random.default_rng(3)
    dead = corpus.live & (rng.random(len(corpus.live)) < share) if share else None
    allowed = rng.random(len(corpus.live)) < 0.8
    here = searcher(built, dead, None)
    queries = corpus.queries()
    for lazy in (0, 1, 2):
        helpers = Elsewhere(lazy)
        there = searcher(built, dead, helpers)
        for chosen in (None, allowed):
            mine, theirs = (each.search(queries, 10, allowed=chosen) for each in (here, there))
            assert mine.ids.tobytes() == theirs.ids.tobytes()
            assert mine.scores.tobytes() == theirs.scores.tobytes()
        assert helpers.asked >= 2 * len(built.segments)
