"""kNN-LM decoding: the identities of the formula, rows that fork, a cache that changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from nearest_helpers import PROMPT, VOCABULARY, Chunks, ids, opened, saved_model

from retro_cli import pipeline
from retro_cli.datastore.reader import Datastore
from retro_cli.errors import EncoderMismatch, NotBuiltYet, UsageError
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.loop import generate, score
from retro_cli.query.retrieve import Retriever
from retro_cli.readers.knn_lm import KnnLmReader
from retro_cli.readers.neighbourhood import StoredKeys
from retro_cli.readers.open import ReaderOptions, open_reader
from retro_cli.readers.votes import Votes
from retro_cli.store.layout import Layout


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, bpe_path):
    return saved_model(tmp_path_factory.mktemp("tiny"), bpe_path)


@pytest.fixture(scope="module")
def language(tiny):
    return opened(tiny)[0]


@pytest.fixture
def layout(db, tiny):
    found = Layout(db)
    pipeline.datastore(found, tiny, window=64)
    return found


@pytest.fixture
def retriever(layout):
    found = Retriever(layout)
    yield found
    found.close()


def reader(language, datastore=None, record=False, stride=None, **votes):
    stored = None if datastore is None else StoredKeys(datastore, lambda: datastore)
    return KnnLmReader(language, Votes(**votes), stored, record=record, stride=stride)


def base_logprobs(language, tokens):
    with torch.no_grad():
        return language.network(torch.tensor([tokens])).logits[0].log_softmax(-1)


def first_step(mine, retriever, prompt=PROMPT):
    reading = mine.start(mine.encode(prompt))
    if retriever is not None:
        reading.receive(retriever.search(reading.queries(), mine.k))
    return reading.step()


@pytest.mark.parametrize("evidence", [None, Chunks(), Chunks(count=0)], ids=["off", "on", "none"])
def test_a_lambda_of_nothing_and_no_evidence_are_the_model(language, evidence):
    weight = 0.0 if evidence is not None and evidence.count else 0.5
    mine = reader(language, weight=weight)
    trace = generate(mine, evidence, PROMPT, Decoding(10))
    start = torch.tensor([mine.encode(PROMPT)])
    plain = language.network.generate(
        start, attention_mask=torch.ones_like(start), max_new_tokens=10, do_sample=False
    )
    assert ids(trace) == plain[0, start.shape[1] :].tolist()
    logprobs = base_logprobs(language, plain[0].tolist())
    for token in trace.tokens:
        expected = float(logprobs[token.position - 1, token.token])
        assert token.logprob == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.9])
def test_the_next_token_is_the_mixture_of_the_equation(language, weight):
    mine, chunks = reader(language, weight=weight, temperature=3.0, k=1000), Chunks()
    step = first_step(mine, chunks)
    assert float(step.logprobs.exp().sum()) == pytest.approx(1, abs=1e-5)
    prompt = mine.encode(PROMPT)
    found = chunks._answer("").tokens
    reached = {}

    def note(module, inputs):
        reached["states"] = inputs[0][0].double()

    hook = language.network.model.layers[-1].mlp.register_forward_pre_hook(note)
    votes = torch.zeros(VOCABULARY, dtype=torch.double)
    base_logprobs(language, prompt)
    query = reached["states"][-1]
    for row in found:
        base_logprobs(language, row.tolist())
        for place in range(1, len(row)):
            distance = (reached["states"][place - 1] - query).square().sum()
            votes[row[place]] += math.exp(-float(distance) / 3.0)
    hook.remove()
    plain = base_logprobs(language, prompt)[-1].double().exp()
    expected = weight * votes / votes.sum() + (1 - weight) * plain
    torch.testing.assert_close(step.logprobs[0].exp().double(), expected, atol=1e-5, rtol=1e-4)
    assert (-step.logprobs[0] <= -plain.log() - math.log(1 - weight) + 1e-5).all()


def test_one_voter_has_the_whole_vote_and_the_trace_names_it(language):
    mine = reader(language, weight=0.5, k=1, record=True)
    trace = generate(mine, Chunks(), PROMPT, Decoding(5))
    for token in trace.tokens:
        assert token.detail["lambda"] == 0.5
        (voter,) = token.detail["knn"]
        assert voter["weight"] == pytest.approx(1)
        tokens = Chunks()._answer("").tokens[voter["chunk"] - 7]
        assert tokens[voter["offset"]] == voter["token"]
        assert voter["source"] == f"s{voter['chunk']}.txt"
        assert token.mass[voter["chunk"] - 7] == pytest.approx(1)


def test_heat_makes_the_vote_a_count_of_the_voters(language):
    step = first_step(reader(language, weight=0.5, temperature=1e9, k=1000), Chunks())
    plain = first_step(reader(language), None)
    votes = (2 * step.logprobs[0].exp() - plain.logprobs[0].exp()).numpy()
    values = Chunks()._answer("").tokens[:, 1:].ravel()
    counts = np.bincount(values, minlength=VOCABULARY) / len(values)
    np.testing.assert_allclose(votes, counts, atol=1e-4)


def test_cold_at_a_stored_key_gives_its_value(language, retriever, layout):
    datastore = Datastore(retriever)
    mine = reader(language, datastore, weight=0.9, temperature=1e-3, k=4)
    note = next(path for path in (layout.root.parent / "archive" / "notes").iterdir())
    tokens = mine.encode(note.read_text())[:20]
    reading = mine.start(tokens[:-1])
    step = reading.step()
    assert float(step.logprobs[0, tokens[-1]].exp()) > 0.9 - 1e-3


def test_what_is_traced_from_a_datastore_stands_there(language, retriever):
    datastore = Datastore(retriever)
    mine = reader(language, datastore, record=True, k=16)
    trace = generate(mine, None, PROMPT, Decoding(6))
    for token in trace.tokens:
        assert len(token.detail["knn"]) == 8
        assert token.evidence is None
        for voter in token.detail["knn"]:
            chunk = retriever.rows.get([voter["chunk"]])[0]
            assert chunk.source == voter["source"]
            words = mine.decode([voter["token"]]).strip()
            assert words in chunk.text


@pytest.mark.parametrize("kind", ["local", "datastore"])
def test_stepping_is_scoring_and_a_cache_changes_nothing(language, retriever, kind):
    datastore = Datastore(retriever) if kind == "datastore" else None
    mine = reader(language, datastore, weight=0.4, stride=1000)
    source = None if datastore else Chunks()
    trace = generate(mine, source, PROMPT, Decoding(8))
    again = score(mine, source, PROMPT, ids(trace))
    assert [t.logprob for t in again.tokens] == [t.logprob for t in trace.tokens]
    start = mine.encode(PROMPT)
    for place, token in enumerate(trace.tokens):
        reading = mine.start([*start, *ids(trace)[:place]])
        if source is not None:
            reading.receive(source.search(reading.queries(), 3))
        assert float(reading.step().logprobs[0, token.token]) == pytest.approx(
            token.logprob, abs=1e-3
        )


@pytest.mark.parametrize("kind", ["local", "datastore"])
def test_beams_are_rows_that_fork_and_each_votes_with_what_it_found(language, retriever, kind):
    datastore = Datastore(retriever) if kind == "datastore" else None
    mine = reader(language, datastore, weight=0.4, stride=2)
    source = None if datastore else Chunks(by_text=True)
    trace = generate(mine, source, PROMPT, Decoding(7, beams=3))
    forced = score(mine, source, PROMPT, ids(trace))
    assert trace.logprob == pytest.approx(forced.logprob, abs=1e-3)
    assert [e.query for e in trace.evidence] == [e.query for e in forced.evidence]
    greedy = generate(mine, source, PROMPT, Decoding(7))
    assert trace.logprob >= greedy.logprob - 1e-4


def test_it_looks_up_at_the_start_and_after_each_stride(language):
    source = Chunks()
    mine = reader(language, stride=3)
    trace = generate(mine, source, PROMPT, Decoding(8))
    assert len(source.asked) == 3
    assert [token.read for token in trace.tokens] == [0, 0, 0, 1, 1, 1, 2, 2]


def test_no_trace_names_a_filtered_source(layout, tiny, retro):
    def traced():
        retriever = Retriever(layout)
        try:
            found = open_reader(
                "knn-lm",
                ReaderOptions(model=tiny, device="cpu", record=True, database=lambda: retriever),
            )
            trace = generate(found.reader, None, "a letter about boat ", Decoding(5))
            return {voter["source"] for t in trace.tokens for voter in t.detail["knn"]}
        finally:
            retriever.close()

    assert "letters" in traced()
    assert retro("filter", "add", layout.root, "--source", "letters", "--reason", "x").code == 0
    assert "letters" not in traced()
    assert retro("filter", "undo", layout.root, 1).code == 0
    assert "letters" in traced()


def test_another_model_than_the_datastores_is_refused(layout, bpe_path, tmp_path, retriever):
    other = saved_model(tmp_path / "other", bpe_path, seed=4)
    wanted = ReaderOptions(
        model=other, device="cpu", database=lambda: retriever, votes=Votes(keys="datastore")
    )
    with pytest.raises(EncoderMismatch, match="other weights"):
        open_reader("knn-lm", wanted)
    automatic = open_reader(
        "knn-lm", ReaderOptions(model=other, device="cpu", database=lambda: retriever)
    )
    assert automatic.tokenizer is not None
    assert "instead" in automatic.notes[0]


def test_a_datastore_that_is_not_there_is_asked_for_in_vain(db, tiny):
    retriever = Retriever(Layout(db))
    wanted = ReaderOptions(
        model=tiny, device="cpu", database=lambda: retriever, votes=Votes(keys="datastore")
    )
    with pytest.raises(NotBuiltYet, match="datastore"):
        open_reader("knn-lm", wanted)
    retriever.close()


@pytest.mark.parametrize(
    "values",
    [{"weight": 1.0}, {"weight": -0.1}, {"weight": math.nan}, {"temperature": 0.0},
     {"temperature": math.inf}, {"k": 0}, {"keys": "there"}],
)  # fmt: skip
def test_votes_that_mean_nothing_are_refused(values):
    with pytest.raises(UsageError):
        Votes(**values)


def test_the_command_reads_both_ways(layout, tiny, retro, tmp_path):
    for keys in ("datastore", "local"):
        done = retro(
            "generate", layout.root, PROMPT, "--reader", "knn-lm", "--model", tiny, "--lambda", 0.4,
            "--knn-keys", keys, "--max-tokens", 3, "--device", "cpu", "--json",
            "--trace", tmp_path / "t.jsonl",
        )  # fmt: skip
        assert done.code == 0, done.err
        assert '"knn": [{"chunk"' in (tmp_path / "t.jsonl").read_text()
    assert retro("generate", layout.root, PROMPT, "--reader", "knn-lm", "--lambda", 1).code == 2
    off = retro("generate", layout.root, PROMPT, "--reader", "knn-lm", "--model", tiny,
                "--no-retrieval", "--max-tokens", 3, "--json")  # fmt: skip
    assert off.code == 0, off.err
