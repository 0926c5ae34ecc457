"""What a question asks for, and what answers it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.asking.form import Form, asked_for, best_fit, fit, form_of


@pytest.mark.parametrize(
    ("question", "form"),
    [
        ("How many steps are there?", Form.NUMBER),
        ("By how much was it lowered?", Form.NUMBER),
        ("At what salary was he appointed?", Form.NUMBER),
        ("What is the population of the town?", Form.NUMBER),
        ("What did she pay for the press?", Form.NUMBER),
        ("When did it fall silent?", Form.DATE),
        ("In what year did the bell crack?", Form.DATE),
        ("On what date was it lit, and by whom?", Form.DATE),
        ("Who kept it?", Form.PERSON),
        ("whose handwriting is it", Form.PERSON),
        ("Where did he keep them?", Form.PLACE),
        ("Which ferry sails?", Form.OTHER),
        ("How did they do it?", Form.OTHER),
        ("Was zahlt man?", Form.OTHER),
        ("", Form.OTHER),
    ],
)
def test_the_words_of_a_question_say_what_it_asks_for(question, form):
    assert asked_for(question) == form


@pytest.mark.parametrize(
    ("span", "form"),
    [
        ("1841", Form.DATE),
        ("3 November 1841", Form.DATE),
        ("the 19th of April", Form.DATE),
        ("£1900", Form.NUMBER),
        ("four minutes", Form.NUMBER),
        ("21 sea miles", Form.NUMBER),
        ("in May", Form.OTHER),
        ("some 800 metres", Form.NUMBER),
        ("the ferry that came in 1841 from the mainland", Form.OTHER),
        ("The Gazette of the town, 12 September 1874", Form.OTHER),
        ("a car with driver £41", Form.OTHER),
        ("Kirsten Strand", Form.OTHER),
        ("", Form.OTHER),
    ],
)
def test_a_span_is_a_number_a_date_or_neither(span, form):
    assert form_of(span) == form


@pytest.mark.parametrize(
    ("question", "better", "worse"),
    [
        ("How long is the mole?", "412 metres", "the stone"),
        ("How long is the mole?", "412 metres", "1852"),
        ("When was it lit?", "1841", "412 metres"),
        ("Who kept it?", "Kirsten Strand", "a little laughed at"),
        ("Who kept it?", "a little laughed at", "1841"),
        ("Where was it?", "the quay", "43"),
        ("What was beaten?", "a drum", "1954"),
    ],
)
def test_what_is_asked_for_fits_better_than_what_is_not(question, better, worse):
    assert fit(question, better) > fit(question, worse)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_question_and_any_span_fit_by_one_nought_or_minus_one(question, span):
    assert fit(question, span) in (-1.0, 0.0, 1.0)


@given(st.text(alphabet="äöüßabcde ", max_size=30))
def test_spans_without_numbers_fit_alike_where_nothing_is_known_to_be_asked_for(span):
    assert fit("Wo liegt der Hafen?", span) == 0.0


@given(
    st.sampled_from(["How many?", "When was it?", "Who was it?", "Where?", "What is it?"]),
    st.text(max_size=12), st.text(alphabet="ab 17£AB", max_size=20), st.text(max_size=12),
)  # fmt: skip
def test_no_span_of_a_text_fits_better_than_the_best_that_it_can(question, before, span, behind):
    assert best_fit(question, f"{before} {span} {behind}") >= fit(question, span)


def test_a_text_without_a_number_cannot_say_how_many():
    assert best_fit("How many?", "Seven came.") == 1
    assert best_fit("How many?", "Nobody came.") == -1
    assert best_fit("When?", "They came in May.") == 1
    assert best_fit("When?", "Seven came.") == -1
