"""autofaiss over a folder of vectors by sentence-transformers, a file for each source.

It has neither updates nor deletions: the index is built again from the vectors that there are.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
from adapter import Adapter, K, Record, Searcher, embed, load_model, main, read, write

VECTORS, CHUNKS, INDEX = "vectors", "chunks", "knn.index"


def build(store: Path, model: str, records: list[Record]) -> None:
    for folder in (VECTORS, CHUNKS):
        (store / folder).mkdir(exist_ok=True)
    encoder = None
    for source, group in groupby(records, lambda record: record["source"]):
        target, rows = store / VECTORS / f"{source}.npy", list(group)
        if target.exists():
            continue
        encoder = encoder or load_model(model)
        write(store / CHUNKS / f"{source}.jsonl", rows)
        partial = target.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, embed(encoder, [row["text"] for row in rows]))
        partial.rename(target)
    _index(store)  # nothing tells whether the index that is there is of these vectors


def delete(store: Path, source: str) -> None:
    (store / VECTORS / f"{source}.npy").unlink()
    (store / CHUNKS / f"{source}.jsonl").unlink()
    _index(store)


def _index(store: Path) -> None:
    from autofaiss import build_index

    build_index(
        embeddings=str(store / VECTORS),
        index_path=str(store / INDEX),
        index_infos_path=str(store / "infos.json"),
        metric_type="ip",
        current_memory_available="8G",
        max_index_memory_usage="4G",
    )


def open_store(store: Path, model: str) -> Searcher:
    import faiss

    index, encoder = faiss.read_index(str(store / INDEX)), load_model(model)
    # The rows of an index are in the order of the files' names.
    files = sorted((store / CHUNKS).glob("*.jsonl"))
    ids = [record["id"] for file in files for record in read(file)]

    def search(text: str) -> list[str]:
        _, rows = index.search(embed(encoder, [text]), K)
        return [ids[row] for row in rows[0] if row >= 0]

    return search


if __name__ == "__main__":
    main(Adapter(build, build, open_store, delete))
