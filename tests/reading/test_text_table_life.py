"""What becomes of a table of texts: rules, purges, second runs, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import write_jsonl
from hypothesis import given
from hypothesis import strategies as st
from text_table_helpers import HELD, TOKENS, look_up

from retro_cli import Database, pipeline
from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.errors import InputNotFound, NotBuiltYet, UnreadableInput, UsageError
from retro_cli.query import table as tables
from retro_cli.query.neighbours import NeighbourTable, find_neighbours
from retro_cli.query.table import NeighbourSettings
from retro_cli.reading import text_neighbours
from retro_cli.reading.of_model import reading_of
from retro_cli.reading.text_neighbours import (
    TextsToRead,
    grouped,
)
from retro_cli.reading.text_table import TextTable
from retro_cli.reading.texts import Text
from retro_cli.status import status
from retro_cli.upkeep.proof import prove
from retro_cli.verify import verify


def test_rules_hold_when_a_table_is_made_and_when_it_is_read(retro, posts, cutter):
    look_up(posts, cutter, "before", k=4)
    retro("filter", "add", posts.root, "--source", "s1", "--reason", "test")
    look_up(posts, cutter, "after", k=4)
    before, after = TextTable(posts, "before"), TextTable(posts, "after")
    with Database.open(posts.root) as db:
        own = db.retriever.own
    assert (after.neighbours >= 0).all()
    assert own[after.neighbours].all()
    assert not own[before.neighbours].all()
    shown, scores = before.shown(own)
    assert np.array_equal(shown, np.where(own[before.neighbours], before.neighbours, -1))
    assert np.array_equal(scores, np.where(shown >= 0, before.scores, -np.inf))
    assert np.array_equal(before.material(own).neighbours, shown)


def test_the_proof_looks_into_tables_of_both_kinds(retro, posts, cutter, monkeypatch):
    look_up(posts, cutter, "texts", k=4)
    find_neighbours(posts, "chunks", NeighbourSettings(4))
    retro("filter", "add", posts.root, "--source", "s1", "--reason", "test")
    proof = prove(posts)
    assert (proof.tables, proof.leaks) == ({"chunks": 1, "texts": 1}, [])
    for module, name in (("reading.text_table", "texts"), ("query.neighbours", "chunks")):
        with monkeypatch.context() as patched:
            patched.setattr(f"retro_cli.{module}.masked", lambda found, own: found)
            leaks = prove(posts).leaks
        assert leaks
        assert all(f"table {name}" in leak for leak in leaks)


def test_status_and_verify_look_into_tables_of_both_kinds(retro, posts, cutter):
    look_up(posts, cutter, "texts")
    find_neighbours(posts, "chunks", NeighbourSettings(4))
    stage = status(posts).stages[-1]
    assert (stage.name, stage.why) == ("neighbours", "")
    assert stage.facts == {"tables": 2, "of_chunks": "chunks", "of_texts": "texts"}
    retro("filter", "add", posts.root, "--source", "s1", "--reason", "test")
    find_neighbours(posts, "chunks", NeighbourSettings(4))
    assert status(posts).stages[-1].why == "made before the present generation: texts"
    assert not status(posts).work_waiting
    assert verify(posts).problems == []
    for name in ("texts", "chunks"):
        part = next((posts.neighbours / name).glob("*.parquet"))
        whole = part.read_bytes()
        part.write_bytes(whole[:-1])
        assert verify(posts).problems[0].startswith(f"{name}: {part.name}")
        part.write_bytes(whole)


def test_a_purge_leaves_a_table_of_texts_that_can_be_read(retro, posts, cutter):
    look_up(posts, cutter, "t", k=4)
    before = TextTable(posts, "t").tokens
    retro("filter", "add", posts.root, "--source", "s1", "--reason", "test")
    assert retro("compact", posts.root, "--purge", "--yes").code == 0
    with Database.open(posts.root) as db:
        own = db.retriever.own
    material = TextTable(posts, "t").material(own)
    assert np.array_equal(material.tokens, before)
    assert own[material.neighbours[material.neighbours >= 0]].all()
    assert prove(posts).leaks == []
    assert look_up(posts, cutter, "t", k=4).full == material.rows


def test_a_second_run_encodes_and_looks_up_nothing(posts, cutter, monkeypatch):
    first = look_up(posts, cutter, part_bytes=400)
    assert first.rows_done == first.rows > 0
    monkeypatch.setattr(text_neighbours, "document_encoder", None)
    again = look_up(posts, cutter, part_bytes=400)
    assert (again.rows, again.rows_done, again.full) == (first.rows, 0, first.full)


def test_only_parts_with_changed_texts_are_looked_up_again(posts, cutter, tmp_path):
    first = look_up(posts, cutter, part_bytes=400)
    write_jsonl(tmp_path / "held.jsonl", [*HELD[:-1], {"id": "new", "text": "the keeper"}])
    second = look_up(posts, cutter, part_bytes=400)
    assert 0 < second.rows_done < first.rows
    assert TextTable(posts, "t").names[-1] == "held.jsonl#new"
    assert look_up(posts, cutter, k=3, part_bytes=400).rows_done == second.rows


@given(st.lists(st.text(max_size=30)), st.integers(1, 60))
def test_groups_hold_every_document_once_and_in_order(texts, most):
    whole = [Text(str(number), text) for number, text in enumerate(texts)]
    groups = list(grouped(whole, most))
    assert [text for group in groups for text in group.texts] == whole
    assert [group.number for group in groups] == list(range(len(groups)))
    assert [int(group.texts[0].name) for group in groups] == [group.first for group in groups]
    assert all(group.bytes >= most for group in groups[:-1])


def test_texts_that_change_while_they_are_read_are_an_error(posts, cutter, monkeypatch):
    real = text_neighbours.read_texts
    turns = iter([HELD[:2], HELD[1:]])

    def changing(specs, *rest):
        kept = {record["text"] for record in next(turns)}
        return (text for text in real(specs, *rest) if text.text in kept)

    monkeypatch.setattr(text_neighbours, "read_texts", changing)
    with pytest.raises(UnreadableInput, match="changed"):
        look_up(posts, cutter)


def test_a_name_belongs_to_one_kind_of_table(posts, cutter):
    look_up(posts, cutter, "texts")
    find_neighbours(posts, "chunks", NeighbourSettings())
    with pytest.raises(UsageError, match="own chunks"):
        look_up(posts, cutter, "chunks")
    with pytest.raises(UsageError, match="outside the database"):
        find_neighbours(posts, "texts", NeighbourSettings())
    with pytest.raises(UsageError, match="outside the database"):
        NeighbourTable(posts, "texts", np.ones(1, bool))
    with pytest.raises(UsageError, match="own chunks"):
        TextTable(posts, "chunks")
    with pytest.raises(NotBuiltYet):
        TextTable(posts, "none")


def test_a_chunk_of_which_the_encoder_knows_nothing_has_no_neighbours(
    posts, cutter, monkeypatch, tmp_path
):
    class Deaf:
        def encode_documents(self, texts):
            vectors = np.zeros((len(texts), 24), np.float32)
            vectors[1:, 0] = 1.0
            return vectors

    monkeypatch.setattr(text_neighbours, "document_encoder", lambda retriever: Deaf())
    look_up(posts, cutter)
    table = TextTable(posts, "t")
    assert (table.neighbours[0] == -1).all()
    assert (table.scores[0] == -np.inf).all()
    assert (table.neighbours[1:] >= 0).all()


def test_a_database_without_chunks_to_show_is_an_error(retro, posts, cutter):
    retro("filter", "add", posts.root, "--source", "*", "--reason", "test", "--yes")
    with pytest.raises(NotBuiltYet, match="no chunk"):
        look_up(posts, cutter)


def test_a_model_says_how_its_texts_are_cut(bpe_path, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(bpe_path.read_bytes())
    assert reading_of(bpe_path)[1] == reading_of(folder)[1] == 64
    assert reading_of(folder, 7)[1] == 7
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "chunk_length": 5}))
    assert reading_of(folder)[1] == 64
    (folder / "config.json").write_text(json.dumps({"model_type": "retro", "chunk_length": 5}))
    tokenizer, length = reading_of(folder)
    assert (length, reading_of(folder, 5)[1]) == (5, 5)
    assert [len(w.ids) == len(w.counts) for w in tokenizer.windows("the ferrying")] == [True]
    with pytest.raises(UsageError, match="chunks of 5"):
        reading_of(folder, 6)


def test_the_command_says_what_is_wrong(retro, posts, bpe_path, tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "bare").mkdir()

    def run(*more, text="held.jsonl"):
        return retro("neighbours", posts.root, "--text", text, *more)

    model = ("--model", bpe_path)
    wrong = {
        "no such file": run(*model, text="none.jsonl"),
        "no text": run(*model, text="empty.txt"),
        "no tokenizer at": run("--model", tmp_path / "bare"),
        "-k": run(*model, "-k", 0),
        "for texts": retro("neighbours", posts.root, *model),
        "no name": run(*model, "--as", "../x"),
    }
    for said, done in wrong.items():
        assert done.code == 2, said
        assert said in done.err
    assert not posts.neighbours.exists()


@pytest.mark.parametrize(("more", "length"), [((), 16), (("--tokens", 8), 8)])
def test_without_a_model_texts_are_cut_as_the_database_is(
    retro, posts, static_encoder, more, length
):
    done = retro("neighbours", posts.root, "--text", "held.jsonl", *more, "--json")
    assert done.code == 0, done.err
    table = TextTable(posts, "texts")
    tokenizer = ChunkTokenizer(static_encoder)
    assert table.made.chunk_length == length
    rows = sum(-(-len(tokenizer.raw.encode(r["text"]).ids) // length) for r in HELD)
    assert done.rows[0]["rows"] == rows
    named = retro(
        "neighbours", posts.root, "--text", "held.jsonl", "--model", static_encoder,
        "--tokens", length, "--json",
    )  # fmt: skip
    assert named.rows[0]["rows_done"] == 0  # the same table


def test_the_command_looks_texts_up(retro, posts, bpe_path):
    command = ("neighbours", posts.root, "--text", "held.jsonl", "--model", bpe_path)
    done = retro(*command, "--tokens", 8, "-k", 3, "--json")
    assert done.rows[0]["name"] == "texts"
    assert done.rows[0]["full"] == done.rows[0]["rows"] == done.rows[0]["rows_done"]
    again = retro(*command, "--tokens", 8, "-k", 3)
    assert "(0 looked up now)" in again.err
    table = TextTable(posts, "texts")
    assert table.made.inputs == ("held.jsonl",)
    assert (table.made.chunk_length, table.made.documents) == (8, len(HELD))
    assert set(tables.table_names(posts)) == {"texts"}


def test_no_text_at_all_is_an_error_before_anything_is_written(posts, cutter, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(InputNotFound):
        look_up(posts, cutter, "t", "empty.txt")
    assert not posts.neighbours.exists()


def test_the_lock_is_taken(posts, cutter):
    texts = TextsToRead(("held.jsonl",), cutter, TOKENS)
    report = pipeline.neighbours(posts, "t", NeighbourSettings(), texts=texts)
    assert report.rows == len(TextTable(posts, "t").tokens)
