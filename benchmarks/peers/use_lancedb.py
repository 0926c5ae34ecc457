"""lancedb, with vectors by sentence-transformers. Of so few rows its search is exact."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
from adapter import Adapter, K, Record, Searcher, batches, embed, load_model, main

TABLE = "chunks"


def build(store: Path, model: str, records: list[Record]) -> None:
    """What a table holds already is not embedded again; texts that changed are not noticed."""
    database = lancedb.connect(store)
    known: set[str] = set()
    if TABLE in database.table_names():
        found = database.open_table(TABLE).search().select(["id"]).limit(None).to_arrow()
        known = set(found["id"].to_pylist())
    _add(database, model, [record for record in records if record["id"] not in known])


def add(store: Path, model: str, records: list[Record]) -> None:
    _add(lancedb.connect(store), model, records)


def delete(store: Path, source: str) -> None:
    lancedb.connect(store).open_table(TABLE).delete(f"source = '{source}'")


def clean(store: Path) -> None:
    """Older versions are kept for a week otherwise."""
    table = lancedb.connect(store).open_table(TABLE)
    table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)


def open_store(store: Path, model: str) -> Searcher:
    table, encoder = lancedb.connect(store).open_table(TABLE), load_model(model)

    def search(text: str) -> list[str]:
        query = table.search(embed(encoder, [text])[0]).distance_type("cosine").limit(K)
        return [row["id"] for row in query.select(["id", "text", "_distance"]).to_list()]

    return search


def _add(database: Any, model: str, records: list[Record]) -> None:
    encoder = load_model(model) if records else None
    for batch in batches(records):
        vectors = embed(encoder, [record["text"] for record in batch])
        rows = [{**record, "vector": vector} for record, vector in zip(batch, vectors, strict=True)]
        if TABLE in database.table_names():
            database.open_table(TABLE).add(rows)
        else:
            database.create_table(TABLE, rows)


if __name__ == "__main__":
    main(Adapter(build, add, open_store, delete, clean))
