"""Thorough and fast decoding of RAG-Sequence, beside all texts of a vocabulary of four."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mixture_helpers import QUESTION, Known, evidence, language_model, reader

from retro_cli.errors import UsageError
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.loop import generate
from retro_cli.readers.sequence import SequenceReader

A, B, C, END = range(4)
MOST = 3
EVERY = 64  # more beams than there are texts


class TableRows:
    """A network of four words, whose distributions are a function of the input and the prefix."""

    def __init__(self, distribution, inputs):
        self.distribution = distribution
        self.rows = [(tuple(each), ()) for each in inputs]
        self.fresh = True

    def feed(self, tokens):
        found = []
        for row, new in enumerate(tokens.tolist()):
            given, prefix = self.rows[row]
            whole = (*prefix, *new)
            first = len(prefix) + (0 if self.fresh else 1)
            places = range(first, len(whole) + 1)
            found.append(torch.stack([self.distribution(given, whole[:end]) for end in places]))
            self.rows[row] = (given, whole)
        self.fresh = False
        return torch.stack(found)

    def pick(self, rows):
        self.rows = [self.rows[row] for row in rows]


class Tiny(SequenceReader):
    """RAG-Sequence whose network is a table."""

    def __init__(self, model, distribution):
        super().__init__(model, temperature=1.0)
        self.distribution, self.ends, self.passes = distribution, {END}, 0

    def decode(self, tokens):
        return QUESTION if len(tokens) > MOST else "".join("abc."[token] for token in tokens)

    def rows(self, inputs):
        self.passes += 1
        return TableRows(self.distribution, inputs)


@pytest.fixture(scope="module")
def model(bpe_path):
    return language_model("llama", bpe_path)


def random_table(seed):
    known = {}

    def distribution(given, prefix):
        if (given, prefix) not in known:
            number = hash((seed, given, prefix)) % (1 << 40)
            dice = torch.Generator().manual_seed(number)
            known[given, prefix] = (2 * torch.randn(4, generator=dice)).log_softmax(0)
        return known[given, prefix]

    return distribution


def marginals(mine, found):
    """log p(y | x) of every text there is: those that end, and those of the most tokens."""
    prior = mine.log_prior(found)
    inputs = [tuple(mine.form.read(QUESTION, each)) for each in found.hits]
    texts = {
        text[: text.index(END) + 1] if END in text else text
        for text in product((A, B, C, END), repeat=MOST)
    }
    return {
        text: float(torch.stack([
            prior[z] + sum(mine.distribution(row, text[:i])[text[i]] for i in range(len(text)))
            for z, row in enumerate(inputs)
        ]).logsumexp(0))
        for text in texts
    }  # fmt: skip


def written(mine, found, **how):
    trace = generate(mine, Known(found), QUESTION, Decoding(MOST, **how))
    return tuple(token.token for token in trace.tokens), trace


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), length_penalty=st.sampled_from([0.0, 1.0]))
def test_with_enough_beams_each_way_finds_the_likeliest_text_there_is(model, seed, length_penalty):
    mine, found = Tiny(model, random_table(seed)), evidence((0.3, 1.4, -0.2))
    every = marginals(mine, found)
    assert sum(torch.tensor(list(every.values())).exp()) == pytest.approx(1, abs=1e-5)
    likeliest = max(every, key=lambda text: every[text] / len(text) ** length_penalty)
    for documents in ("exact", "thorough", "fast"):
        text, trace = written(
            mine, found, beams=EVERY, length_penalty=length_penalty, documents=documents
        )
        assert text == likeliest, documents
        assert trace.logprob == pytest.approx(every[likeliest], abs=1e-4)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), beams=st.integers(1, 3))
def test_thorough_is_never_worse_than_fast(model, seed, beams):
    mine, found = Tiny(model, random_table(seed)), evidence((0.3, 1.4, -0.2))
    every = marginals(mine, found)
    thorough, fast = (
        written(mine, found, beams=beams, documents=documents)[0]
        for documents in ("thorough", "fast")
    )
    assert every[thorough] / len(thorough) >= every[fast] / len(fast) - 1e-6


def test_fast_overlooks_what_a_document_did_not_find_and_thorough_does_not(model):
    found = evidence((0.0, 0.0))
    first, second = (tuple(SequenceReader(model).form.read(QUESTION, each)) for each in found.hits)
    chances = {first: (0.58, 0.02, 0.40, 0.0), second: (0.0, 0.45, 0.55, 0.0)}

    def distribution(given, _):
        return torch.tensor(chances[given]).clamp(min=1e-9).log()

    mine = Tiny(model, distribution)
    how = Decoding(1, documents="fast"), Decoding(1, documents="thorough"), Decoding(1)
    fast, thorough, exact = (
        generate(mine, Known(found), QUESTION, each).tokens[0].token for each in how
    )
    assert (fast, thorough, exact) == (A, C, C)


def test_fast_decoding_runs_no_network_for_what_was_not_found(model):
    mine, found = Tiny(model, random_table(3)), evidence((0.3, 1.4, -0.2))
    written(mine, found, beams=2, documents="fast")
    beams_and_the_text_once_more = 3 + 1
    assert mine.passes == beams_and_the_text_once_more
    written(mine, found, beams=2, documents="thorough")
    assert mine.passes > 2 * beams_and_the_text_once_more


@pytest.mark.parametrize("kind", ["bart", "t5", "llama"])
@pytest.mark.parametrize("documents", ["thorough", "fast"])
def test_the_trace_of_the_text_has_its_exact_probability(kind, documents, bpe_path):
    mine = reader(language_model(kind, bpe_path), True)
    found = evidence((0.3, 1.4, -0.2, 0.9))
    told = []
    trace = generate(
        mine, Known(found), QUESTION, Decoding(5, beams=2, documents=documents), told.append
    )
    started = mine.start(mine.encode(QUESTION))
    started.receive([found])
    target = [token.token for token in trace.tokens]
    each = torch.stack([started.whole(z, [target])[0].sum() for z in range(4)])
    marginal = (started.log_prior() + each).logsumexp(0)
    assert trace.logprob == pytest.approx(float(marginal), abs=1e-4)
    assert tuple(told) == trace.tokens


def test_texts_of_different_lengths_are_scored_in_one_pass(bpe_path):
    mine = reader(language_model("bart", bpe_path), True)
    started = mine.start(mine.encode(QUESTION))
    started.receive([evidence((0.3, 1.4))])
    together = started.whole(1, [[5, 9, 40], [7], [5, 9]])
    for row, text in enumerate([[5, 9, 40], [7], [5, 9]]):
        one = started.whole(1, [text])[0]
        torch.testing.assert_close(together[row, : len(text)], one, atol=1e-5, rtol=0)
        assert (together[row, len(text) :] == 0).all()


@pytest.mark.parametrize("documents", ["thorough", "fast"])
def test_nothing_found_is_the_search_with_the_question_alone(documents, bpe_path):
    mine = reader(language_model("t5", bpe_path), True)
    plain = generate(mine, None, QUESTION, Decoding(5, beams=2))
    found = generate(mine, None, QUESTION, Decoding(5, beams=2, documents=documents))
    assert [t.token for t in found.tokens] == [t.token for t in plain.tokens]


def test_a_reader_that_has_no_documents_apart_is_refused(model):
    with pytest.raises(UsageError, match="rag-sequence"):
        generate(reader(model), None, QUESTION, Decoding(3, documents="thorough"))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"documents": "quick"}, "--decoding quick"),
        ({"documents": "fast", "temperature": 1.0}, "not drawn"),
        ({"length_penalty": -1.0}, "length penalty"),
        ({"length_penalty": float("nan")}, "length penalty"),
    ],
)
def test_what_chooses_nothing_is_refused(how, message):
    with pytest.raises(UsageError, match=message):
        Decoding(3, **how)
