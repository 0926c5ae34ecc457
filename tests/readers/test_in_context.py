"""The in-context reader against its definition: one plain pass a stride, over [documents; text]."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_helpers import Library, language_model, plain_logprobs

from retro_cli.errors import UsageError
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.loop import generate, score
from retro_cli.readers.closed_book import ClosedBookReader
from retro_cli.readers.in_context import InContextReader

PROMPT = "the keeper lit the lamp, and the ferry left"
TARGET = " the harbour in the light of the lamp that the keeper lit"


def defined(reader, model, prompt, target, k):
    """Ram et al. 2023, equation 4, window by window: log p of each token of the target."""
    library, found = Library(), []
    ids, last, stride = prompt + target, reader.query_tokens, reader.stride
    for place in range(len(prompt), len(ids), stride):
        evidence = library.about(reader.decode(ids[:place][-last:]).strip("�"), k)
        texts = [hit.text + hit.continuation + "\n" for hit in evidence.hits]
        tokens = [reader.encode(text)[: reader.document_tokens] for text in texts]
        room = reader.longest - min(place, last) - stride
        context = []
        for each in tokens:
            context = each[: max(0, room - len(context))] + context
        over = max(0, len(context) + place + stride - reader.longest)
        assert place - over >= min(place, last)  # the last l tokens are all there
        text = ids[over : place + stride]
        logprobs = plain_logprobs(model, context + text)
        for at in range(place, min(place + stride, len(ids))):
            found.append(float(logprobs[len(context) + at - over - 1, ids[at]]))
    return found


@settings(max_examples=30)
@given(
    stride=st.integers(1, 9), last=st.integers(1, 12), longest=st.integers(1, 30),
    k=st.integers(1, 3), window=st.sampled_from([48, 64, 512]),
)  # fmt: skip
def test_every_token_is_scored_once_in_the_window_that_the_paper_defines(
    bpe_path, stride, last, longest, k, window
):
    model = language_model(bpe_path, window=window)
    reader = InContextReader(model, k=k, stride=stride, query_tokens=last, document_tokens=longest)
    prompt = reader.encode(PROMPT)
    target = reader.encode(TARGET)[: window - len(prompt)]
    found = score(reader, Library(), PROMPT, target)
    assert [token.logprob for token in found.tokens] == pytest.approx(
        defined(reader, model, prompt, target, k), abs=2e-3
    )
    assert len(found.evidence) == -(-len(target) // stride)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("decoding", [Decoding(16), Decoding(16, beams=3)])
def test_without_evidence_it_is_the_closed_book(bpe_path, kind, decoding):
    model = language_model(bpe_path, kind)
    closed = generate(ClosedBookReader(model), None, PROMPT, decoding)
    for retriever in (None, Library(nothing=True)):
        found = generate(InContextReader(model), retriever, PROMPT, decoding)
        assert [token.token for token in found.tokens] == [token.token for token in closed.tokens]


def test_a_stride_as_long_as_the_text_is_the_plain_model_after_the_document(bpe_path):
    model = language_model(bpe_path)
    reader = InContextReader(model, stride=100)
    prompt, target = reader.encode(PROMPT), reader.encode(TARGET)
    found = score(reader, library := Library(), PROMPT, target)
    (hit,) = library.about(found.evidence[0].query, 1).hits
    ids = [*reader.encode(hit.text + "\n"), *prompt, *target]
    logprobs = plain_logprobs(model, ids)
    first = len(ids) - len(target)
    wanted = [float(logprobs[at - 1, ids[at]]) for at in range(first, len(ids))]
    assert [token.logprob for token in found.tokens] == pytest.approx(wanted, abs=1e-3)
    assert len(library.asked) == 1


def test_beams_read_each_their_own_evidence(bpe_path):
    """A beam's log-probability is what its text has when it is scored alone."""
    model = language_model(bpe_path)
    reader = InContextReader(model, stride=2, query_tokens=3)
    found = generate(reader, Library(), PROMPT, Decoding(12, beams=3))
    alone = score(reader, Library(), PROMPT, [token.token for token in found.tokens])
    assert found.logprob == pytest.approx(alone.logprob, abs=2e-3)
    assert [each.query for each in found.evidence] == [each.query for each in alone.evidence]


def test_the_cache_is_kept_while_the_documents_stay(bpe_path):
    class Always(Library):
        def about(self, query, k):
            return super().about("the same", k)

    reader = InContextReader(language_model(bpe_path), stride=2)
    reading = reader.start(reader.encode(PROMPT))
    for _ in range(10):
        if queries := reading.queries():
            reading.receive(Always().search(queries, 1))
        reading.advance([0], [int(reading.step().logprobs[0].argmax())])
    whole = len(reader.context(reading.evidence(0)[-1], 1)) + reading.length - 1
    assert reading._network.fed == whole


def test_a_query_is_the_last_tokens_as_text(bpe_path):
    reader = InContextReader(language_model(bpe_path), stride=3, query_tokens=5)
    generate(reader, library := Library(), PROMPT, Decoding(7))
    ids = reader.encode(PROMPT)
    assert library.asked[0] == [reader.decode(ids[-5:])]
    assert len(library.asked) == 3


def test_marks_of_a_chat_in_a_document_are_words_there(bpe_path):
    from reader_helpers import text_hit

    model = language_model(bpe_path)
    model.tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    reader = InContextReader(model)
    special = model.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert special not in reader._document(text_hit("a text <|im_end|> and more"))


@pytest.mark.parametrize(
    "wrong",
    [{"stride": 0}, {"k": 0}, {"query_tokens": 0}, {"document_tokens": 0}, {"stride": 600}],
)
def test_what_cannot_be_is_refused(bpe_path, wrong):
    with pytest.raises(UsageError):
        InContextReader(language_model(bpe_path), **wrong)
