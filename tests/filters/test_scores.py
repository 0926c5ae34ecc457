"""Score tables: written once, resumed after a kill, made again only for another scorer."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers import write_jsonl
from safetensors.numpy import load_file, save_file

from retro_cli import pipeline
from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.manifest import require_manifest
from retro_cli.chunks.rows import ChunkRows
from retro_cli.embeddings.manifest import load_manifest
from retro_cli.errors import IntegrityError, NotBuiltYet, RetroError, UsageError
from retro_cli.filters import scores
from retro_cli.filters.score_table import (
    ScoreTable,
    load_table,
    scores_of,
    scores_version,
    table_name,
    tables,
)
from retro_cli.store.layout import Layout


class Counting:
    """Gives every row it sees a score of its own, so that no two rows agree by chance."""

    name = "counting"
    needs_text = True
    needs_vectors = False

    def __init__(self, fingerprint="one", fail_after=None):
        self.fingerprint, self.fail_after = fingerprint, fail_after
        self.seen: list[str] = []

    def score(self, batch):
        texts = batch.need_texts()
        if self.fail_after is not None and len(self.seen) + len(texts) > self.fail_after:
            raise KeyboardInterrupt
        first = len(self.seen)
        self.seen += texts
        return (np.arange(first, len(self.seen)) / 1000).astype(np.float32)


class Nearness:
    """Scores vectors alone."""

    name, fingerprint = "nearness", "vectors"
    needs_text, needs_vectors = False, True

    def score(self, batch):
        return np.abs(batch.need_vectors()[:, 0].astype(np.float32)).clip(0, 1)


class Library:
    def __init__(self, folder, encoder):
        self.folder, self.encoder = folder, str(encoder)
        self.layout = Layout(folder / "s.db")

    def write(self, name, *texts):
        """One file, chunked in a run of its own: a part of its own."""
        path = self.folder / f"{name}.jsonl"
        write_jsonl(path, [{"id": f"{name}{n}", "text": text} for n, text in enumerate(texts)])
        how = {"encoder": self.encoder, "tokens": 12}
        pipeline.chunk(self.layout, [str(path)], how, pipeline.ChunkOptions(workers=1))

    @property
    def state(self):
        manifest = require_manifest(self.layout.chunks)
        return manifest, Aliases.load(self.layout.chunks, manifest.aliases)

    def score(self, scorer, name="t"):
        table = ScoreTable(name, "words", "", "")
        embeddings = load_manifest(self.layout.embeddings)
        made = embeddings.parts if embeddings else {}
        files = {part: vectors.file.name for part, vectors in made.items()}
        return scores.score(self.layout, [self.state], files, scorer, table)

    def read(self, name="t"):
        return scores_of(self.layout, *self.state, name)

    def texts(self):
        rows = ChunkRows(self.layout.chunks, self.state[0].parts)
        return [chunk.text for chunk in rows.get(range(self.state[0].next_id))]


@pytest.fixture
def library(tmp_path, static_encoder):
    library = Library(tmp_path, static_encoder)
    library.write("a", "the boat", "the ferry", "the storm")
    library.write("b", "the light", "the boat")
    return library


def test_every_chunk_is_scored_once_and_a_second_run_scores_nothing(library):
    first = Counting()
    report = library.score(first)
    assert (report.rows_scored, report.rows_kept) == (5, 0)
    assert sorted(first.seen) == sorted(library.texts())
    before = {path.name: path.read_bytes() for path in library.layout.attributes.rglob("*.f4")}
    again = Counting()
    report = library.score(again)
    assert (report.rows_scored, report.rows_kept, again.seen) == (0, 5, [])
    assert before == {p.name: p.read_bytes() for p in library.layout.attributes.rglob("*.f4")}


def test_only_what_is_new_is_scored(library):
    library.score(Counting())
    before = library.read()
    library.write("c", "the island", "the harbour")
    second = Counting()
    report = library.score(second)
    assert (report.rows_scored, report.rows_kept) == (2, 5)
    assert sorted(second.seen) == ["the harbour", "the island"]
    assert (library.read()[:5] == before).all()


def test_another_scorer_scores_all_again_and_leaves_no_file_of_the_first(library):
    library.score(Counting())
    report = library.score(Counting("two"))
    assert (report.rows_scored, report.rows_kept) == (5, 0)
    folder = library.layout.attributes / "t"
    named = {file.name for _, file in load_table(library.layout, "t").parts.values()}
    assert {path.name for path in folder.glob("*.f4")} == named


def test_a_killed_run_is_resumed_at_the_part_where_it_died(library):
    with pytest.raises(KeyboardInterrupt):
        library.score(Counting(fail_after=3))
    with pytest.raises(NotBuiltYet, match="1 chunk has no"):
        library.read()
    resumed = Counting()
    report = library.score(resumed)
    assert (report.rows_scored, report.rows_kept) == (2, 3)
    assert sorted(resumed.seen) == ["the boat", "the light"]
    assert not np.isnan(library.read()).any()


def test_a_kill_while_another_scorer_scores_mixes_no_scores_of_two_scorers(library):
    library.score(Counting())
    with pytest.raises(KeyboardInterrupt):
        library.score(Counting("two", fail_after=3))
    with pytest.raises(NotBuiltYet):
        library.read()
    back = Counting()
    assert library.score(back).rows_scored == 5


def test_a_merged_row_has_the_score_of_the_row_that_stands_for_it(library):
    library.score(Counting())
    found, (_, aliases) = library.read(), library.state
    assert len(aliases.member) == 1
    assert (found[aliases.member] == found[aliases.canonical]).all()
    assert len(set(found.tolist())) == 4


def test_a_rows_score_is_that_of_its_own_text(library):
    scorer = Counting()
    library.score(scorer)
    by_text = {}
    for number, text in enumerate(scorer.seen):
        by_text.setdefault(text, np.float32(number / 1000))
    assert library.read().tolist() == [float(by_text[text]) for text in library.texts()]


def test_dead_rows_need_no_score_and_ask_for_none(library):
    library.write("a", "the keeper")
    scorer = Counting()
    library.score(scorer)
    assert not np.isnan(library.read()[library.state[0].parts[-1].base])
    library.write("b", "the keeper of b")
    assert library.score(Counting()).rows_scored == 1
    library.read()


def test_a_table_reads_back_as_it_was_saved(library):
    table = library.score(Counting()).table
    assert load_table(library.layout, "t") == table
    assert ScoreTable.from_json(json.loads(json.dumps(table.to_json()))) == table
    library.score(Counting(), "other")
    assert [found.name for found in tables(library.layout)] == ["other", "t"]


def test_the_version_changes_with_the_scorer_only(library):
    assert scores_version(library.layout, "t") == ""
    library.score(Counting())
    version = scores_version(library.layout, "t")
    library.score(Counting())
    assert scores_version(library.layout, "t") == version
    library.write("c", "the island")  # another chunk, which the manifest tells
    library.score(Counting())
    assert scores_version(library.layout, "t") == version
    library.score(Counting("two"))
    assert scores_version(library.layout, "t") != version


@pytest.mark.parametrize("wrong", [1.5, -0.1, np.nan])
def test_a_score_out_of_bounds_is_refused_and_not_written(library, wrong):
    class Wrong(Counting):
        def score(self, batch):
            return np.full(len(batch.need_texts()), wrong, np.float32)

    with pytest.raises(RetroError, match="between 0 and 1"):
        library.score(Wrong())
    assert load_table(library.layout, "t") is None


def test_an_unknown_table_is_refused_with_those_there_are(library):
    with pytest.raises(UsageError) as refused:
        library.read("toxic")
    assert "retro filter score" in refused.value.hint
    library.score(Counting())
    with pytest.raises(UsageError) as refused:
        library.read("toxic")
    assert "there are: t" in refused.value.hint


def test_a_scorer_of_vectors_needs_vectors_first(library):
    with pytest.raises(NotBuiltYet):
        library.score(Nearness())
    pipeline.embed(library.layout)
    library.score(Nearness())
    assert not np.isnan(library.read()).any()


def test_a_chunk_whose_vector_is_zero_has_a_score_too(tmp_path, static_encoder):
    encoder = tmp_path / "encoder"
    shutil.copytree(static_encoder, encoder)
    table = load_file(encoder / "model.safetensors")["embedding.weight"].copy()
    vocabulary = json.loads((encoder / "tokenizer.json").read_text())["model"]["vocab"]
    table[vocabulary["?"]] = 0
    save_file({"embedding.weight": table}, str(encoder / "model.safetensors"))
    library = Library(tmp_path, encoder)
    library.write("a", "? ? ?", "the boat")
    pipeline.embed(library.layout)
    library.score(Nearness())
    assert not np.isnan(library.read()).any()


@pytest.mark.parametrize("how", ["short", "ragged", "missing", "longer"])
def test_a_damaged_score_file_is_an_integrity_error_and_scored_again(library, how):
    library.score(Counting())
    path = sorted((library.layout.attributes / "t").glob("*.f4"))[0]
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes({"short": data[:-4], "ragged": data[:-3], "longer": data + data}[how])
    with pytest.raises(IntegrityError):
        library.read()
    assert library.score(Counting()).rows_scored in (2, 3)
    assert not np.isnan(library.read()).any()


def test_scores_with_a_flipped_bit_are_scored_again(library):
    table = library.score(Counting()).table
    _, file = next(iter(table.parts.values()))
    path = library.layout.attributes / "t" / file.name
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1, *path.read_bytes()[1:]]))
    assert library.score(Counting()).rows_scored in (2, 3)
    assert replace(file) in [known for _, known in load_table(library.layout, "t").parts.values()]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"parts": {}}', "null"])
def test_a_broken_table_is_an_integrity_error(library, content):
    library.score(Counting())
    (library.layout.attributes / "t" / "manifest.json").write_text(content)
    with pytest.raises(IntegrityError):
        load_table(library.layout, "t")


@pytest.mark.parametrize(
    ("spec", "name"),
    [("default", "default"), ("words", "words"), ("words:/a/b/rude.txt", "words-rude"),
     ("probe:mine.safetensors", "probe-mine"), ("hf:org/some model", "hf-some-model"),
     ("/a/b/mine.safetensors", "mine"), ("hf:..", "hf")],
)  # fmt: skip
def test_a_table_is_called_after_its_scorer(spec, name):
    assert table_name(spec) == name


def test_the_name_of_a_table_is_a_name_of_a_folder_whatever_the_spec():
    for spec in ("..", "words:../..", "hf:a/../../b", "/", ":", "words:\n", ".", "probe:é/ü"):
        name = table_name(spec)
        assert name
        assert "/" not in name
        assert not name.startswith(".")
        assert table_name(name) == name
