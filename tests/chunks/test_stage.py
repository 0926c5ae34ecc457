"""The chunk stage as a whole: what a first run writes, and what later runs leave alone."""

from __future__ import annotations

import gzip
import json

import pyarrow.parquet as pq
import pytest
from helpers import write_jsonl

from retro_cli.chunks import piles
from retro_cli.chunks.dedup import find_duplicates
from retro_cli.chunks.manifest import load_manifest
from retro_cli.chunks.rows import ChunkRows
from retro_cli.chunks.stage import ChunkJob, chunk
from retro_cli.config import Settings
from retro_cli.corpus import list_inputs
from retro_cli.engine import Where
from retro_cli.errors import UnreadableInput, UsageError


class Corpus:
    """A folder of documents and a database folder, chunked on demand."""

    def __init__(self, root, tokenizer):
        self.root = root / "corpus"
        self.root.mkdir()
        self.folder = root / "db" / "chunks"
        self.tokenizer = tokenizer

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def chunk(self, *specs, prune=False, workers=1, part_bytes=1 << 20, **settings):
        specs = [str(spec) for spec in specs] or [str(self.root)]
        job = ChunkJob(
            folder=self.folder,
            settings=Settings(**{"tokens": 8, **settings}),
            tokenizer=self.tokenizer,
            specs=specs,
            inputs=list_inputs(specs),
            where=Where("", "", workers),
            prune=prune,
            part_bytes=part_bytes,
        )
        return chunk(job)

    def manifest(self):
        return load_manifest(self.folder)

    def live_texts(self):
        """document -> text, of what is alive, put together from its chunks."""
        manifest = self.manifest()
        rows = ChunkRows(self.folder, manifest.parts)
        found = {}
        for part in manifest.parts:
            dead = {r for first, n in part.dead_rows for r in range(first, first + n)}
            for row in range(part.rows):
                if row not in dead:
                    (got,) = rows.get([part.base + row])
                    found[got.document] = found.get(got.document, "") + got.text
        rows.close()
        return {name.removeprefix(f"{self.root}/"): text for name, text in found.items()}


@pytest.fixture
def corpus(tmp_path, wordpiece_path):
    return Corpus(tmp_path, wordpiece_path)


def records(count, **changed):
    return [
        {"id": f"r{n}", "text": changed.get(f"r{n}", f"the ferry number {n} left the harbour")}
        for n in range(count)
    ]


def test_chunks_of_every_document_join_to_its_text(corpus):
    corpus.write("a.txt", "the ferry left the harbour in a storm. the keeper saw it go, twice.\n")
    corpus.write("sub/b.md", "# Light\n\nthe light of the island\n")
    report = corpus.chunk()
    assert (report.docs_written, report.files_new) == (2, 2)
    assert corpus.live_texts() == {
        "a.txt": (corpus.root / "a.txt").read_text(),
        "sub/b.md": (corpus.root / "sub/b.md").read_text(),
    }


def test_the_continuation_is_the_next_row_and_ends_with_the_document(corpus):
    corpus.write("a.txt", "the ferry left the harbour in a storm and a light was seen")
    corpus.write("b.txt", "the keeper")
    corpus.chunk()
    rows = ChunkRows(corpus.folder, corpus.manifest().parts)
    chunks = rows.get(range(corpus.manifest().next_id))
    for chunk_row, following in zip(chunks, [*chunks[1:], None], strict=True):
        same = following is not None and following.document == chunk_row.document
        assert chunk_row.has_next == same
        assert not same or following.start == chunk_row.end


def test_running_again_writes_nothing(corpus):
    corpus.write("a.txt", "the ferry")
    write_jsonl(corpus.root / "r.jsonl", records(20))
    corpus.chunk()
    before = {p.name: p.stat().st_mtime_ns for p in corpus.folder.iterdir()}
    report = corpus.chunk()
    assert not report.changed
    assert report.files_unchanged == 2
    assert {p.name: p.stat().st_mtime_ns for p in corpus.folder.iterdir()} == before


def test_only_the_changed_record_of_a_big_file_is_chunked_again(corpus):
    path = write_jsonl(corpus.root / "r.jsonl", records(200))
    corpus.chunk(part_bytes=1000)
    parts = [part.name for part in corpus.manifest().parts]
    write_jsonl(path, records(200, r57="the keeper was replaced"))
    report = corpus.chunk(part_bytes=1000)
    assert (report.docs_written, report.docs_replaced) == (1, 1)
    assert [part.name for part in corpus.manifest().parts][: len(parts)] == parts
    texts = corpus.live_texts()
    assert len(texts) == 200
    assert texts["r57"] == "the keeper was replaced"


def test_a_record_put_in_front_moves_nothing(corpus):
    path = write_jsonl(corpus.root / "r.jsonl", records(50))
    corpus.chunk()
    write_jsonl(path, [{"id": "new", "text": "a new boat"}, *records(50)])
    report = corpus.chunk()
    assert (report.docs_written, report.docs_replaced, report.docs_vanished) == (1, 0, 0)


def test_an_edited_text_file_replaces_its_document(corpus):
    path = corpus.write("a.txt", "the old light")
    corpus.write("b.txt", "the boat")
    corpus.chunk()
    path.write_text("the new light")
    report = corpus.chunk()
    assert (report.docs_written, report.docs_replaced) == (1, 1)
    assert corpus.live_texts() == {"a.txt": "the new light", "b.txt": "the boat"}


def test_what_is_gone_stays_until_it_is_pruned(corpus):
    corpus.write("a.txt", "the ferry")
    path = write_jsonl(corpus.root / "r.jsonl", records(3))
    corpus.write("b.txt", "the boat").unlink()
    corpus.chunk()
    (corpus.root / "a.txt").unlink()
    write_jsonl(path, records(2))
    kept = corpus.chunk()
    assert (kept.files_missing, kept.docs_vanished, kept.docs_removed) == (1, 1, 0)
    assert set(corpus.live_texts()) == {"a.txt", "r0", "r1", "r2"}
    pruned = corpus.chunk(prune=True)
    assert pruned.docs_removed == 2
    assert set(corpus.live_texts()) == {"r0", "r1"}


def test_pruning_stays_inside_the_named_folder(corpus):
    corpus.write("one/a.txt", "the ferry")
    corpus.write("two/b.txt", "the boat")
    corpus.chunk(corpus.root / "one", corpus.root / "two")
    report = corpus.chunk(corpus.root / "two", prune=True)
    assert report.docs_removed == 0
    assert set(corpus.live_texts()) == {"one/a.txt", "two/b.txt"}


def test_a_damaged_file_does_not_take_yesterdays_records_with_it(corpus):
    path = corpus.root / "r.jsonl.gz"
    data = "".join(json.dumps(r) + "\n" for r in records(400)).encode()
    path.write_bytes(gzip.compress(data, mtime=0))
    corpus.chunk()
    path.write_bytes(gzip.compress(data, mtime=0)[:900])
    report = corpus.chunk(prune=True)
    assert report.rejected == 1
    assert report.docs_removed == 0
    assert len(corpus.live_texts()) == 400


def test_bad_records_are_set_aside_with_their_line_and_the_rest_is_kept(corpus):
    lines = [json.dumps(r) for r in records(30)]
    lines[17] = '{"id": "broken", "text": '
    (corpus.root / "r.jsonl").write_text("\n".join(lines) + "\n")
    report = corpus.chunk(part_bytes=300)
    assert (report.docs_written, report.rejected) == (29, 1)
    (entry,) = map(json.loads, (corpus.folder / "quarantine.jsonl").read_text().splitlines())
    assert entry["where"] == "line 18"
    assert corpus.chunk(part_bytes=300).rejected == 0
    assert corpus.manifest().rejected == 1


def test_a_mended_record_leaves_the_quarantine(corpus):
    path = corpus.root / "r.jsonl"
    path.write_text('{"id": "a", "text": "the boat"}\n{"id": "b"')
    corpus.chunk()
    write_jsonl(path, [{"id": "a", "text": "the boat"}, {"id": "b", "text": "the light"}])
    report = corpus.chunk()
    assert (report.docs_written, report.rejected) == (1, 0)
    assert not (corpus.folder / "quarantine.jsonl").exists()


def test_nothing_readable_at_all_is_an_error_and_commits_nothing(corpus):
    (corpus.root / "r.jsonl").write_text("{nonsense\n")
    with pytest.raises(UnreadableInput, match="line 1"):
        corpus.chunk()
    assert corpus.manifest() is None


def test_the_result_does_not_depend_on_the_number_of_workers(corpus, tmp_path, wordpiece_path):
    for n in range(12):
        corpus.write(f"{n:02d}.txt", f"the ferry number {n} left the harbour " * (n + 1))
    corpus.chunk(part_bytes=400)
    other = Corpus.__new__(Corpus)
    other.root, other.tokenizer = corpus.root, wordpiece_path
    other.folder = tmp_path / "other" / "chunks"
    other.chunk(part_bytes=400, workers=2)
    names = {p.name: p.read_bytes() for p in corpus.folder.iterdir() if p.name[0] != "."}
    assert names == {p.name: p.read_bytes() for p in other.folder.iterdir() if p.name[0] != "."}


def test_other_settings_cut_everything_again_under_new_ids(corpus):
    corpus.write("a.txt", "the ferry left the harbour in a storm")
    corpus.chunk()
    before = corpus.manifest()
    corpus.chunk(tokens=4)
    after = corpus.manifest()
    assert after.parts[0].base == before.next_id
    assert after.live_docs == 1


def test_other_settings_may_not_silently_drop_documents(corpus):
    corpus.write("a.txt", "the ferry")
    corpus.write("b.txt", "the boat")
    corpus.chunk()
    with pytest.raises(UsageError, match=r"1 input files are not named.*b\.txt"):
        corpus.chunk(corpus.root / "a.txt", tokens=4)
    assert corpus.manifest().live_docs == 2


def test_a_damaged_part_is_noticed_and_its_documents_are_chunked_again(corpus):
    corpus.write("a.txt", "the ferry")
    corpus.write("b.txt", "the boat " * 200)
    corpus.chunk(part_bytes=500)
    first = corpus.manifest().parts[0]
    (corpus.folder / first.chunks_file).write_bytes(b"rubbish")
    report = corpus.chunk(part_bytes=500)
    assert report.docs_written == 1
    assert any("damaged" in n or "bytes instead" in n for n in report.notes)
    assert set(corpus.live_texts()) == {"a.txt", "b.txt"}


def test_duplicates_are_merged_and_the_first_stands_for_all(corpus):
    corpus.write("a.txt", "the ferry left the harbour")
    corpus.write("b.txt", "the ferry left the harbour")
    corpus.write("c.txt", "the boat")
    report = corpus.chunk()
    assert (report.duplicate_docs, report.merged) == (1, True)
    table = pq.read_table(corpus.folder / corpus.manifest().aliases.name).to_pydict()
    assert table == {"member": [1], "canonical": [0]}


@pytest.mark.parametrize(("level", "merged"), [("none", 0), ("document", 0), ("chunk", 1)])
def test_chunk_level_merging_finds_equal_chunks_in_different_documents(corpus, level, merged):
    shared = "the ferry the boat the light the storm "
    corpus.write("a.txt", shared + "keeper island")
    corpus.write("b.txt", shared + "harbour boat")
    corpus.chunk(dedup=level)
    record = corpus.manifest().aliases
    found = pq.read_table(corpus.folder / record.name).num_rows if record else 0
    assert found == merged


def test_a_record_without_an_id_is_named_by_its_content_wherever_it_stands(corpus):
    path = write_jsonl(corpus.root / "r.jsonl", [{"text": "the boat"}, {"text": "the light"}])
    corpus.chunk()
    names = set(corpus.live_texts())
    write_jsonl(path, [{"text": "a new storm"}, {"text": "the boat"}, {"text": "the light"}])
    report = corpus.chunk()
    assert report.docs_written == 1
    assert names < set(corpus.live_texts())


def test_another_field_or_title_choice_reads_everything_again(corpus):
    write_jsonl(corpus.root / "r.jsonl", [{"id": "a", "text": "the boat", "body": "the light"}])
    corpus.chunk()
    corpus.chunk(text_field="body")
    assert corpus.live_texts() == {"a": "the light"}


def test_a_file_that_may_not_be_read_is_set_aside_and_tried_again(corpus, monkeypatch):
    corpus.write("a.txt", "the ferry")
    path = corpus.write("b.txt", "the boat")
    path.unlink()
    path.symlink_to("nowhere")
    assert corpus.chunk().rejected == 1
    path.unlink()
    path.write_text("the boat")
    assert corpus.chunk().docs_written == 1
    assert set(corpus.live_texts()) == {"a.txt", "b.txt"}


def test_parts_written_with_another_row_group_size_still_read(corpus, monkeypatch):
    write_jsonl(corpus.root / "r.jsonl", records(40))
    monkeypatch.setattr("retro_cli.chunks.part.ROW_GROUP", 7)
    corpus.chunk()
    assert len(corpus.live_texts()) == 40
    (part,) = corpus.manifest().parts
    rows = ChunkRows(corpus.folder, [part])
    last = part.base + part.rows - 1
    assert rows.document(last)["document"] == rows.get([last])[0].document


@pytest.mark.parametrize("level", ["none", "document", "chunk"])
def test_duplicates_are_the_same_however_many_piles_they_are_dealt_into(corpus, monkeypatch, level):
    for number in range(12):
        corpus.write(f"{number}.txt", "the ferry left the harbour. " * (1 + number % 4))
    corpus.chunk()
    parts = corpus.manifest().parts
    once = find_duplicates(corpus.folder, parts, level)
    monkeypatch.setattr(piles, "ROWS_A_PILE", 3)
    again = find_duplicates(corpus.folder, parts, level)
    assert (once.docs, once.rows) == (again.docs, again.rows)
    assert once.docs == 8
    assert dict(zip(once.aliases.member, once.aliases.canonical, strict=True)) == dict(
        zip(again.aliases.member, again.aliases.canonical, strict=True)
    )
