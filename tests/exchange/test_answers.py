"""Whether a passage holds an answer, and where it stands in its document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.exchange.answers import has_answer, place_in


@pytest.mark.parametrize(
    ("text", "answer", "holds"),
    [
        ("The Storm took it.", "storm", True),
        ("the stormy sea", "storm", False),
        ("in 1990s style", "1990", False),
        ("it cost $5.00 then", "$5", True),
        ("it cost $5.00 then", "5.0", False),
        ("caf\u00e9 noir", "cafe\u0301", True),
        ("cafe noir", "caf\u00e9", False),
        ("a\tb\nc", "a b c", True),
        ("a, b", "a b", False),
        ("snake_case", "snake _ case", True),
        ("anything", "", False),
        ("anything", " \n", False),
        ("\u6771\u4eac\u90fd", "\u6771\u4eac", False),
    ],
)
def test_an_answer_stands_there_word_by_word(text, answer, holds):
    assert has_answer(text, ["no such words", answer]) == holds


def test_without_answers_nothing_is_held():
    assert not has_answer("anything", [])


@given(st.text(), st.text())
def test_plain_and_other_texts_are_taken_apart_alike(one, two):
    """A letter beyond ASCII far off must not change how the rest is read."""
    assert has_answer(one + " " + two, [two]) or not has_answer(two, [two])
    assert has_answer(one, [two]) == has_answer(one + " \u0251", [two]) or "\u0251" in two


@given(
    st.lists(st.text(st.characters(exclude_characters="\n")), min_size=1), st.integers(), st.data()
)
def test_a_place_finds_the_text_again(lines, seed, data):
    text = "\n".join(lines)
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    first, after, last, until = place_in(text[:start], text[start:stop])
    some = lines[first : last + 1]
    some[-1] = some[-1][:until]
    some[0] = some[0][after:]
    assert "\n".join(some) == text[start:stop].rstrip()
