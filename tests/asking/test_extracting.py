"""Answers that are spans of the evidence: what the search finds, how it is pooled, when it is not
given."""

from __future__ import annotations

import math

import numpy as np
import pytest
from reader_helpers import language_model, plain_logprobs, text_hit

from retro_cli.asking import span_reader
from retro_cli.asking.belief import Belief, asked_of, priors
from retro_cli.asking.extracting import Extracting, pooled
from retro_cli.asking.sentences import Sentence, scored
from retro_cli.asking.span_reader import Span, SpanReader
from retro_cli.asking.spans import span_tree

QUESTION = "who lit the lamp"
HITS = (
    text_hit("The keeper lit it. The ferry left.", 0, title="A lamp"),
    text_hit("The storm came to the harbour.", 1),
)


def sentence(text, number=1, score=0.8, context=None):
    return Sentence(number, HITS[number - 1], text, context or text, score)


def encode(texts):
    """Unit rows that depend on the text."""
    rows = [np.random.default_rng(len(text)).standard_normal(6) for text in texts]
    return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32)


@pytest.fixture
def model(bpe_path):
    return language_model(bpe_path)


@pytest.fixture
def reader(model):
    return SpanReader(model)


def brute_force(reader, model, question, one):
    """log p of every span of a sentence with its end, from plain passes."""
    tokenizer = model.tokenizer.backend_tokenizer
    found = {}

    def walk(node, tokens):
        if node.ends:
            target = [*tokens, reader._end]
            ids = [*reader._prompt(question, one), *target]
            logprobs = plain_logprobs(model, ids)
            first = len(ids) - len(target)
            found[tokenizer.decode(tokens).strip()] = sum(
                float(logprobs[at - 1, ids[at]]) for at in range(first, len(ids))
            )
        for token, after in node.following.items():
            walk(after, [*tokens, token])

    walk(span_tree(one.text, tokenizer), [])
    return found


def test_a_wide_search_finds_every_span_with_its_probability(reader, model, monkeypatch):
    monkeypatch.setattr(span_reader, "BEAMS", 1000)
    both = [sentence("The keeper lit."), sentence("A ferry left the lamp", 2)]
    spans = reader.read(QUESTION, both)
    for one in both:
        mine = {span.text: span.logprob for span in spans if span.sentence == one}
        assert mine == pytest.approx(brute_force(reader, model, QUESTION, one), abs=2e-3)


def test_a_narrow_search_finds_spans_with_their_probability(reader, model):
    one = sentence("The keeper lit the lamp of the ferry.")
    exact = brute_force(reader, model, QUESTION, one)
    spans = reader.read(QUESTION, [one])
    assert 1 <= len(spans) < len(exact)
    for span in spans:
        assert span.logprob == pytest.approx(exact[span.text], abs=2e-3)


def test_what_was_read_for_a_question_is_remembered_until_the_next(reader, monkeypatch):
    one, other = sentence("The keeper lit."), sentence("The ferry left.")
    first = reader.read(QUESTION, [one])
    searched = []
    original = SpanReader._search
    monkeypatch.setattr(
        SpanReader, "_search", lambda self, q, s: searched.append(len(s)) or original(self, q, s)
    )
    again = reader.read(QUESTION, [one, other])
    assert [span for span in again if span.sentence == one] == first
    reader.read("another question", [one])
    assert searched == [1, 1]


def test_a_reference_is_scored_as_one_plain_pass_scores_it(reader, model):
    both = [sentence("The keeper lit."), sentence("The storm came", 2)]
    found = reader.score(QUESTION, both, "the keeper")
    for one, logprob in zip(both, found, strict=True):
        target = [*reader._encoded(" the keeper"), reader._end]
        ids = [*reader._prompt(QUESTION, one), *target]
        logprobs = plain_logprobs(model, ids)
        first = len(ids) - len(target)
        wanted = sum(float(logprobs[at - 1, ids[at]]) for at in range(first, len(ids)))
        assert logprob == pytest.approx(wanted, abs=2e-3)


def test_equal_spans_of_several_sentences_are_one_answer_and_weigh_together():
    a, b = sentence("The keeper lit."), sentence("the Keeper came", 2)
    weighed = [
        (-1.0, Span("The keeper", a, -1.0, 3)),
        (-1.2, Span("the Keeper", b, -1.2, 3)),
        (-0.9, Span("lit", a, -0.9, 2)),
    ]
    best, second = pooled(weighed, "what came?")
    assert best.text == "The keeper"
    assert best.logprob == pytest.approx(math.log(math.exp(-1.0) + math.exp(-1.2)))
    assert best.sentences == (a, b)
    assert second.text == "lit"


def test_words_of_the_question_answer_nothing():
    one = sentence("The keeper lit the lamp")
    weighed = [(-0.1, Span("the lamp", one, -0.1, 3)), (-5.0, Span("The keeper", one, -5.0, 3))]
    assert [each.text for each in pooled(weighed, QUESTION)] == ["The keeper"]
    assert pooled(weighed[:1], QUESTION) == []
    most = [(-0.1, Span("the brass lamp keeper", one, -0.1, 4))]
    assert pooled(most, "who was the keeper of the lamp") == []
    assert pooled(most, "what was brass") != []


def test_an_answer_is_a_span_of_what_it_quotes_and_the_quote_stands_in_its_passage(reader):
    extracting = Extracting(reader, encode, encode, Belief(least=0.0))
    reply = extracting.answer(QUESTION, HITS)
    assert reply.found
    assert reply.citations
    for citation in reply.citations:
        assert citation.verbatim
        assert reply.answer.lower() in citation.quote.lower()


def test_too_little_confidence_gives_no_answer_but_keeps_the_evidence(reader):
    reply = Extracting(reader, encode, encode, Belief(least=1.0)).answer(QUESTION, HITS)
    assert (reply.answer, reply.citations, reply.hits) == ("", (), HITS)
    assert reply.text
    assert reply.confidence < 1
    sure = Extracting(reader, encode, encode, Belief(least=1.0)).sure().answer(QUESTION, HITS)
    assert sure.answer == reply.text


def test_an_article_alone_answers_nothing():
    one = sentence("The keeper lit the lamp")
    assert pooled([(-0.1, Span("The", one, -0.1, 2)), (-0.2, Span("a", one, -0.2, 2))], "who") == []
    assert pooled([(-0.1, Span("7", one, -0.1, 2))], "how many")[0].text == "7"


@pytest.mark.parametrize("hits", [(), (text_hit(" ... "),), (text_hit(""),)])
def test_without_words_there_is_no_answer(reader, hits):
    reply = Extracting(reader, encode, encode).answer(QUESTION, hits)
    assert not reply.found
    assert reply.confidence == 0


def test_the_likelihood_of_a_reference_is_the_mixture_over_sentences(reader):
    extracting = Extracting(reader, encode, encode, Belief(sentences=9))
    found = scored(QUESTION, HITS, encode, encode)
    prior = priors(QUESTION, asked_of(QUESTION, found), found, Belief(sentences=9))
    assert sum(map(math.exp, prior.values())) == pytest.approx(1)
    logprobs = reader.score(QUESTION, list(prior), "the keeper")
    wanted = -math.log(sum(map(math.exp, map(sum, zip(logprobs, prior.values(), strict=True)))))
    assert extracting.nats(QUESTION, HITS, "the keeper") == pytest.approx(wanted, rel=1e-4)
    assert extracting.nats(QUESTION, (), "the keeper") is None
