"""Which hits are the text's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from generate_helpers import hit
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.readers.own_text import OwnText, contains

SENTENCE = ["The keeper of the ", " saw the ", " at night."]


def chunk(number, text, document="d", continuation="", also=()):
    return replace(
        hit(number), text=text, document=document, source=f"{document}.txt",
        continuation=continuation, also=also,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("The keeper of the light saw the boat at night.", True),
        ("Once THE  KEEPER\nof the old red light, saw the boat at night again", True),
        ("The keeper of the light saw the boat at noon.", False),
        ("The keeper of the saw the at night.", False),  # a gap hides a word at least
        ("The keeper of the very old and dark light saw the boat at night", False),
        ("", False),
    ],
)
def test_a_hit_that_holds_the_text_is_its_own_whatever_the_gaps_hide(text, own):
    assert OwnText(SENTENCE).among([chunk(1, text)]) == [own]


def test_a_text_may_go_on_in_the_continuation():
    split = chunk(1, "The keeper of the light ", continuation="saw the boat at night.")
    assert OwnText(SENTENCE).among([split]) == [True]


def test_other_chunks_of_its_document_and_copies_of_it_are_its_own_too():
    hits = [
        chunk(1, "a boat", "letters"),
        chunk(2, "The keeper of the light saw the boat at night.", "story"),
        chunk(3, "and then", "story"),
        chunk(4, "a copy", "elsewhere", also=(("story", "story.txt"),)),
        chunk(5, "and then", "other"),
    ]
    assert OwnText(SENTENCE).among(hits) == [False, True, True, True, False]


def test_a_document_may_be_named():
    hits = [chunk(1, "a boat", "letters"), chunk(2, "a boat", "story")]
    assert OwnText(["a ", "."], ["story"]).among(hits) == [False, True]


def test_a_few_common_words_are_nobodys_own():
    assert OwnText(["The ", " of the"]).among([chunk(1, "the light of the lamp")]) == [False]


@given(st.lists(st.sampled_from("ab"), max_size=60), st.integers(1, 20))
def test_many_gaps_between_equal_words_are_no_long_search(words, gaps):
    pieces = [["a"]] * gaps
    found = contains(words, pieces)
    places = {place for place, word in enumerate(words) if word == "a"}
    reach = places
    for _ in range(gaps - 1):
        reach = {p for p in places if any(p - step - 1 in reach for step in range(1, 5))}
    assert found == bool(reach)
