"""Two generations, compared part by part, against comparing every document of both."""

from __future__ import annotations

import random
from itertools import permutations

import numpy as np
import pytest
from helpers import everything, write_jsonl

from retro_cli import pipeline
from retro_cli.errors import UsageError
from retro_cli.index import diff as module
from retro_cli.index.catalogue import all_generations, load_generation
from retro_cli.index.diff import diff_generations, living
from retro_cli.index.stage import IndexJob
from retro_cli.store.layout import Layout
from retro_cli.store.tables import read_columns


def build(layout, source, **overrides):
    pipeline.chunk(
        layout,
        [str(source)],
        overrides,
        pipeline.ChunkOptions(workers=1, prune=True, part_bytes=400),
    )
    pipeline.embed(layout, threads=1)
    pipeline.index(layout, IndexJob(layout, threads=1))


@pytest.fixture(scope="module")
def history(tmp_path_factory, static_encoder):
    """Three generations of random edits; the last one cuts everything anew."""
    root = tmp_path_factory.mktemp("history")
    source, layout = root / "in", Layout(root / "h.db")
    source.mkdir()
    chance = random.Random(4)

    def record(number):
        words = f"the keeper {number} of the light saw a storm " * (1 + number % 3)
        name = {} if number % 5 == 0 else {"id": f"d{number}"}
        return {**name, "text": words, "source": f"s{number % 4}"}

    records = [record(number) for number in range(60)]
    for generation in range(3):
        write_jsonl(source / "a.jsonl", records[:30])
        write_jsonl(source / "b.jsonl", records[30:])
        build(layout, source, encoder=str(static_encoder), tokens=6 if generation == 2 else 8)
        for position in chance.sample(range(60), 12):
            records[position]["text"] += f" again {generation}"
        records[chance.randrange(60)] = record(100 + generation)
        records[chance.randrange(60)] = record(110 + generation)
    return layout


def all_documents(layout, number):
    """Every live document: its name, file, key, content, source and number of chunks."""
    generation = load_generation(layout.index, f"gen-{number:06d}.json")
    found = []
    for part in living(layout, generation).chunks.parts:
        dead = {row for first, n in part.dead_docs for row in range(first, first + n)}
        columns = ["document", "uri", "key", "hash", "source", "chunks"]
        rows = read_columns(layout.chunks / part.docs_file, columns).to_pylist()
        found += [row for place, row in enumerate(rows) if place not in dead]
    return found


def names_of(rows):
    return sorted(row["document"] for row in rows)


@pytest.mark.parametrize(("first", "second"), list(permutations((1, 2, 3), 2)))
def test_it_is_what_comparing_every_document_gives(history, first, second):
    found = diff_generations(history, first, second, names=1000)
    old, new = all_documents(history, first), all_documents(history, second)
    same = {(r["uri"], r["key"], r["hash"]) for r in old} & {
        (r["uri"], r["key"], r["hash"]) for r in new
    }
    old_left = [r for r in old if (r["uri"], r["key"], r["hash"]) not in same]
    new_left = [r for r in new if (r["uri"], r["key"], r["hash"]) not in same]
    keys = {(r["uri"], r["key"]) for r in old_left if r["key"]} & {
        (r["uri"], r["key"]) for r in new_left if r["key"]
    }
    assert sorted(found.replaced.names) == names_of(
        r for r in old_left if (r["uri"], r["key"]) in keys
    )
    assert sorted(found.removed.names) == names_of(
        r for r in old_left if (r["uri"], r["key"]) not in keys
    )
    assert sorted(found.added.names) == names_of(
        r for r in new_left if (r["uri"], r["key"]) not in keys
    )
    assert min(found.replaced.count, found.removed.count, found.added.count) > 0
    assert found.recut == (len(same) if 3 in (first, second) else 0)
    chunks = [sum(r["chunks"] for r in rows) for rows in (old, new)]
    assert (found.before.chunks, found.after.chunks) == tuple(chunks)
    assert (found.before.documents, found.after.documents) == (len(old), len(new))
    for source in found.sources:
        before, after = (
            sum(r["chunks"] for r in rows if r["source"] == source.source) for rows in (old, new)
        )
        assert source.added - source.removed == after - before


def test_a_generation_is_equal_to_itself_and_nothing_is_touched(history):
    before = everything(history.root)
    found = diff_generations(history, 2, 2)
    assert not found.differs
    assert everything(history.root) == before


def test_only_parts_that_differ_are_read(history, monkeypatch):
    read = []
    monkeypatch.setattr(
        module,
        "read_columns",
        lambda path, columns: read.append(path) or read_columns(path, columns),
    )
    diff_generations(history, 1, 2)
    generation = load_generation(history.index, "gen-000002.json")
    assert 0 < len(read) < len(living(history, generation).chunks.parts)


def test_names_are_the_first_by_id_and_no_more_than_asked(history):
    few, all_of_them = (diff_generations(history, 1, 2, names=n) for n in (3, 1000))
    assert few.replaced.names == all_of_them.replaced.names[:3]
    assert few.replaced.count == all_of_them.replaced.count == len(all_of_them.replaced.names)


def test_an_unknown_generation_names_those_there_are(history):
    assert len(all_generations(history.index)) == 3
    with pytest.raises(UsageError) as refused:
        diff_generations(history, 1, 8)
    assert refused.value.hint == "there are: 1, 2, 3"


def test_rows_that_die_by_other_means_count_as_gone(history, monkeypatch):
    def without_the_first_rows(layout, generation):
        found = living(layout, generation)
        if generation.number == 2:
            found.rows[np.flatnonzero(found.rows)[:3]] = False
        return found

    usual = diff_generations(history, 1, 2)
    monkeypatch.setattr(module, "living", without_the_first_rows)
    found = diff_generations(history, 1, 2)
    assert found.after.chunks == usual.after.chunks - 3
    change = sum(source.added - source.removed for source in found.sources)
    assert change == found.after.chunks - found.before.chunks
