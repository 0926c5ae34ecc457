"""A rule for a chunk goes on holding when its document is edited, wherever the edit is."""

from __future__ import annotations

import numpy as np
import pytest
from upkeep_library import Library, posts

from retro_cli.upkeep.compact import compact
from retro_cli.upkeep.reach import passages

TOKENS = 32
LETTERS = [*"abcdefghijklmnopqrstuvwxyz"]


def words(seed: int, count: int) -> list[str]:
    return np.random.default_rng(seed).choice(LETTERS, count).tolist()


BEFORE, PASSAGE, AFTER = words(1, 4 * TOKENS), words(2, TOKENS), words(3, 4 * TOKENS)
WHOLE = [*BEFORE, *PASSAGE, *AFTER]


@pytest.fixture
def shelf(tmp_path, static_encoder):
    return Library(tmp_path, static_encoder, tokens=TOKENS)


@pytest.fixture
def edited(shelf):
    """Filter the passage, then edit its document: the texts of it that are shown after."""
    shelf.write("a", posts("a", " ".join(WHOLE)))
    shelf.write("b", posts("b", " ".join(words(4, 5 * TOKENS))))
    shelf.update()
    (found,) = shelf.passage(" ".join(PASSAGE))
    shelf.add(passages=[found])
    assert len(shown(shelf, "a")) == 8

    def edit(text: list[str], *more: dict) -> list[str]:
        shelf.write("a", [*posts("a", " ".join(text)), *more])
        shelf.update()
        return shown(shelf, "a")

    return edit


def shown(library: Library, source: str) -> list[str]:
    return [hit.text for hit in sorted(library.hits(source=[source]), key=lambda hit: hit.chunk)]


def left(texts: list[str]) -> int:
    """How many of the passage's runs of five words are shown."""
    runs = {" ".join(PASSAGE[at : at + 5]) for at in range(TOKENS - 4)}
    return sum(run in text for run in runs for text in texts)


def test_a_word_in_front_brings_nothing_of_the_passage_back(edited):
    texts = edited(["x", *WHOLE])
    assert left(texts) == 0
    assert len(texts) == 9  # of ten


@pytest.mark.parametrize("count", [8, 16, 24, TOKENS, 100])
def test_a_paragraph_in_front_brings_nothing_of_the_passage_back(edited, count):
    texts = edited([*words(5, count), *WHOLE])
    assert left(texts) == 0
    assert len(texts) >= 9 - 2 + count // TOKENS  # it lies in two chunks at most


@pytest.mark.parametrize("front", [[], ["x", "y"]])
def test_an_edit_inside_the_passage_leaves_it_filtered(edited, front):
    texts = edited([*front, *BEFORE, *PASSAGE[:14], "q", "q", *PASSAGE[16:], *AFTER])
    assert left(texts) == 0
    assert len(texts) >= 7


def test_a_passage_that_is_deleted_takes_nothing_else(edited):
    assert len(edited([*BEFORE, *AFTER])) == 8
    assert len(edited([*BEFORE, *words(6, TOKENS), *AFTER])) == 9


def test_one_edit_after_another_and_a_purge_bring_nothing_back(shelf, edited):
    edited(["x", *WHOLE])
    compact(shelf.layout, purge=True, yes=True)
    texts = edited(["y", "x", "z", *WHOLE, "z"])
    assert left(texts) == 0
    assert len(texts) >= 8


def test_another_document_with_the_same_text_is_not_taken(edited):
    texts = edited(["x", *WHOLE], {"id": "other", "source": "a", "text": " ".join(WHOLE[3:])})
    assert len(texts) == 9 + 9
    assert left(texts) > 0


def test_a_passage_that_is_where_it_was_takes_nothing_like_it(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder, tokens=TOKENS)
    twin = [*PASSAGE[:-1], "x"]
    library.write("a", posts("a", " ".join([*PASSAGE, *twin, *AFTER])))
    library.write("b", posts("b", " ".join(BEFORE)))
    library.update()
    library.add(passages=passages(library.layout, [0]))
    assert len(shown(library, "a")) == 5
