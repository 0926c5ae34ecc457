"""MinHash sketches: what is remembered of a text that has left the disk.

Of the least shingle under each of 128 permutations (Broder 1997) one bit is kept (b-bit minwise
hashing, Li and Koenig 2010). The share of equal bits estimates the Jaccard similarity of two sets
of shingles with a standard error of at most 1 / sqrt(128), that is 0.09. A sketch is 16 bytes for
some sixty tokens, two bits a token: it tells whether a text that somebody has is like the one that
is gone, but too little to read that one back, a token at a time or at all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint64]
Sketches = npt.NDArray[np.uint8]  # (n, 16)

PERMUTATIONS = 128
_BLOCK = 256  # sketches that are compared with at a time
_WORD = (1 << 64) - 1


def _constants(count: int) -> Hashes:
    """Splitmix64, spelled out: what is on the disk must mean the same for good."""
    found, state = [], 1997
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & _WORD
        value = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _WORD
        found.append(value ^ (value >> 31))
    return np.array(found, dtype=np.uint64)


_FLIPS, _FACTORS = np.split(_constants(2 * PERMUTATIONS), 2)
_FACTORS |= np.uint64(1)


def permuted(hashes: Hashes) -> Iterator[Hashes]:
    """The hashes under each permutation."""
    for flip, factor in zip(_FLIPS, _FACTORS, strict=True):
        values = (hashes ^ flip) * factor
        values ^= values >> np.uint64(32)
        yield values * factor


def kept_bit(values: Hashes) -> Bits:
    """The bit of a least value that a sketch keeps: none of those that make it least."""
    return (values >> np.uint64(24) & np.uint64(1)).astype(bool)


def sketches_of(hashes: Hashes, starts: npt.NDArray[np.int64]) -> Sketches:
    """One sketch for each run of hashes, from one of ``starts`` up to the next."""
    bits = np.empty((len(starts), PERMUTATIONS), dtype=bool)
    if len(starts):
        for number, values in enumerate(permuted(hashes)):
            bits[:, number] = kept_bit(np.minimum.reduceat(values, starts))
    return np.packbits(bits, axis=1)


def window_sketches(hashes: Hashes, size: int, stride: int) -> Sketches:
    """Of ``size // stride * stride`` hashes from 0 on, from ``stride`` on, and so forth."""
    width = size // stride
    blocks = np.arange(0, len(hashes) - stride + 1, stride)
    bits = np.empty((max(0, len(blocks) - width + 1), PERMUTATIONS), dtype=bool)
    if len(bits):
        whole = hashes[: len(blocks) * stride]
        for number, values in enumerate(permuted(whole)):
            least = np.minimum.reduceat(values, blocks)
            span = 1
            while span < width:  # twice as wide each time; the last step overlaps
                step = min(span, width - span)
                least = np.minimum(least[:-step], least[step:])
                span += step
            bits[:, number] = kept_bit(least)
    return np.packbits(bits, axis=1)


def likeness(some: Sketches, known: Sketches) -> Floats:
    """(some,) the estimated similarity to the most similar of ``known``; it may be below 0."""
    best = np.full(len(some), -1.0, dtype=np.float32)
    mine = _signs(some)
    for start in range(0, len(known), _BLOCK):
        theirs = _signs(known[start : start + _BLOCK])
        np.maximum(best, (mine @ theirs.T).max(axis=1) / PERMUTATIONS, out=best)
    return best


def _signs(sketches: Sketches) -> Floats:
    return np.unpackbits(sketches, axis=1).astype(np.float32) * 2 - 1
