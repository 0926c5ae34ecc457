"""Answers in a model's own words: what it is shown, what it may cite, and servers alike."""

from __future__ import annotations

import pytest
from chat_server import serving, streamed
from reader_helpers import language_model, plain_logprobs, text_hit

from retro_cli.asking.endpoint import Endpoint
from retro_cli.asking.template import Template, chat_text
from retro_cli.asking.writing import Serving, Writing, replied
from retro_cli.errors import UsageError
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.live import LiveRetriever
from retro_cli.generate.loop import generate
from retro_cli.readers.closed_book import ClosedBookReader

HITS = (
    text_hit("The keeper lit the lamp.", 0, title="Light"),
    text_hit("The ferry left the harbour.", 1, title="Ferry"),
)
BRIEF = Template(system="", prompt="{passages}\n{question}", closed_book="{question}?")


@pytest.fixture
def model(bpe_path):
    return language_model(bpe_path, chat=True)


def writing(name, model, template=BRIEF, max_tokens=8, context=200):
    return Writing(name, ClosedBookReader(model), LiveRetriever, template, max_tokens, context)


def test_in_context_shows_the_passages_and_closed_book_none(model):
    shown = ["[1] Light\nThe keeper lit the lamp.", "[2] Ferry\nThe ferry left the harbour."]
    for name, passages in (("in-context", shown), ("closed-book", None)):
        prompt = chat_text(model.tokenizer, BRIEF.messages("who", passages))
        wanted = generate(ClosedBookReader(model), None, prompt, Decoding(8)).text
        assert writing(name, model).answer("who", HITS).text == wanted.strip()


def test_a_closed_book_has_no_evidence_to_show(model):
    assert writing("closed-book", model).answer("who", HITS).hits == ()
    assert writing("in-context", model).answer("who", HITS).hits == HITS


def test_the_likelihood_is_that_of_the_reference_after_the_prompt(model):
    prompt = chat_text(model.tokenizer, BRIEF.messages("who", None))
    reader = ClosedBookReader(model)
    ids, target = reader.encode(prompt), reader.encode(" the keeper")
    logprobs = plain_logprobs(model, ids + target)
    wanted = -sum(float(logprobs[len(ids) + at - 1, token]) for at, token in enumerate(target))
    found = writing("closed-book", model).nats("who", (), "the keeper")
    assert found == pytest.approx(wanted, abs=1e-3)


def test_the_question_is_never_cut_for_passages(bpe_path):
    model = language_model(bpe_path, chat=True, window=120)
    question = "who lit the lamp of the ferry in the harbour"
    prompt, shown = writing("in-context", model)._prompt(question, HITS * 9)
    assert question in prompt
    assert len(model.tokenizer.encode(prompt)) + 8 <= 120
    assert shown < 18


def test_a_question_that_fills_the_window_is_refused(bpe_path):
    model = language_model(bpe_path, chat=True, window=40)
    with pytest.raises(UsageError, match="no room"):
        writing("in-context", model).answer("who lit the lamp of the harbour" * 3, HITS)


def test_a_refusal_is_no_answer():
    for text in ("Not in the sources.", "  ", "It is not in the sources, sorry [1]"):
        reply = replied("who", text, HITS, 2, Template())
        assert not reply.found
        assert reply.citations == ()
        assert reply.text == text.strip()


def test_only_what_was_shown_can_be_cited():
    reply = replied("who", 'the ferry [2] "The ferry left the harbour."', HITS, 1, Template())
    (citation,) = reply.citations
    assert not citation.verbatim
    assert citation.hit is None


class TestServer:
    @pytest.fixture
    def server(self):
        with serving() as served:
            yield served

    def answer(self, server, **settings):
        endpoint = Endpoint(server.url, "small", 5)
        return Serving(endpoint, Template(), 32, 400, **settings)

    def test_it_is_shown_the_passages_and_its_quotes_are_checked(self, server):
        server.body = streamed("the keeper ", '[1] "The keeper lit', ' the lamp." [2] "He left."')
        pieces = []
        reply = self.answer(server).answer("who lit it?", HITS, pieces.append)
        assert "".join(pieces) == reply.text
        assert [(c.number, c.verbatim) for c in reply.citations] == [(1, True), (2, False)]
        sent = server.asked[-1][2]["messages"]
        assert "[2] Ferry\nThe ferry left the harbour." in sent[-1]["content"]
        assert "who lit it?" in sent[-1]["content"]

    def test_a_closed_book_sends_the_question_alone(self, server):
        reply = self.answer(server, reads=False).answer("who lit it?", HITS)
        assert reply.hits == ()
        assert "keeper" not in str(server.asked[-1][2])

    def test_its_likelihoods_are_not_known(self, server):
        assert self.answer(server).nats("who", HITS, "the keeper") is None
