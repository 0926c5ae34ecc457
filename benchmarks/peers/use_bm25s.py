"""bm25s: words without vectors. It has neither updates nor deletions: both build again."""

from __future__ import annotations

from pathlib import Path

import bm25s
import Stemmer
from adapter import Adapter, K, Record, Searcher, main


def build(store: Path, model: str, records: list[Record]) -> None:
    index = bm25s.BM25(corpus=records)
    index.index(_words([record["text"] for record in records]), show_progress=False)
    index.save(store)


def add(store: Path, model: str, records: list[Record]) -> None:
    build(store, model, [*_stored(store), *records])


def delete(store: Path, source: str) -> None:
    build(store, "", [record for record in _stored(store) if record["source"] != source])


def open_store(store: Path, model: str) -> Searcher:
    index = bm25s.BM25.load(store, load_corpus=True, mmap=True)

    def search(text: str) -> list[str]:
        found, _ = index.retrieve(_words([text]), k=K, show_progress=False)
        return [record["id"] for record in found[0]]

    return search


def _stored(store: Path) -> list[Record]:
    loaded = bm25s.BM25.load(store, load_corpus=True)
    return [{key: record[key] for key in ("id", "source", "text")} for record in loaded.corpus]


def _words(texts: list[str]) -> object:
    stemmer = Stemmer.Stemmer("english")
    return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)


if __name__ == "__main__":
    main(Adapter(build, add, open_store, delete))
