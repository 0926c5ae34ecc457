"""How right an answer is: SQuAD's normalisation and measures, and what counts as right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.evaluate.answers import contains, exact_match, f1, normalised, right


def test_case_articles_marks_and_white_space_do_not_count():
    assert normalised("The  Cat's\na (big) hat!") == "cats big hat"
    assert normalised("£4,150") == "£4150"
    assert exact_match("the Maren Tveit.", ["Maren Tveit"])
    assert not exact_match("Maren Tveit II", ["Maren Tveit"])


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [("a b c", "b c d", 0.8), ("x", "y", 0.0), ("the the", "the", 1.0), ("", "b", 0.0),
     ("b b", "b", 2 / 3), ("on the dashboard", "the dashboard", 2 / 3)],
)  # fmt: skip
def test_f1_is_the_harmonic_mean_over_shared_words(answer, reference, value):
    assert f1(answer, [reference]) == pytest.approx(value)


def test_the_best_reference_counts_and_none_asks_for_silence():
    assert f1("b c", ["x", "b c"]) == 1
    assert exact_match("", [])
    assert not exact_match("something", [])
    assert f1("", []) == 1
    assert f1("something", []) == 0


RIGHT = [
    ("43", "43 persons", True), ("41 persons", "43 persons", False),
    ("persons", "43 persons", False), ("55 minutes", "70 minutes", False),
    ("18 sea miles", "21 sea miles", False),
    ("Mr Lucas Verhey", "Lucas Verhey", True), ("elm", "poplar or elm", False),
    ("It carries 52 cars, they say, since April", "52 cars", True),
    ("06:40, 11:15", "06:40, 11:15 and 16:30", False), ("", "52 cars", False),
    ("carsten", "cars", False),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "reference", "wanted"), RIGHT)
def test_right_is_the_reference_or_most_of_it_with_all_its_numbers(answer, reference, wanted):
    assert right(answer, [reference]) == wanted


@given(st.text(max_size=40), st.text(max_size=20))
def test_an_exact_match_is_right_and_has_all_of_f1(answer, reference):
    if exact_match(answer, [reference]) and normalised(reference):
        assert right(answer, [reference])
        assert f1(answer, [reference]) == 1
    if contains(answer, [reference]):
        assert right(answer, [reference])


def test_nothing_is_contained_in_anything():
    assert not contains("some words", ["", "the", "!"])
