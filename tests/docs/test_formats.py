"""docs/formats.md is enough to read a database by: a reader made from it answers as retro does.

Nothing of retro is imported here. The commands run through the fixture.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from functools import cache
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import write_jsonl

DIM = 24  # of the fixture's encoder


class Reader:
    """An open generation, by the sections of the page."""

    def __init__(self, root: Path) -> None:
        self.root, index = root, root / "index"
        name = (index / "CURRENT").read_text(encoding="ascii").strip()
        assert name.startswith("gen-")
        assert "/" not in name
        self.generation = json.loads((index / name).read_bytes())
        assert self.generation["format"] == 1
        self.chunks = json.loads(self.file(index, self.generation["chunks"]).read_bytes())
        self.parts = [part for part in self.chunks["parts"] if part["rows"]]
        self.bases = [part["base"] for part in self.parts]
        self.members = self.read_aliases()
        self.shown = self.read_shown()
        self.dead = self.bits(self.generation["dead"])

    def file(self, folder: Path, record: dict) -> Path:
        path = folder / record["name"]
        assert path.stat().st_size == record["bytes"]
        return path

    def bits(self, record: dict) -> np.ndarray:
        """(next_id,) bool."""
        packed = np.fromfile(self.file(self.root / "index", record), np.uint8)
        bits = np.unpackbits(packed, bitorder="little")[: self.chunks["next_id"]]
        return np.pad(bits, (0, self.chunks["next_id"] - len(bits))).astype(bool)

    def read_shown(self) -> np.ndarray:
        shown = np.zeros(self.chunks["next_id"], bool)
        for part in self.chunks["parts"]:
            shown[part["base"] : part["base"] + part["rows"]] = True
            for first, count in part["dead_rows"]:
                shown[part["base"] + first :][:count] = False
        out = self.generation["filtered"]["rows"]
        return shown & ~self.bits(out) if out else shown

    def read_aliases(self) -> dict[int, list[int]]:
        members: dict[int, list[int]] = {}
        if record := self.chunks["aliases"]:
            table = pq.read_table(self.file(self.root / "chunks", record)).to_pydict()
            for member, canonical in zip(table["member"], table["canonical"], strict=True):
                members.setdefault(canonical, []).append(member)
        return members

    def place(self, chunk: int) -> tuple[dict, int]:
        part = self.parts[bisect_right(self.bases, chunk) - 1]
        return part, chunk - part["base"]

    def vector(self, chunk: int) -> np.ndarray:
        part, row = self.place(chunk)
        rows = self.array(self.generation["vectors"][part["name"]])
        assert (rows.dtype, rows.shape) == (np.dtype("<f2"), (part["rows"], DIM))
        return rows[row].astype(np.float32)

    @cache  # noqa: B019
    def array(self, name: str) -> np.ndarray:
        return np.load(self.root / "embeddings" / name, mmap_mode="r")

    @cache  # noqa: B019
    def table(self, name: str) -> list[dict]:
        return pq.read_table(self.root / "chunks" / name).to_pylist()

    def row(self, chunk: int) -> dict:
        part, row = self.place(chunk)
        return self.table(self.file(self.root / "chunks", part["files"][0]).name)[row]

    def by_segments(self, query: np.ndarray, width: int) -> set[int]:
        found = set()
        bitmap = np.packbits(self.dead, bitorder="little")
        dead = faiss.IDSelectorBitmap(bitmap)
        for segment in self.generation["segments"]:
            index = faiss.read_index(str(self.file(self.root / "index", segment["file"])))
            settings = faiss.SearchParametersIVF(
                sel=faiss.IDSelectorNot(dead), nprobe=self.generation["nprobe"]
            )
            found |= set(index.search(query[None], width, params=settings)[1][0].tolist())
        return found - {-1}

    def by_scanning(self) -> set[int]:
        return set(np.flatnonzero(self.bits(self.generation["indexed"]) & ~self.dead).tolist())

    def answer(self, query: np.ndarray, k: int, found: set[int]) -> list[tuple]:
        scored = sorted((-float(self.vector(chunk) @ query), chunk) for chunk in found)
        hits = []
        for score, chunk in scored:
            rows = [row for row in [chunk, *self.members.get(chunk, [])] if self.shown[row]]
            if not rows:
                continue
            own, following = self.row(rows[0]), rows[0] + 1
            goes_on = own["has_next"] and self.shown[following]
            also = [self.row(row)["document"] for row in rows[1:]]
            continuation = self.row(following)["text"] if goes_on else ""
            hits.append((rows[0], -score, own["document"], own["text"], continuation, also))
        return hits[:k]


@pytest.fixture
def lived(retro, db, archive):
    """A database with documents replaced, equal texts, rows kept out, and several parts."""
    (archive / "light.txt").write_text("the keeper of the light left the island. " * 9)
    (archive / "copy.md").write_bytes((archive / "notes" / "3.md").read_bytes())
    write_jsonl(archive / "more.jsonl", [{"id": f"m{n}", "text": f"boat {n}"} for n in range(9)])
    assert retro("build", archive, "--db", db).code == 0
    assert retro("filter", "add", db, "--source", "forum", "--reason", "x").code == 0
    return db


def test_a_reader_made_from_the_page_answers_as_retro_does(retro, lived, tmp_path):
    reader = Reader(lived)
    assert len(reader.parts) > 1
    assert reader.members
    assert reader.dead.any()
    rng = np.random.default_rng(5)
    live = np.array(sorted(reader.by_scanning()))
    queries = np.array([reader.vector(chunk) for chunk in rng.choice(live, 12)])
    queries = queries + 0.4 * rng.standard_normal(queries.shape)
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    np.save(tmp_path / "q.npy", queries)
    asked = retro("query", lived, "--vectors", tmp_path / "q.npy", "-k", 6, "--json")
    for query, answer in zip(queries, asked.rows, strict=True):
        said = [
            (h["chunk"], h["score"], h["document"], h["text"], h["continuation"],
             [other["document"] for other in h["also"]])
            for h in answer["hits"]
        ]  # fmt: skip
        width = max(reader.generation["candidates"], 6)
        for found in (reader.by_segments(query, width), reader.by_scanning()):
            mine = reader.answer(query, 6, found)
            assert [hit[0] for hit in mine] == [hit[0] for hit in said]
            assert [hit[2:] for hit in mine] == [hit[2:] for hit in said]
            assert np.allclose([hit[1] for hit in mine], [hit[1] for hit in said], atol=1e-5)


def test_the_texts_of_a_document_joined_are_the_document(lived, archive):
    reader, seen = Reader(lived), 0
    for part in reader.parts:
        chunks, docs = (pq.read_table(lived / "chunks" / f["name"]) for f in part["files"])
        texts, tokens = chunks["text"].to_pylist(), chunks["tokens"].to_pylist()
        assert all(len(ids) % reader.chunks["token_bytes"] == 0 for ids in tokens)
        for doc in docs.to_pylist():
            rows = slice(doc["first"], doc["first"] + doc["chunks"])
            whole = "".join(texts[rows])
            assert len(whole) == doc["characters"]
            spans = chunks.slice(doc["first"], doc["chunks"])
            assert spans["position"].to_pylist() == list(range(doc["chunks"]))
            starts, ends = spans["start"].to_pylist(), spans["end"].to_pylist()
            assert [whole[a:b] for a, b in zip(starts, ends, strict=True)] == texts[rows]
            path = Path(doc["uri"])
            if path.suffix == ".md" and path.exists():
                assert whole == path.read_text(encoding="utf-8")
                seen += 1
    assert seen


def test_every_field_of_the_manifests_has_its_line_on_the_page(lived):
    page = (Path(__file__).parent.parent.parent / "docs/formats.md").read_text(encoding="utf-8")
    reader = Reader(lived)
    embeddings = json.loads((lived / "embeddings/manifest.json").read_bytes())
    ledger = json.loads((lived / "filters/ledger.json").read_bytes())
    lexical = json.loads(next(lived.glob("lexical/*/manifest.json")).read_bytes())
    some = [
        reader.generation, reader.generation["filtered"], reader.generation["segments"][0],
        reader.chunks, reader.parts[0], embeddings, embeddings["encoder"], embeddings["parts"][0],
        ledger, ledger["rules"][0], lexical,
    ]  # fmt: skip
    for names in some:
        for name in names:
            assert f"`{name}`" in page or f'"{name}"' in page, name
    for part in reader.parts[:1]:
        for record in part["files"]:
            for name in pq.read_schema(lived / "chunks" / record["name"]).names:
                assert f"`{name}`" in page, name
