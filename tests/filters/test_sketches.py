"""MinHash sketches: they tell how alike two texts are, and give neither of them away."""

from __future__ import annotations

import numpy as np
import pytest

from retro_cli.errors import IntegrityError
from retro_cli.filters.copies import chunk_sketches, shingles, spans
from retro_cli.filters.memory import Memory, remembered
from retro_cli.filters.sketches import kept_bit, likeness, permuted, window_sketches
from retro_cli.store.layout import Layout

VOCABULARY = 2000
LENGTH = 64


def text(seed: int, length: int = LENGTH) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCABULARY, length).astype(np.uint16)


def alike(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """The estimated and the true similarity."""
    (first, second), _ = chunk_sketches([one, other])
    mine, yours = (set(shingles([tokens])[0].tolist()) for tokens in (one, other))
    return float(likeness(first[None], second[None])[0]), len(mine & yours) / len(mine | yours)


def test_the_estimate_is_as_near_the_truth_as_is_said():
    errors = []
    for seed in range(200):
        one, shared = text(seed), seed % LENGTH
        estimate, truth = alike(one, np.concatenate([one[:shared], text(seed + 999, LENGTH)]))
        errors.append(estimate - truth)
    assert abs(np.mean(errors)) < 0.03
    assert np.std(errors) < 128**-0.5


def test_a_text_is_wholly_like_itself_and_not_at_all_like_another():
    assert alike(text(1), text(1)) == (1.0, 1.0)
    assert abs(alike(text(1), text(2))[0]) < 0.4


def test_windows_are_sketched_as_chunks_are():
    tokens = text(3, 200)
    hashes, _, _, _ = spans([tokens[:90], tokens[90:]], np.zeros(2, np.int64))
    found = window_sketches(hashes, 60, 4)
    expected, _ = chunk_sketches([tokens[at : at + 64] for at in range(0, 137, 4)])
    assert (found == expected).all()
    assert len(window_sketches(hashes[:59], 60, 4)) == 0


def test_spans_are_the_shingles_of_documents_and_where_they_lie():
    chunks = [text(1, 7), text(2, 3), text(3, 6), text(4, 2)]
    hashes, document, first, last = spans(chunks, np.array([4, 4, 5, 6]))
    expected, owner = shingles([np.concatenate(chunks[:2]), chunks[2], chunks[3]])
    assert (hashes == expected).all()
    assert (document == owner).all()
    assert first.tolist() == [0, 0, 0, 0, 0, 0, 2, 2]
    assert last.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


def test_memories_forget_the_order_and_keep_what_belongs_together():
    sketches, sizes = chunk_sketches([text(seed, 20 + seed) for seed in range(9)])
    none = np.empty(0, "S16")
    both = Memory(none, sketches[:5], sizes[:5]) | Memory(none, sketches[4:], sizes[4:])
    kept = dict(zip(map(bytes, both.sketches), both.sizes.tolist(), strict=True))
    assert kept == dict(zip(map(bytes, sketches), sizes.tolist(), strict=True))
    assert [bytes(row) for row in both.sketches] == sorted(map(bytes, both.sketches))


def evidence(hashes: np.ndarray, sketch: np.ndarray, size: int) -> np.ndarray:
    """How much a sketch speaks for each shingle: a value that is almost surely the least of its
    permutation must have left its bit, and one that may be the least probably has."""
    bits = np.unpackbits(sketch).astype(bool)
    score = np.zeros(len(hashes))
    for values, bit in zip(permuted(hashes), bits, strict=True):
        least = (1 - values / 2.0**64) ** (size - 1)  # that no other of the shingles is less
        score += np.log(np.where(kept_bit(values) == bit, 1 + least, 1 - least + 1e-9))
    return score


def read_back(known: list[int], choose) -> list[int]:
    """Extend five known tokens one by one, each by what speaks most for it."""
    found = list(known)
    while len(found) < LENGTH:
        tails = np.empty((VOCABULARY, 5), dtype=np.uint16)
        tails[:, :4], tails[:, 4] = found[-4:], np.arange(VOCABULARY)
        found.append(int(np.argmax(choose(shingles(list(tails))[0]))))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_a_purged_text_cannot_be_read_back_from_its_sketch_a_token_at_a_time(seed):
    original = text(seed)
    hashes, _ = shingles([original])
    sketches, _ = chunk_sketches([original])
    start = original[:5].tolist()
    # The same attack on the shingles themselves reads all of it.
    assert read_back(start, lambda each: np.isin(each, hashes)) == original.tolist()
    got = read_back(start, lambda each: evidence(each, sketches[0], len(hashes)))
    assert sum(a == b for a, b in zip(got[5:], original[5:].tolist(), strict=True)) <= 3


def test_the_right_token_is_no_better_attested_than_hundreds_of_others():
    """Even where all that comes before is known."""
    ranks = []
    for seed in range(5):
        original = text(seed)
        sketches, sizes = chunk_sketches([original])
        for at in range(5, LENGTH, 6):
            tails = np.empty((VOCABULARY, 5), dtype=np.uint16)
            tails[:, :4], tails[:, 4] = original[at - 4 : at], np.arange(VOCABULARY)
            score = evidence(shingles(list(tails))[0], sketches[0], int(sizes[0]))
            ranks.append(int((score > score[original[at]]).sum()))
    assert np.median(ranks) > VOCABULARY / 20


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"nothing of the kind"])
def test_a_damaged_memory_is_an_integrity_error(tmp_path, content):
    layout = Layout(tmp_path)
    layout.filters.mkdir()
    (layout.filters / "originals-000001.npz").write_bytes(content)
    with pytest.raises(IntegrityError, match="originals"):
        remembered(layout, 1)


def test_a_sample_of_a_memory_keeps_every_digest_and_pairs_sketches_with_their_sizes():
    sketches = np.arange(160, dtype=np.uint8).reshape(10, 16)
    memory = Memory(np.array([b"a", b"b"]), sketches, np.arange(10))
    some = memory.sampled(4)
    assert (some.texts == memory.texts).all()
    assert len(some.sketches) == 4
    assert (some.sketches[:, 0] // 16 == some.sizes).all()
    assert memory.sampled(10) is memory
