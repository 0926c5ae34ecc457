"""A plain script of sentence-transformers and Faiss: it keeps no account of what it has done."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
from adapter import Adapter, K, Record, Searcher, embed, load_model, main, read, write

INDEX, CHUNKS = "index.faiss", "chunks.jsonl"


def build(store: Path, model: str, records: list[Record]) -> None:
    vectors = embed(load_model(model), [record["text"] for record in records])
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    _save(store, index, records)


def add(store: Path, model: str, records: list[Record]) -> None:
    index = faiss.read_index(str(store / INDEX))
    index.add(embed(load_model(model), [record["text"] for record in records]))
    _save(store, index, [*read(store / CHUNKS), *records])


def delete(store: Path, source: str) -> None:
    index, records = faiss.read_index(str(store / INDEX)), read(store / CHUNKS)
    gone = [row for row, record in enumerate(records) if record["source"] == source]
    index.remove_ids(faiss.IDSelectorBatch(np.array(gone, dtype=np.int64)))
    _save(store, index, [record for record in records if record["source"] != source])


def open_store(store: Path, model: str) -> Searcher:
    encoder, records = load_model(model), read(store / CHUNKS)
    index = faiss.read_index(str(store / INDEX))

    def search(text: str) -> list[str]:
        _, rows = index.search(embed(encoder, [text]), K)
        return [records[row]["id"] for row in rows[0]]

    return search


def _save(store: Path, index: faiss.Index, records: list[Record]) -> None:
    faiss.write_index(index, str(store / INDEX))
    write(store / CHUNKS, records)


if __name__ == "__main__":
    main(Adapter(build, add, open_store, delete))
