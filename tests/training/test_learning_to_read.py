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
from retro_cli.generate.live import LiveRetriever
from retro_cli.readers.open import ReaderOptions, open_reader
from retro_cli.training.checkpoint import Checkpoints
from retro_cli.training.course import Course, CourseSettings
from retro_cli.training.model import save_language_model

STEPS, QUESTIONS = 300, 60
CHANCE = 1 / len(VALUES)
TEMPERATURE = 0.5


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
    assert np.mean(outcome.losses[-10:]) < 0.6 < np.mean(outcome.losses[:10])
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
        self.tokens = [self.reader.encode(value)[0] for value in VALUES]
        self.db, self.learned = db, learned

    def __call__(self, keys):
        """The step in which each answer is said."""
        steps = []
        with Database.open(self.db, self.learned / "model" / BESIDE) as database:
            find = LiveRetriever(database.finder())
            for entity, relation in keys:
                reading = self.reader.start(self.reader.encode(f"{entity} {relation}"))
                reading.receive(find.search(reading.queries(), self.reader.k))
                steps.append(reading.step())
        return steps

    def right(self, steps, wanted):
        """The share of the questions to which the likeliest value is the one that is wanted."""
        said = [VALUES[int(step.logprobs[0, self.tokens].argmax())] for step in steps]
        return np.mean([value == want for value, want in zip(said, wanted, strict=True)])

    def traced(self, steps, wanted, documents):
        """How often the wanted value's likeliest source is the document that says it."""
        found = []
        for step, value, document in zip(steps, wanted, documents, strict=True):
            shares = step.shares(0, self.tokens[VALUES.index(value)])
            found.append(step.evidence[0].hits[int(np.argmax(shares))].document == document)
        return np.mean(found)


def test_a_reader_reads_the_index_and_not_its_weights(retro, learned, facts, asked, tmp_path):
    db = build(retro, tmp_path, facts, learned / "encoder")
    ask = Asking(db, learned)
    old = [facts[key] for key in asked]
    gold = [f"{entity}-{relation}" for entity, relation in asked]
    steps = ask(asked)
    assert ask.right(steps, old) >= 0.92
    assert ask.traced(steps, old, gold) >= 0.92

    # Reading alone finds the source too: where every document weighs the same beforehand.
    ask.reader.temperature = 1e6
    steps = ask(asked)
    assert ask.traced(steps, old, gold) >= 0.85
    assert ask.right(steps, old) <= 0.8
    ask.reader.temperature = TEMPERATURE

    # Every value replaced by another one, in the index alone.
    swapped = {
        key: VALUES[(VALUES.index(value) + 1 + n % (len(VALUES) - 1)) % len(VALUES)]
        for n, (key, value) in enumerate(facts.items())
    }
    new = [swapped[key] for key in asked]
    build(retro, tmp_path, swapped, learned / "encoder")
    steps = ask(asked)
    assert ask.right(steps, new) >= 0.92
    assert ask.right(steps, old) <= 0.05

    # The chunks that answer taken out: what is said is another chunk's, and right by chance.
    named = [argument for document in gold for argument in ("--doc", document)]
    out = retro("filter", "add", db, *named, "--reason", "test")
    assert out.code == 0, out.err
    steps = ask(asked)
    assert ask.right(steps, new) <= 4 * CHANCE
    shown = {hit.document for step in steps for hit in step.evidence[0].hits}
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
