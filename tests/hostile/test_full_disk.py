"""No space left in the midst of a file: said as that, and what was there before still answers."""

from __future__ import annotations

import collections
import gc
import io
import json
import os
from pathlib import Path

import faiss
import numpy as np
import pytest
from helpers import write_jsonl

from retro_cli.chunks import part
from retro_cli.chunks import stage as chunk_stage
from retro_cli.chunks.splitter import Cut
from retro_cli.corpus import Document
from retro_cli.embeddings import stage as embed_stage
from retro_cli.embeddings.work import write_vectors
from retro_cli.errors import EXIT_OK, EXIT_QUARANTINED, DiskFull
from retro_cli.filters import scores as score_stage
from retro_cli.filters.score_table import write_scores
from retro_cli.index import stage as index_stage
from retro_cli.index import work as index_work
from retro_cli.index.segments import write_index
from retro_cli.store.atomic import disk_errors

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is full")


@pytest.fixture
def crowded(db, monkeypatch, tmp_path) -> Path:
    """A database whose stages leave temporary files of an earlier run where they are, and whose
    unfinished segments have names that are known before."""
    monkeypatch.setattr(
        index_work, "unfinished", lambda path: path.with_name(path.name.split("-")[0] + ".tmp")
    )
    for stage in (chunk_stage, embed_stage, score_stage, index_stage):
        monkeypatch.setattr(stage, "sweep_temporaries", lambda folder: None)
    (tmp_path / "words.txt").write_text("letter\n")
    return db


def fill(*places: Path) -> None:
    """What is written there meets a full disk."""
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(FULL)


def parts(db: Path) -> list[str]:
    return [part["name"] for part in json.loads((db / "chunks/manifest.json").read_text())["parts"]]


def answers(retro, db: Path) -> list[dict]:
    return retro("query", db, "the boat", "-k", 99, "--json").rows[0]["hits"]


def say_more(archive: Path) -> None:
    write_jsonl(archive / "more.jsonl", [{"id": "new", "text": "the island in storm and light"}])


def is_refused_and_repeated(retro, db: Path, *command: object, code: int = EXIT_OK) -> None:
    """The full disk is said, the answers are those of before, and a second run goes through."""
    before = answers(retro, db)
    refused = retro(*command)
    assert refused.code == DiskFull.exit_code == 1
    assert "no space left while writing" in refused.err
    assert "free some space and run the same command again" in refused.err
    assert "defect" not in refused.err
    assert answers(retro, db) == before
    again = retro(*command)  # what filled the disk is gone
    assert again.code == code, again.err
    assert retro("verify", db).code == 0


def test_compact(retro, crowded):
    assert retro("filter", "add", crowded, "--source", "letters", "--reason", "x").code == 0
    fill(crowded / "index/segment.tmp")
    is_refused_and_repeated(retro, crowded, "compact", crowded, "--max-dead", 0)


def test_filter_score(retro, crowded):
    fill(*(crowded / f"attributes/words/{part}.staging.tmp" for part in parts(crowded)))
    is_refused_and_repeated(
        retro, crowded, "filter", "score", crowded, "--scorer", "words:words.txt", "--as", "words"
    )


@pytest.mark.parametrize("kind", ["chunks.tmp", "docs.tmp", "rejected.jsonl.tmp"])
def test_chunk(retro, crowded, archive, kind):
    say_more(archive)
    with (archive / "more.jsonl").open("a") as file:
        file.write("{broken\n" * 40)
    stem = f"part-{len(parts(crowded)):05d}"
    fill(crowded / "chunks" / (f"{stem}.{kind}" if "rejected" in kind else f"{stem}.000.{kind}"))
    command = ("chunk", archive, "--db", crowded)
    is_refused_and_repeated(retro, crowded, *command, code=EXIT_QUARANTINED)
    assert not list((crowded / "chunks").glob("*.tmp"))


def test_embed(retro, crowded, archive):
    say_more(archive)
    assert retro("chunk", archive, "--db", crowded).code == 0
    fill(crowded / f"embeddings/{parts(crowded)[-1]}.staging.tmp")
    is_refused_and_repeated(retro, crowded, "embed", crowded)


@pytest.mark.parametrize(("file", "how"), [("segment", []), ("template", ["--retrain"])])
def test_index(retro, crowded, archive, file, how):
    say_more(archive)
    assert retro("chunk", archive, "--db", crowded).code == 0
    assert retro("embed", crowded).code == 0
    fill(crowded / f"index/{file}.tmp")
    is_refused_and_repeated(retro, crowded, "index", crowded, *how)


def test_export(retro, crowded, tmp_path):
    fill(tmp_path / "out.npy.tmp")
    is_refused_and_repeated(retro, crowded, "export", crowded, tmp_path / "out.npy")


class SmallDisk(io.RawIOBase):
    """A file that takes 1000 bytes, and then one byte less than it is given, or nothing."""

    def __init__(self) -> None:
        self.left = 1000

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        taken = min(self.left, memoryview(data).nbytes)  # type: ignore[arg-type]
        self.left -= taken
        if not taken:
            raise OSError(28, os.strerror(28))
        return taken


@pytest.mark.parametrize("kind", ["chunks", "docs"])
def test_a_part_that_does_not_fit_leaves_nothing_and_says_so_once(
    monkeypatch, tmp_path, capfd, kind
):
    """Row groups are written on the way: the error comes while other rows are waiting."""
    opened = part.pq.ParquetWriter

    def small(path: Path, *args: object, **options: object) -> object:
        path.touch()
        sink = io.BufferedWriter(SmallDisk(), 256) if kind in path.name else str(path)
        return opened(sink, *args, **options)

    monkeypatch.setattr(part, "ROW_GROUP", 2)
    monkeypatch.setattr(part.pq, "ParquetWriter", small)
    cuts = [Cut(np.arange(3, dtype="<u2"), n, n + 9) for n in range(0, 81, 9)]
    writer = part.PartWriter(tmp_path, "part")
    documents = [Document("a.txt", f"a{number}", "the boat " * 9) for number in range(9)]
    with pytest.raises(DiskFull, match="no space left while writing"):
        collections.deque((writer.add(each, cuts) for each in documents), maxlen=0)
    writer.abandon()
    del writer
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def index() -> faiss.Index:
    made = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(24), 24, 4, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    rows = np.random.default_rng(1).standard_normal((400, 24)).astype(np.float32)
    made.train(rows)
    made.add(rows)
    return made


def test_a_disk_that_fills_up_part_way_is_said_to_be_full(index, monkeypatch, tmp_path):
    def small(path: Path, mode: str) -> io.BufferedWriter:
        return io.BufferedWriter(SmallDisk(), 256)

    monkeypatch.setattr(Path, "open", small)
    with pytest.raises(DiskFull), disk_errors(tmp_path):
        write_index(index, tmp_path / "i")
    blocks = (np.ones((100, 24), np.float32) for _ in range(3))
    with pytest.raises(DiskFull):
        write_vectors(tmp_path / "v", 300, 24, blocks)


def test_the_bytes_are_those_that_faiss_and_numpy_write(index, tmp_path):
    write_index(index, tmp_path / "ours")
    faiss.write_index(index, str(tmp_path / "theirs"))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    scores = np.random.default_rng(2).random(500, np.float32)
    scores[::7] = np.nan
    record = write_scores(tmp_path, "part", scores)
    assert (tmp_path / record.name).read_bytes() == scores.tobytes()
    rows = np.random.default_rng(3).standard_normal((24, 500)).astype(np.float32)
    record = write_vectors(tmp_path / "part", 500, 24, iter([rows.T[:300], rows.T[300:]]))
    np.save(tmp_path / "theirs.npy", rows.T.astype("<f2", order="C"))
    assert (tmp_path / record.name).read_bytes() == (tmp_path / "theirs.npy").read_bytes()
