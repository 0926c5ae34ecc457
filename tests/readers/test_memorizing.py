"""Reading with a memory: chunks first, then what left the window; rows fork, a cache is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nearest_helpers import PROMPT, VOCABULARY, Chunks, ids, opened, saved_model

from retro_cli.errors import UsageError
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.loop import generate, score
from retro_cli.models.memorizing import MemorizingModel
from retro_cli.models.memory import Memory
from retro_cli.readers.memorizing import MemorizingReader
from retro_cli.readers.open import ReaderOptions, open_reader
from retro_cli.training.memorizing import MemoryTraining, train_memory


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, bpe_path):
    return saved_model(tmp_path_factory.mktemp("tiny"), bpe_path)


@pytest.fixture(scope="module")
def language(tiny):
    return opened(tiny)[0]


def reader(language, window=16, gate=0.5, record=False, **settings):
    model = MemorizingModel(language.network, window=window, k=4, **settings)
    torch.nn.init.constant_(model.attention.gate, gate)
    return MemorizingReader(model.eval(), language.tokenizer, record=record, stride=1000)


def logprobs_by_hand(model, tokens, found):
    """log p of what follows ``tokens``: everything once more, half a window at a time."""
    half = model.window // 2
    past, start = None, 0

    def memory():
        parts = [part for part in (found, past) if part is not None]
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else parts[0].followed_by(parts[1])

    while True:
        end = min(len(tokens), start + model.window)
        with torch.no_grad():
            passed = model(torch.tensor([tokens[start:end]]), memory())
        if end == len(tokens):
            return model.logits(passed.hidden[0, -1]).log_softmax(-1)
        # The first window is computed whole; later ones begin with half of the one before.
        if start:
            with torch.no_grad():
                again = model(torch.tensor([tokens[start : start + half]]), memory())
            gone = again.fresh
        else:
            gone = Memory(*(part[:, :half] for part in passed.fresh._parts))
        past = model.remembered(past, gone)
        start += half


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("length", [3, 15, 16, 17, 24, 25, 60])
def test_a_text_of_any_length_is_read_half_a_window_at_a_time(language, length, on):
    mine, source = reader(language), Chunks()
    tokens = np.random.default_rng(1).integers(3, VOCABULARY, length).tolist()
    reading = mine.start(tokens)
    found = None
    if on:
        evidence = source.search(reading.queries(), mine.k)
        reading.receive(evidence)
        found = mine.memory_of(evidence[0])
        assert found.entries == 27
        assert found.whose[0].tolist() == [0] * 9 + [1] * 9 + [2] * 9
    expected = logprobs_by_hand(mine.model, tokens, found)
    torch.testing.assert_close(reading.step().logprobs[0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("on", [True, False])
def test_stepping_is_scoring_and_a_cache_changes_nothing(language, on):
    mine, source = reader(language), Chunks() if on else None
    trace = generate(mine, source, PROMPT, Decoding(30))
    again = score(mine, source, PROMPT, ids(trace))
    assert [t.logprob for t in again.tokens] == [t.logprob for t in trace.tokens]
    start = mine.encode(PROMPT)
    for place, token in enumerate(trace.tokens):
        reading = mine.start([*start, *ids(trace)[:place]])
        if on:
            reading.receive(source.search(reading.queries(), 3))
        assert float(reading.step().logprobs[0, token.token]) == pytest.approx(
            token.logprob, abs=1e-3
        )


def test_without_evidence_and_within_the_window_it_is_the_base(language):
    mine = reader(language, window=64)
    start = torch.tensor([mine.encode(PROMPT)])
    plain = language.network.generate(
        start, attention_mask=torch.ones_like(start), max_new_tokens=10, do_sample=False
    )
    for source in (None, Chunks(count=0)):
        trace = generate(mine, source, PROMPT, Decoding(10))
        assert ids(trace) == plain[0, start.shape[1] :].tolist()


def test_a_closed_gate_reads_nothing_of_what_was_found(language):
    mine = reader(language, window=64, gate=-torch.inf)
    closed = generate(mine, Chunks(), PROMPT, Decoding(10))
    assert ids(closed) == ids(generate(mine, None, PROMPT, Decoding(10)))


def test_beams_are_rows_that_fork_with_their_memories(language):
    mine, source = reader(language), Chunks(by_text=True)
    mine.stride = 5
    trace = generate(mine, source, PROMPT, Decoding(23, beams=3))
    forced = score(mine, source, PROMPT, ids(trace))
    assert trace.logprob == pytest.approx(forced.logprob, abs=2e-3)
    assert [e.query for e in trace.evidence] == [e.query for e in forced.evidence]


def test_the_trace_shares_the_attention_out(language):
    mine = reader(language, record=True)
    trace = generate(mine, Chunks(), PROMPT, Decoding(20))
    for token in trace.tokens:
        attention = token.detail["attention"]
        assert sum(attention.values()) == pytest.approx(1, abs=1e-5)
        assert sum(token.mass) == pytest.approx(attention["chunks"], abs=1e-5)
        assert len(token.detail["gate"]) == 4
        assert attention["chunks"] > 0
    assert trace.tokens[-1].detail["attention"]["past"] > 0
    silent = generate(reader(language), Chunks(), PROMPT, Decoding(20))
    assert ids(silent) == ids(trace)
    assert all(token.mass is None and not token.detail for token in silent.tokens)


def test_the_command_trains_and_reads(db, tiny, retro, tmp_path, bpe_path):
    (tmp_path / "long.txt").write_text("the keeper of the light saw the ferry leave. " * 12)
    trained = retro("train-memory", "--text", tmp_path / "long.txt", "--base", tiny, "--out",
                    "m", "--window", 32, "--windows", 4, "--json")  # fmt: skip
    assert trained.code == 0, trained.err
    assert trained.rows[0]["windows"] == 4
    said = ("generate", db, PROMPT, "--reader", "memorizing", "--max-tokens", 4)
    done = retro(*said, "--model", "m", "--trace", "t.jsonl", "--json")
    assert done.code == 0, done.err
    assert '"gate": [' in (tmp_path / "t.jsonl").read_text()
    of_database = retro("train-memory", db, "--base", tiny, "--out", "d", "--window", 16,
                        "--windows", 2, "--gates-only")  # fmt: skip
    assert of_database.code == 0, of_database.err
    assert retro("train-memory", "--out", "x", "--base", tiny).code == 2
    other = saved_model(tmp_path / "other", bpe_path, seed=8)
    refused = retro(*said, "--model", "m", "--base", other)
    assert refused.code == 2
    assert "another base" in refused.err
    assert retro(*said, "--model", tiny).code == 2
    assert retro(*said).code == 2


def test_it_needs_a_model_with_a_memory(tmp_path, tiny):
    with pytest.raises(UsageError, match="trained memory"):
        open_reader("memorizing", ReaderOptions())
    texts = ["the keeper saw the ferry " * 12]
    train_memory(tiny, texts, tmp_path / "m", MemoryTraining(window=16, windows=1), "cpu")
    found = open_reader("memorizing", ReaderOptions(model=tmp_path / "m", device="cpu"))
    assert found.hit_tokens == 128
    assert found.as_documents
