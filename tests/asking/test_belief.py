"""What speaks for a sentence, and for a span of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from reader_helpers import text_hit

from retro_cli.asking.belief import Belief, asked_of, priors, weight
from retro_cli.asking.sentences import Sentence
from retro_cli.asking.span_reader import Span

QUESTION = "Who lit the lamp of the quay?"
HITS = (text_hit("Kirsten lit the lamp of the quay."), text_hit("The ferry left in 1841.", 1))
ONE = Sentence(1, HITS[0], HITS[0].text, HITS[0].text, 0.6)
TWO = Sentence(2, HITS[1], HITS[1].text, HITS[1].text, 0.6)
BOTH = (ONE, TWO)
ASKED = asked_of(QUESTION, BOTH)
NOTHING = Belief(score=0, rank=0, covered=0, read=0, fit=0, near=0)


def span(text, sentence=ONE, logprob=-2.0, tokens=4):
    return Span(text, sentence, logprob, tokens)


def test_the_likeliest_sentences_are_read_and_sum_to_one():
    prior = priors(QUESTION, ASKED, BOTH, Belief())
    assert list(prior) == [ONE, TWO]
    assert sum(map(math.exp, prior.values())) == pytest.approx(1)
    assert priors(QUESTION, ASKED, BOTH, Belief(sentences=1)) == pytest.approx({ONE: 0.0})
    assert priors(QUESTION, ASKED, (), Belief()) == {}


def test_a_prior_is_the_softmax_of_score_rank_and_what_the_passage_covers():
    belief = replace(NOTHING, score=9.0, rank=1.5, covered=2.0)
    other = replace(TWO, score=0.5)
    raw = [
        9.0 * 0.6 + 2.0 * ASKED.share(HITS[0].text),
        9.0 * 0.5 + 2.0 * ASKED.share(HITS[1].text) - 1.5 * math.log(2),
    ]
    wanted = math.exp(raw[0]) / sum(map(math.exp, raw))
    assert math.exp(priors(QUESTION, ASKED, (ONE, other), belief)[ONE]) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("belief", "better", "worse"),
    [
        (replace(NOTHING, score=1), replace(TWO, score=0.7), ONE),
        (replace(NOTHING, rank=1), ONE, TWO),
        (replace(NOTHING, covered=1), ONE, TWO),
    ],
)
def test_each_thing_that_speaks_for_a_sentence_does(belief, better, worse):
    prior = priors(QUESTION, ASKED, (worse, better), belief)
    assert prior[better] > prior[worse]
    level = priors(QUESTION, ASKED, (worse, better), NOTHING)
    assert level[better] == level[worse]


@pytest.mark.parametrize(
    ("belief", "better", "worse"),
    [
        (replace(NOTHING, read=1), span("Kirsten", logprob=-1), span("Kirsten", logprob=-2)),
        (replace(NOTHING, read=1), span("Kirsten", tokens=9), span("Kirsten", tokens=4)),
        (replace(NOTHING, fit=1), span("Kirsten"), span("1841", TWO)),
        (replace(NOTHING, near=1), span("Kirsten"), span("The ferry", TWO)),
    ],
)
def test_each_thing_that_speaks_for_a_span_does(belief, better, worse):
    prior = {ONE: 0.0, TWO: 0.0}
    values = [weight(QUESTION, ASKED, prior, each, belief) for each in (better, worse)]
    assert values[0] > values[1]
    level = [weight(QUESTION, ASKED, prior, each, NOTHING) for each in (better, worse)]
    assert level[0] == level[1]


def test_a_span_counts_where_most_of_the_question_is_around_it():
    text = "Kirsten came. Later the lamp of the quay was lit by Kirsten."
    twice = Sentence(1, HITS[0], text, text, 0.6)
    near = replace(NOTHING, near=1)
    where = weight(QUESTION, ASKED, {twice: 0.0}, span("Kirsten", twice), near)
    start = text.rindex("Kirsten")
    assert where == pytest.approx(ASKED.near(text, start, start + 7))


def test_a_span_that_its_sentence_spells_otherwise_has_nothing_around_it():
    near = replace(NOTHING, near=1)
    assert weight(QUESTION, ASKED, {ONE: 0.0}, span("KIRSTEN"), near) == 0


def test_a_sentence_that_can_hold_what_is_asked_for_is_read_before_one_that_cannot():
    question = "How many lamps are there?"
    number = Sentence(1, HITS[0], "Seven were lit.", "Seven were lit.", 0.5)
    none = Sentence(1, HITS[0], "They were lit.", "They were lit.", 0.55)
    asked = asked_of(question, (number, none))
    chosen = replace(NOTHING, sentences=1, score=1.0, fit=1.0)
    assert list(priors(question, asked, (none, number), chosen)) == [number]
    assert list(priors(question, asked, (none, number), replace(chosen, fit=0))) == [none]
