"""The index stage: generations that grow, mask, retrain for a reason, and never break a reader."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import write_jsonl

from retro_cli import pipeline
from retro_cli.database import Database
from retro_cli.index.bitmaps import load_bitmap
from retro_cli.index.catalogue import current_generation
from retro_cli.index.stage import IndexJob
from retro_cli.store.layout import Layout


def posts(count: int, **changed: str) -> list[dict[str, str]]:
    return [
        {"id": f"p{n}", "text": changed.get(f"p{n}", f"boat {n} and keeper {n * 37}")}
        for n in range(count)
    ]


class Library:
    """A database over one JSONL file, brought up to date on demand."""

    def __init__(self, folder, encoder):
        self.path = folder / "posts.jsonl"
        self.layout = Layout(folder / "l.db")
        self.encoder = str(encoder)

    def update(self, records, **job):
        write_jsonl(self.path, records)
        settings = {"encoder": self.encoder, "tokens": 16}
        options = pipeline.ChunkOptions(workers=1, prune=True)
        pipeline.chunk(self.layout, [str(self.path)], settings, options)
        pipeline.embed(self.layout)
        return pipeline.index(self.layout, IndexJob(self.layout, **job))

    def documents(self, k=1000):
        with Database.open(self.layout.root) as database:
            return {hit.document for hit in database.query("boat keeper", k=k)}


@pytest.fixture
def library(tmp_path, static_encoder):
    return Library(tmp_path, static_encoder)


def test_an_update_adds_a_segment_and_masks_what_died(library):
    library.update(posts(30))
    report = library.update(posts(32, p3="a new storm"))
    assert (report.rows_added, report.rows_died, report.trained) == (3, 1, False)
    generation = report.generation
    assert generation.number == 2
    folder = library.layout.index
    indexed = load_bitmap(folder, generation.indexed, 100)
    dead = load_bitmap(folder, generation.dead, 100)
    assert indexed.sum() == 33
    assert np.flatnonzero(dead).tolist() == [3]
    assert library.documents() == {f"p{n}" for n in range(32)}


def test_once_a_tenth_is_new_or_dead_there_is_one_segment_without_dead_rows(library):
    library.update(posts(30))
    report = library.update(posts(36, p3="a new storm"))
    generation = report.generation
    assert (report.rows_added, report.rows_died, report.segments_merged) == (7, 1, 2)
    indexed = load_bitmap(library.layout.index, generation.indexed, 100)
    assert np.flatnonzero(~indexed[:37]).tolist() == [3]
    assert not load_bitmap(library.layout.index, generation.dead, 100).any()
    assert [segment.rows for segment in generation.segments] == [36]


def test_many_small_updates_leave_few_segments_and_lose_nothing(library):
    for count in range(20, 34):
        report = library.update(posts(count))
    assert len(report.generation.segments) <= 8
    assert sum(segment.rows for segment in report.generation.segments) == 33
    assert library.documents() == {f"p{n}" for n in range(33)}


def test_nothing_changed_makes_no_generation(library):
    library.update(posts(10))
    report = library.update(posts(10))
    assert report.up_to_date
    assert report.generation.number == 1


@pytest.mark.parametrize(
    ("job", "reason"),
    [({"retrain": True}, "--retrain"), ({"factory": "IVF2,SQ8"}, "--factory IVF2,SQ8")],
)
def test_training_again_says_why_and_answers_the_same(library, job, reason):
    library.update(posts(90))
    report = library.update(posts(90), **job)
    assert report.trained
    assert reason in report.reason
    assert library.documents() == {f"p{n}" for n in range(90)}


def test_a_requested_factory_stays_until_another_is_asked_for(library):
    library.update(posts(90), factory="IVF2,SQ8")
    report = library.update(posts(95))
    assert not report.trained
    assert report.generation.plan.factory == "IVF2,SQ8"


def test_a_new_recall_target_tunes_again_without_training(library):
    library.update(posts(90), factory="IVF2,SQ8")
    report = library.update(posts(90), recall=0.5)
    assert (report.trained, report.generation.quality.target) == (False, 0.5)


def test_a_corpus_that_outgrew_its_training_is_trained_again(library):
    library.update(posts(20))
    report = library.update(posts(120))
    assert report.trained
    assert "outgrown" in report.reason


def test_a_reader_keeps_its_generation_while_others_come_and_go(library):
    library.update(posts(30))
    with Database.open(library.layout.root) as reader:
        before = [hit.document for hit in reader.query("boat keeper", k=30)]
        for count in range(31, 37):
            library.update(posts(count, p1=f"storm {count}"))
        assert [hit.document for hit in reader.query("boat keeper", k=30)] == before
        assert len(list(library.layout.index.glob("gen-*.json"))) == 4
    library.update(posts(37))
    assert len(list(library.layout.index.glob("gen-*.json"))) == 3


def test_every_file_left_is_one_that_something_names(library):
    for count in range(20, 27):
        library.update(posts(count, p1=f"storm {count}"))
    named = set()
    for path in library.layout.root.rglob("*.json"):
        named.add(path.name)
        if not path.name.startswith("."):
            text = path.read_text()
            named |= {piece for piece in text.replace('"', " ").split() if "." in piece}
    files = {path.name for path in library.layout.root.rglob("*") if path.is_file()}
    spared = {"CURRENT", "retro.toml", ".lock"}
    assert files - spared <= named


def test_the_generation_file_reads_back_equal(library):
    generation = library.update(posts(10)).generation
    assert current_generation(library.layout.index) == generation
    text = (library.layout.index / generation.file_name).read_text()
    assert json.loads(text)["format"] == 1
