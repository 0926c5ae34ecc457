"""What must hold of every reader, whatever it is.

A new reader gets a line in ``MODELS``: its name, and which tiny model it is tried with.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from generate_helpers import ByText, hit, speaking
from mixture_helpers import BEGIN, saved

from retro_cli.generate.decoding import Decoding
from retro_cli.generate.loop import generate, score
from retro_cli.readers.open import READERS, ReaderOptions, open_reader
from retro_cli.training.memorizing import MemoryTraining, train_memory

MODELS = {
    "retro": "retro",
    "closed-book": "llama",
    "in-context": "llama",
    "rag-token": "llama",
    "rag-sequence": "bart",
    "knn-lm": "llama",
    "memorizing": "memory",
}
PROMPT = "the keeper of the light"
TARGET = [17, 80, 4, 210, 80, 33, 9]
CLOSE = {"atol": 3e-5, "rtol": 0}


@pytest.fixture(scope="session")
def folders(tmp_path_factory, bpe_path):
    """Each kind of tiny model, as ``--model`` can name it."""
    found = {kind: tmp_path_factory.mktemp(kind) for kind in (*set(MODELS.values()),)}
    for kind, folder in found.items():
        if kind == "retro":
            speaking(4).save_pretrained(folder)
            shutil.copy(bpe_path, folder / "tokenizer.json")
        elif kind != "memory":
            saved(kind, bpe_path, folder)
    trained = MemoryTraining(window=16, windows=1)
    texts = ["the keeper of the light saw the ferry leave. " * 12]
    train_memory(found["llama"], texts, found["memory"], trained, "cpu", overwrite=True)
    return found


@pytest.fixture(params=sorted(READERS))
def name(request):
    return request.param


@pytest.fixture
def reader(name, folders):
    options = ReaderOptions(folders[MODELS[name]], k=2, record=True, device="cpu")
    return open_reader(name, options).reader


class Nothing:
    """Finds nothing."""

    def search(self, queries, k):
        return [
            replace(each, hits=(), tokens=each.tokens[:0]) for each in Found().search(queries, k)
        ]


class Found(ByText):
    """Two chunks for each text, which depend on the text; or on ``other`` as well."""

    def __init__(self, other=""):
        super().__init__(k=2, r=8)
        self.other = other

    def _answer(self, text):
        found = super()._answer(f"{self.other}{text}")
        hits = tuple(
            replace(hit(each.chunk, 0.5 - 0.1 * place), text=f"the boat {each.chunk}")
            for place, each in enumerate(found.hits)
        )
        return replace(found, query=text, hits=hits, tokens=found.tokens % BEGIN)


def looked_up(reading, retriever, k=2):
    if queries := reading.queries():
        reading.receive(retriever.search(queries, k))


def begun(reader):
    return reader.start(reader.encode(PROMPT))


def forced(reader, retriever, target, stepwise):
    """The last distribution, after a step for each token or one pass over all."""
    reading = begun(reader)
    for token in target:
        looked_up(reading, retriever)
        if stepwise:
            reading.step()
        reading.advance([0], [token])
    looked_up(reading, retriever)
    return reading.step().logprobs[0]


def values(trace):
    return torch.tensor([token.logprob for token in trace.tokens])


def ids(trace):
    return [token.token for token in trace.tokens]


def test_each_reader_is_tried():
    assert set(MODELS) == set(READERS)


def test_probabilities_sum_to_one(reader):
    reading = begun(reader)
    for token in TARGET:
        looked_up(reading, Found())
        step = reading.step()
        assert float(step.logprobs[0].double().exp().sum()) == pytest.approx(1, abs=1e-5)
        assert step.logprobs.shape[0] == 1
        shares = step.shares(0, token)
        assert shares is None or sum(shares) <= 1 + 1e-5
        reading.advance([0], [token])


def test_a_score_token_by_token_is_that_of_whole_passes(reader):
    trace = score(reader, Found(), PROMPT, TARGET)
    assert ids(trace) == TARGET
    for place, token in enumerate(trace.tokens):
        whole = forced(reader, Found(), TARGET[:place], stepwise=False)
        assert token.logprob == pytest.approx(float(whole[TARGET[place]]), abs=1e-4)


def test_what_the_cache_remembers_is_what_would_be_computed_again(reader):
    stepwise = forced(reader, Found(), TARGET, stepwise=True)
    torch.testing.assert_close(stepwise, forced(reader, Found(), TARGET, False), **CLOSE)


def test_rows_that_fork_go_on_as_if_each_were_alone(reader):
    forks = [[17, 80, 5], [17, 4, 9], [30, 80, 7]]
    reading = begun(reader)
    looked_up(reading, Found())
    reading.step()
    reading.advance([0, 0], [17, 30])
    for parents, place in (([0, 0, 1], 1), ([0, 1, 2], 2)):
        looked_up(reading, Found())
        reading.step()
        reading.advance(parents, [fork[place] for fork in forks])
    looked_up(reading, Found())
    together = reading.step().logprobs
    for row, fork in zip(together, forks, strict=True):
        torch.testing.assert_close(row, forced(reader, Found(), fork, True), **CLOSE)


def test_nothing_found_is_as_no_retrieval(reader):
    for how in (Decoding(6), Decoding(6, beams=3), Decoding(6, temperature=1.0, seed=4)):
        without = generate(reader, None, PROMPT, how)
        empty = generate(reader, Nothing(), PROMPT, how)
        assert ids(empty) == ids(without)
        torch.testing.assert_close(values(empty), values(without), **CLOSE)


def test_greedy_decoding_scores_as_it_chose_and_is_one_beam(reader):
    greedy = generate(reader, Found(), PROMPT, Decoding(6))
    again = score(reader, Found(), PROMPT, ids(greedy))
    torch.testing.assert_close(values(again), values(greedy), **CLOSE)
    beams = generate(reader, Found(), PROMPT, Decoding(6, beams=4))
    rescored = score(reader, Found(), PROMPT, ids(beams))
    assert rescored.logprob == pytest.approx(beams.logprob, abs=1e-3)


def test_other_evidence_gives_other_probabilities(reader, name):
    if name == "closed-book":
        return
    one, other = (forced(reader, Found(which), TARGET, True).exp() for which in ("", "!"))
    assert float((one - other).abs().max()) > 1e-3  # of some token, not just those of a target


def test_what_was_read_and_may_not_be_shown_any_more_conditions_nothing_that_follows(reader):
    after = []
    for first in ("one", "other"):
        reading = begun(reader)
        for token in TARGET:
            looked_up(reading, Found(first))
            reading.step()
            reading.advance([0], [token])
        reading.forget(lambda _: False)
        looked_up(reading, Found())
        after.append(reading.step().logprobs)
    torch.testing.assert_close(*after)


# -- with a database ------------------------------------------------------------------------------


@pytest.fixture
def written(retro, name, folders, tmp_path):
    """Write from a database: the lines of the trace."""

    def write(db, *how):
        path = tmp_path / "trace.jsonl"
        found = retro(
            "generate", db, PROMPT, "--reader", name, "--model", folders[MODELS[name]], "-k", 2,
            "--max-tokens", 10, "--trace", path, *how,
        )  # fmt: skip
        assert found.code == 0, found.err
        return [json.loads(line) for line in path.read_text().splitlines()]

    return write


def read_from(lines):
    return {each["source"] for line in lines for each in line["neighbours"]}


def test_no_trace_names_what_was_filtered_and_undo_brings_it_back_bit_for_bit(
    retro, db, written, name
):
    before = written(db)
    sources = read_from(before)
    if name == "closed-book":
        assert not sources
        return
    for number, source in enumerate(sorted(sources)[:2], 1):
        assert retro("filter", "add", db, "--source", source, "--reason", "test").code == 0
        assert source not in read_from(written(db))
        assert retro("filter", "undo", db, number).code == 0
        assert written(db) == before


def test_a_swapped_index_changes_what_is_written(retro, db, written, archive, name):
    before = written(db)
    for path in [*archive.glob("*.txt"), *archive.glob("notes/*.md")]:
        path.write_text(path.read_text().replace("the", "no").replace("keeper", "storm"))
    posts = archive / "posts.jsonl"
    posts.write_text(posts.read_text().replace("keeper", "storm"))
    assert retro("build", archive, "--db", db).code == 0
    after = written(db)
    if name == "closed-book":
        assert after == before
        return
    pairs = [(line["token"], line["logprob"]) for line in before]
    assert pairs != [(line["token"], line["logprob"]) for line in after]
    assert read_from(after)
