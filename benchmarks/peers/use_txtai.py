"""txtai with its content store. A checkpoint, which it offers, keeps vectors over a kill."""

from __future__ import annotations

import shutil
from pathlib import Path

from adapter import Adapter, K, Record, Searcher, main
from txtai import Embeddings

INDEX, CHECKPOINT = "index", "checkpoint"


def build(store: Path, model: str, records: list[Record]) -> None:
    """What an index holds already is not embedded again; texts that changed are not noticed."""
    index = store / INDEX
    if index.exists():
        embeddings = _open(store)
        known = {row["id"] for row in embeddings.search("select id from txtai", 10**6)}
        records = [record for record in records if record["id"] not in known]
        if records:
            embeddings.upsert(_rows(records))
            embeddings.save(str(index))
        return
    embeddings = Embeddings(path=model, content=True, gpu=False)
    embeddings.index(_rows(records), checkpoint=str(store / CHECKPOINT))
    embeddings.save(str(index))
    shutil.rmtree(store / CHECKPOINT, ignore_errors=True)


def add(store: Path, model: str, records: list[Record]) -> None:
    embeddings = _open(store)
    embeddings.upsert(_rows(records))
    embeddings.save(str(store / INDEX))


def delete(store: Path, source: str) -> None:
    embeddings = _open(store)
    wanted = "select id from txtai where source = :source"
    found = embeddings.search(wanted, 10**6, parameters={"source": source})
    embeddings.delete([row["id"] for row in found])
    embeddings.save(str(store / INDEX))


def open_store(store: Path, model: str) -> Searcher:
    embeddings = _open(store)

    def search(text: str) -> list[str]:
        return [row["id"] for row in embeddings.search(text, K)]

    return search


def _open(store: Path) -> Embeddings:
    embeddings = Embeddings()
    embeddings.load(str(store / INDEX))
    return embeddings


def _rows(records: list[Record]) -> list[tuple[str, dict[str, str], None]]:
    return [
        (record["id"], {"text": record["text"], "source": record["source"]}, None)
        for record in records
    ]


if __name__ == "__main__":
    main(Adapter(build, add, open_store, delete))
