"""What counts as a word, in chunks and in queries alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.config import STEMMERS
from retro_cli.lexical.words import LONGEST, analyzer, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The FERRIES were ferrying", ["the", "ferri", "were", "ferri"]),
        ("résumé Re\u0301sume\u0301 \uff32esume", ["resum", "resum", "resum"]),
        ("x-ray 3.14 don't", ["x", "ray", "3", "14", "don", "t"]),
        ("東京 タワー", ["東", "京", "タ", "ワ", "ー"]),
        ("?! -- ...", []),
        ("a" * (LONGEST + 1) + " b", ["b"]),
        ("half \udc80 a word", ["half", "a", "word"]),
        ("nul\0byte", ["nul", "byte"]),
    ],
)
def test_words_of_a_text(text, expected):
    assert words(text, "english") == expected


def test_without_a_stemmer_words_keep_their_endings():
    assert words("The FERRIES were ferrying", "none") == ["the", "ferries", "were", "ferrying"]


@pytest.mark.parametrize("stemmer", STEMMERS)
def test_every_stemmer_is_one_that_there_is(stemmer):
    assert analyzer(stemmer).analyze("boat") != []


@given(st.text())
def test_any_text_has_words_that_are_clean(text):
    for word in words(text, "english"):
        assert word
        assert not set(word) & set(" \t\n\0")
        assert word == word.lower()
