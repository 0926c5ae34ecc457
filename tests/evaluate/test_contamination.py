"""Near copies in the database are found, whatever else it holds, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from retro_cli.evaluate.contamination import GRAM, grams, near_copies

rng = np.random.default_rng(5)
TEXT = rng.integers(0, 1000, 400)


def others(count=5):
    return [(100 * n, rng.integers(0, 1000, 300)) for n in range(1, count)]


def jaccard_by_hand(one, other):
    mine, theirs = (
        {tuple(tokens[at : at + GRAM].tolist()) for at in range(len(tokens) - GRAM + 1)}
        for tokens in (one, other)
    )
    return len(mine & theirs) / len(mine | theirs)


def test_a_planted_near_copy_is_found_and_named_and_an_unrelated_text_is_not():
    copy = TEXT.copy()
    copy[200] = 1001  # spoils 13 runs of 388
    unrelated = rng.integers(0, 1000, 400)
    found = near_copies([unrelated, TEXT], [*others(), (7, copy)])
    assert [(one.document, one.chunk) for one in found] == [(1, 7)]
    assert found[0].jaccard == pytest.approx(jaccard_by_hand(TEXT, copy))


def test_the_limit_is_met_by_what_has_just_it():
    copy = np.concatenate([TEXT, rng.integers(0, 1000, 40)])
    share = jaccard_by_hand(TEXT, copy)
    assert near_copies([TEXT], [(0, copy)], share)
    assert not near_copies([TEXT], [(0, copy)], share + 1e-9)


def test_the_nearest_of_several_copies_is_named():
    worse = TEXT.copy()
    worse[[100, 300]] = 1001
    found = near_copies([TEXT], [(1, worse), (2, TEXT), (3, worse)])
    assert [(one.chunk, one.jaccard) for one in found] == [(2, 1.0)]


def test_a_text_shorter_than_a_run_is_compared_whole():
    short = np.arange(5)
    assert near_copies([short], [(3, np.arange(5))])
    assert not near_copies([short], [(3, np.arange(6))])
    assert len(grams(np.arange(5))) == 1
    assert len(grams(np.arange(GRAM + 2))) == 3


def test_no_texts_and_no_documents_are_no_copies():
    assert near_copies([], others()) == []
    assert near_copies([TEXT], []) == []
