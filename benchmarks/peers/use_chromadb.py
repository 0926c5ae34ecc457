"""chromadb's persistent client, with vectors by sentence-transformers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import chromadb
from adapter import Adapter, K, Record, Searcher, batches, embed, load_model, main


def build(store: Path, model: str, records: list[Record]) -> None:
    """What a collection holds already is not embedded again; texts that changed are not noticed."""
    collection = _collection(store)
    known = set(collection.get(include=[])["ids"])
    _add(collection, model, [record for record in records if record["id"] not in known])


def add(store: Path, model: str, records: list[Record]) -> None:
    _add(_collection(store), model, records)


def delete(store: Path, source: str) -> None:
    _collection(store).delete(where={"source": source})


def clean(store: Path) -> None:
    """Its own command, which clears the disk."""
    program = Path(sys.executable).with_name("chroma")
    subprocess.run([program, "vacuum", "--path", store, "--force"], check=True)


def open_store(store: Path, model: str) -> Searcher:
    collection, encoder = _collection(store), load_model(model)

    def search(text: str) -> list[str]:
        found: list[str] = collection.query(embed(encoder, [text]), n_results=K)["ids"][0]
        return found

    return search


def _collection(store: Path) -> Any:
    settings = chromadb.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(store), settings=settings)
    return client.get_or_create_collection(
        "chunks", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )


def _add(collection: Any, model: str, records: list[Record]) -> None:
    encoder = load_model(model) if records else None
    for batch in batches(records):
        collection.add(
            ids=[record["id"] for record in batch],
            embeddings=embed(encoder, [record["text"] for record in batch]),
            documents=[record["text"] for record in batch],
            metadatas=[{"source": record["source"]} for record in batch],
        )


if __name__ == "__main__":
    main(Adapter(build, add, open_store, delete, clean))
