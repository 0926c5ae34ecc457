"""The honest test of learning to read (Lewis et al. 2020, section 4.5: index hot-swapping).

Facts are drawn anew for every batch, so a reader can only be right by reading. What it has learned
is then asked of a real database: intact, with the values replaced, with chunks taken out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fact_helpers import ENTITIES, RELATIONS, VALUES, fact, lesson
from helpers import write_jsonl

from retro_cli import Database
from retro_cli.embeddings.pairing import BESIDE, pair
from retro_cli.generate.live import LiveRetriever, nearest_to_questions
from retro_cli.readers.open import ReaderOptions, open_reader
from retro_cli.training.checkpoint import Checkpoints
from retro_cli.training.course import Course, CourseSettings
from retro_cli.training.model import save_language_model

STEPS, QUESTIONS = 180, 60
CHANCE = 1 / len(VALUES)
TEMPERATURE = 0.25


@pytest.fixture(scope="module")
def learned(tmp_path_factory) -> Path:
    """A folder with the reader, its query encoder beside it, and ``encoder``, the documents'."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("reader")
    learning = lesson(folder)
    settings = CourseSettings(
        steps=STEPS, batch=32, learning_rate=5e-3, warmup=20, save_every=STEPS
    )
    checkpoints = Checkpoints(folder / "checkpoints", "run")
    outcome = Course(learning, settings, checkpoints, folder / "metrics.jsonl").run()
    torch.set_num_threads(threads)
    assert np.mean(outcome.losses[-10:]) < 0.35 < np.mean(outcome.losses[:10])
    assert not learning.window.collapsed
    save_language_model(learning.network, folder / "bart", folder / "model")
    learning.tower.save(folder / "model" / BESIDE)
    pair(folder / "model" / BESIDE, learning.tower.begun.spec)
    return folder


@pytest.fixture
def facts() -> dict[tuple[str, str], str]:
    """A fact for each entity and relation, of another draw than any in training."""
    random = np.random.default_rng(99)
    return {(e, r): str(random.choice(VALUES)) for e in ENTITIES for r in RELATIONS}


@pytest.fixture
def asked(facts):
    random = np.random.default_rng(1)
    keys = list(facts)
    return [keys[place] for place in random.permutation(len(keys))[:QUESTIONS]]


def build(retro, folder, facts, encoder):
    records = [
        {"id": f"{e}-{r}", "title": e, "text": fact(e, r, value)} for (e, r), value in facts.items()
    ]
    write_jsonl(folder / "facts.jsonl", records)
    made = retro("build", "facts.jsonl", "--db", "facts.db", "--encoder", encoder, "--tokens", 8)
    assert made.code == 0, made.err
    return folder / "facts.db"


class Asking:
    """Questions to a database, read by rag-token with the query encoder that was trained."""

    def __init__(self, db: Path, learned: Path) -> None:
        options = ReaderOptions(learned / "model", k=4, doc_temperature=TEMPERATURE)
        self.reader = open_reader("rag-token", options).reader
        self.db, self.learned = db, learned

    def __call__(self, keys, temperature=None):
        """Per question: p of each value, and the trace of the likeliest one."""
        if temperature is not None:
            self.reader.temperature = temperature
        told = []
        with Database.open(self.db, self.learned / "model" / BESIDE) as database:
            find = nearest_to_questions(database.retriever, database.encoder)
            for entity, relation in keys:
                reading = self.reader.start(self.reader.encode(f"{entity} {relation}"))
                reading.receive(LiveRetriever(find).search(reading.queries(), self.reader.k))
                step = reading.step()
                ids = [self.reader.encode(value)[0] for value in VALUES]
                said = int(step.logprobs[0, ids].argmax())
                hits = step.evidence[0].hits
                told.append((VALUES[said], hits, step.shares(0, ids[said])))
        return told


def share(told, wanted):
    return sum(said == value for (said, *_), value in zip(told, wanted, strict=True)) / len(told)


def test_a_reader_reads_the_index_and_not_its_weights(retro, learned, facts, asked, tmp_path):
    db = build(retro, tmp_path, facts, learned / "encoder")
    ask = Asking(db, learned)
    told = ask(asked)
    old = [facts[key] for key in asked]
    assert share(told, old) >= 0.95
    gold = [f"{e}-{r}" for e, r in asked]
    tops = [hits[int(np.argmax(shares))].document for _, hits, shares in told]
    assert sum(top == own for top, own in zip(tops, gold, strict=True)) >= 0.95 * len(gold)

    # Also when every document weighs the same beforehand: reading alone finds the right one.
    even = ask(asked, temperature=1e6)
    tops = [hits[int(np.argmax(shares))].document for _, hits, shares in even]
    assert sum(top == own for top, own in zip(tops, gold, strict=True)) >= 0.7 * len(gold)
    ask.reader.temperature = TEMPERATURE

    # Every value replaced by another one, in the index alone.
    swapped = {
        key: VALUES[(VALUES.index(value) + 1 + n % (len(VALUES) - 1)) % len(VALUES)]
        for n, (key, value) in enumerate(facts.items())
    }
    assert all(swapped[key] != facts[key] for key in facts)
    build(retro, tmp_path, swapped, learned / "encoder")
    told = ask(asked)
    assert share(told, [swapped[key] for key in asked]) >= 0.95
    assert share(told, old) <= 0.05

    # The chunks that answer taken out: what is said is what another chunk says, right by chance.
    for entity, relation in asked:
        out = retro("filter", "add", db, "--document", f"{entity}-{relation}", "--reason", "test")
        assert out.code == 0, out.err
    told = ask(asked)
    assert share(told, [swapped[key] for key in asked]) <= 4 * CHANCE
    shown = {hit.document for _, hits, _ in told for hit in hits}
    assert shown
    assert not shown & set(gold)


def test_the_loop_writes_what_the_index_says(retro, learned, facts, asked, tmp_path):
    build(retro, tmp_path, facts, learned / "encoder")
    entity, relation = asked[0]
    told = retro(
        "generate", "facts.db", f"{entity} {relation}", "--reader", "rag-token", "--model",
        learned / "model", "-k", 4, "--doc-temperature", TEMPERATURE, "--json",
    )  # fmt: skip
    assert told.code == 0, told.err
    assert told.rows[-1]["text"].strip() == facts[asked[0]]
