"""What a diff says is what the next run does, and saying it touches nothing."""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import everything, write_jsonl
from hypothesis import given, settings
from hypothesis import strategies as st

from retro_cli.chunks.diff import diff_inputs
from retro_cli.chunks.manifest import load_manifest
from retro_cli.chunks.stage import ChunkJob, chunk
from retro_cli.config import Settings
from retro_cli.corpus import list_inputs
from retro_cli.errors import UsageError


class Corpus:
    """A folder of documents that a seed fills and edits, and the database made of it."""

    def __init__(self, base, tokenizer, seed=0):
        self.base, self.tokenizer = base, tokenizer
        self.root, self.folder = base / "corpus", base / "db" / "chunks"
        self.random = random.Random(seed)
        self.number = 0
        (self.root / "sub").mkdir(parents=True)
        self.records = [self.record() for _ in range(8)]
        for _ in range(4):
            self.add()
        self.save()

    def words(self):
        self.number += 1
        return f"the ferry number {self.number} left the harbour"

    def record(self):
        value = {"text": self.words()}
        return value if self.number % 3 == 0 else {"id": f"r{self.number}", **value}

    def save(self):
        write_jsonl(self.root / "r.jsonl", self.records)

    def any_text(self):
        return self.random.choice(sorted(self.root.rglob("*.txt")))

    def add(self):
        name = f"{'sub/' * self.random.randrange(2)}{self.number}.txt"
        (self.root / name).write_text(self.words())

    def edit(self):
        self.any_text().write_text(self.words())

    def touch(self):
        path = self.any_text()
        path.write_text(path.read_text())

    def delete(self):
        if len(list(self.root.rglob("*.txt"))) > 1:
            self.any_text().unlink()

    def rename(self):
        path = self.any_text()
        path.rename(path.with_name(f"renamed-{self.number}-{path.name}"))
        self.number += 1

    def edit_record(self):
        self.random.choice(self.records)["text"] = self.words()
        self.save()

    def add_record(self):
        self.records.insert(self.random.randrange(len(self.records)), self.record())
        self.save()

    def move_record(self):
        self.random.shuffle(self.records)
        self.save()

    def remove_record(self):
        if len(self.records) > 2:
            self.records.pop(self.random.randrange(len(self.records)))
            self.save()

    def copy_record(self):
        self.records.append(dict(self.random.choice(self.records)))
        self.save()

    def break_record(self):
        self.save()
        with (self.root / "r.jsonl").open("a") as file:
            file.write('{"broken\n')

    def break_file(self):
        (self.root / f"broken-{self.number}.jsonl").write_text('{"text": "a boat"}\n{nonsense\n')

    def job(self, *specs, prune=False, part_bytes=300, **chosen):
        specs = [str(spec) for spec in specs] or [str(self.root)]
        listed = list_inputs(specs)
        options = Settings(**{"tokens": 8, **chosen})
        return ChunkJob(
            self.folder, options, self.tokenizer, specs, listed, prune=prune, part_bytes=part_bytes
        )

    def manifest(self):
        return load_manifest(self.folder)


EDITS = (
    "add",
    "edit",
    "touch",
    "delete",
    "rename",
    "edit_record",
    "add_record",
    "move_record",
    "remove_record",
    "copy_record",
    "break_record",
    "break_file",
)


@pytest.fixture
def corpus(tmp_path, wordpiece_path):
    return Corpus(tmp_path, wordpiece_path)


def agree(corpus, job):
    """Diff, then chunk: nothing is touched by the first, and every number is the second's."""
    before, held = everything(corpus.base), corpus.manifest()
    found = diff_inputs(job)
    assert everything(corpus.base) == before
    report = chunk(job)
    assert (found.files_new, found.files_changed) == (report.files_new, report.files_changed)
    assert found.files_unchanged == report.files_unchanged
    assert found.files_not_named == report.files_not_named
    assert (0 if job.prune else found.files_missing) == report.files_missing
    assert found.docs_written == report.docs_written
    assert found.docs_replaced == report.docs_replaced
    assert found.docs_removed == report.docs_removed
    assert found.docs_vanished == report.docs_vanished
    assert found.docs_after == report.live_docs
    assert found.set_aside == report.rejected
    assert found.notes[: len(report.notes)] == report.notes
    if not any(file.written for file in found.files if file.state == "changed"):
        assert found.characters_new == report.characters_written
    if found.would_change:
        assert corpus.manifest() != held or report.notes  # a mended file is as it was
    else:
        assert replace(corpus.manifest(), inputs=None) == replace(held, inputs=None)
    return found


def adds_up(found):
    """The files' numbers make the totals, and each document before has one fate."""
    for name in ("added", "replaced", "removed", "written"):
        assert sum(getattr(file, name) for file in found.files) == getattr(found, f"docs_{name}")
    vanished = sum(file.vanished for file in found.files)
    assert vanished == found.docs_vanished + found.docs_missing
    gone = found.docs_replaced + found.docs_removed
    kept = found.docs_unchanged + vanished + found.docs_vanished_before
    assert kept + gone == found.docs_before
    states = [file.state for file in found.files]
    counts = (found.files_new, found.files_changed, found.files_missing)
    assert tuple(map(states.count, ("new", "changed", "missing"))) == counts


@given(
    seed=st.integers(0, 1000),
    rounds=st.lists(
        st.tuples(st.lists(st.sampled_from(EDITS), max_size=5), st.booleans()), max_size=4
    ),
)
@settings(max_examples=25)
def test_the_next_run_does_what_the_diff_said(wordpiece_path, seed, rounds):
    with tempfile.TemporaryDirectory() as base:
        corpus = Corpus(Path(base), wordpiece_path, seed)
        adds_up(agree(corpus, corpus.job()))
        for edits, prune in rounds:
            for edit in edits:
                getattr(corpus, edit)()
            adds_up(agree(corpus, corpus.job(prune=prune)))
            again = diff_inputs(corpus.job(prune=prune))
            assert not again.would_change
            assert again.docs_written == again.docs_removed == 0


def test_each_edit_of_a_record_is_told_apart(corpus):
    path = corpus.root / "r.jsonl"
    names = [{"id": f"d{n}", "text": f"the light of island {n}"} for n in range(10)]
    write_jsonl(path, names)
    chunk(corpus.job())
    changed = [{**names[3], "text": "the new light"}, *names[4:], {"id": "n", "text": "a boat"}]
    write_jsonl(path, [*changed, names[0]])
    (file,) = diff_inputs(corpus.job()).files
    assert (file.file, file.state) == (str(path), "changed")
    assert (file.added, file.replaced, file.unchanged, file.vanished) == (1, 1, 7, 2)
    (file,) = diff_inputs(corpus.job(prune=True)).files
    assert (file.vanished, file.removed) == (0, 2)


def test_a_renamed_file_is_missing_and_new(corpus):
    chunk(corpus.job())
    old = corpus.any_text()
    new = old.rename(old.with_name("z.txt"))
    found = {file.file: file for file in agree(corpus, corpus.job()).files}
    assert (found[str(old)].state, found[str(old)].vanished) == ("missing", 1)
    assert (found[str(new)].state, found[str(new)].added) == ("new", 1)
    assert found[str(new)].characters == len(new.read_text())


def test_a_file_that_the_input_does_not_cover_is_not_called_missing(corpus):
    chunk(corpus.job())
    (corpus.root / "sub" / "a.txt").write_text("the boat")
    found = agree(corpus, corpus.job(corpus.root / "sub", prune=True))
    assert (found.files_missing, found.docs_removed) == (0, 0)
    assert found.files_not_named == len(list(corpus.root.glob("*.*")))


def test_only_another_time_is_no_change(corpus):
    chunk(corpus.job())
    corpus.touch()
    found = agree(corpus, corpus.job())
    assert (found.would_change, found.files_touched) == (False, 1)


def test_what_vanished_in_earlier_runs_is_still_counted(corpus):
    chunk(corpus.job())
    corpus.remove_record()
    chunk(corpus.job())
    found = diff_inputs(corpus.job())
    assert (found.docs_vanished, found.docs_vanished_before) == (0, 1)
    adds_up(found)
    assert agree(corpus, corpus.job(prune=True)).docs_removed == 1


def test_a_damaged_file_is_said_to_keep_its_documents(corpus):
    chunk(corpus.job())
    path = corpus.root / "r.jsonl"
    path.write_bytes(path.read_bytes()[:150])
    found = agree(corpus, corpus.job(prune=True))
    assert found.docs_removed == 0
    assert found.docs_vanished > 0
    assert found.set_aside == 1


def test_other_settings_start_over_and_say_so(corpus):
    chunk(corpus.job())
    found = agree(corpus, corpus.job(tokens=4))
    assert found.starts_over
    assert found.docs_written == found.docs_before
    assert "cut again" in found.notes[0]


def test_starting_over_without_all_inputs_is_refused_or_says_what_goes(corpus):
    chunk(corpus.job())
    sub = corpus.root / "sub"
    (sub / "a.txt").write_text("the boat")
    before = everything(corpus.base)
    with pytest.raises(UsageError, match="input files are not named"):
        diff_inputs(corpus.job(sub, tokens=4))
    assert everything(corpus.base) == before
    found = agree(corpus, corpus.job(sub, tokens=4, prune=True))
    assert "go with all their documents" in found.notes[-1]


def test_other_merging_of_duplicates_is_a_change(corpus):
    corpus.copy_record()
    chunk(corpus.job())
    found = agree(corpus, corpus.job(dedup="none"))
    assert found.would_change
    assert "none instead of document" in found.notes[0]


@pytest.mark.parametrize("pattern", ["*.docs.parquet", "inputs-*"])
def test_what_is_damaged_is_part_of_the_difference(corpus, pattern):
    chunk(corpus.job())
    next(iter(sorted(corpus.folder.glob(pattern)))).write_bytes(b"rubbish")
    found = agree(corpus, corpus.job())
    assert found.would_change
    assert "instead of" in found.notes[0]


def test_an_interrupted_run_is_neither_continued_nor_swept(corpus):
    chunk(corpus.job())
    corpus.add()
    (corpus.folder / "journal.jsonl").write_text(json.dumps({"key": "k", "record": {}}) + '\n{"to')
    (corpus.folder / "part-00009.chunks.tmp").write_bytes(b"half")
    before = everything(corpus.base)
    assert diff_inputs(corpus.job()).files_new == 1
    assert everything(corpus.base) == before


def test_a_new_file_in_many_pieces_is_counted_once(corpus):
    chunk(corpus.job())
    many = [{"id": f"m{n}", "text": f"the keeper of light {n}"} for n in range(200)]
    write_jsonl(corpus.root / "many.jsonl", many)
    (file,) = agree(corpus, corpus.job(part_bytes=500)).files
    assert (file.added, file.characters) == (200, sum(len(record["text"]) for record in many))
