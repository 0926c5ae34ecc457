"""The texts that ``peers.py`` gives to all: documents by source, and retro's chunks of them.

Sources are files of generated documents. Peers are given the texts of retro's chunks, so that all
embed the same rows; retro itself starts from the documents and cuts them within its own time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import generate
from context import HELD_OUT, SEED, Context, database, fresh

NEWS = 60  # the generator's stream that brings 1 % more
NEWS_SOURCE = "source-99"
MARKER = "vexquilbantor"  # a word that only the source that is to go has
MEGABYTES, SOURCES, QUERIES = 1.0, 20, 100
CHECKED = 10  # texts of the deleted and of the added source that are asked for

Record = dict[str, Any]


@dataclass(frozen=True)
class Corpus:
    """Files. A chunk's id is ``document#position``.

    documents, news: what retro reads, a folder with a file for each source, and 1 % more
    chunks, more:    the same in retro's chunks, for the peers
    queries, checks: a text a line; ``checks`` are chunks of ``gone`` and then added ones
    gone:            the source that is deleted
    """

    documents: Path
    news: Path
    chunks: Path
    more: Path
    queries: Path
    checks: Path
    gone: str
    rows: int
    added: tuple[str, ...]
    deleted: frozenset[str]


def corpus(context: Context) -> Corpus:
    folder = context.work / ("peers-quick-corpus" if context.quick else "peers-corpus")
    documents, news = folder / "documents", folder / f"{NEWS_SOURCE}.jsonl"
    sources = context.pick(SOURCES, 5)
    gone = "source-01"
    if not documents.exists():
        _write_documents(folder, context.pick(int(MEGABYTES * 1e6), 64_000), sources, gone)
    rows = _chunks(context, folder, documents, news)
    kept = [row for row in rows if row["source"] != NEWS_SOURCE]
    more = [row for row in rows if row["source"] == NEWS_SOURCE]
    deleted = [row for row in kept if row["source"] == gone]
    asked = _spread(deleted, CHECKED) + _spread(more, CHECKED)
    queries = [_sentence(each["text"]) for each in _held_out(context.pick(QUERIES, 20))]
    return Corpus(
        documents=documents,
        news=news,
        chunks=_write(folder / "chunks.jsonl", kept),
        more=_write(folder / "more.jsonl", more),
        queries=_write_lines(folder / "queries.txt", queries),
        checks=_write_lines(folder / "checks.txt", [row["text"].strip() for row in asked]),
        gone=gone,
        rows=len(kept),
        added=tuple(row["id"] for row in asked[-min(CHECKED, len(more)) :]),
        deleted=frozenset(row["id"] for row in deleted),
    )


def _write_documents(folder: Path, size: int, sources: int, gone: str) -> None:
    """Documents up to ``size`` bytes, dealt to the sources in turn, and 1 % beside them."""
    partial = fresh(folder / "documents.partial")
    partial.mkdir(parents=True)
    dealt: list[list[Record]] = [[] for _ in range(sources)]
    written = 0
    for number, record in enumerate(generate.documents(SEED)):
        name = f"source-{number % sources:02}"
        text = f"{record['text']} The {MARKER} is here." if name == gone else record["text"]
        dealt[number % sources].append({**record, "text": text, "source": name})
        written += len(text)
        if written >= size:
            break
    for number, records in enumerate(dealt):
        _write(partial / f"source-{number:02}.jsonl", records)
    news: list[Record] = []
    for record in generate.documents(SEED, NEWS):
        news.append({**record, "source": NEWS_SOURCE})
        if sum(len(each["text"]) for each in news) >= size / 100:
            break
    _write(folder / f"{NEWS_SOURCE}.jsonl", news)
    partial.rename(folder / "documents")


def _chunks(context: Context, folder: Path, documents: Path, news: Path) -> list[Record]:
    """The rows of a database that is only chunked, in its order."""
    import pyarrow.parquet as pq
    from measure import retro

    db = database(context, folder.name, [documents, news], "all-MiniLM-L6-v2")
    target = folder / "chunks.parquet"
    retro("export", db, target)
    rows = pq.read_table(target, columns=["document", "position", "source", "text"]).to_pylist()
    return [
        {"id": f"{row['document']}#{row['position']}", "source": row["source"], "text": row["text"]}
        for row in rows
    ]


def _held_out(count: int) -> list[dict[str, str]]:
    return list(islice(generate.documents(SEED, HELD_OUT), count))


def _sentence(text: str) -> str:
    """The first sentence: 6 to 24 words."""
    return text.partition(".")[0]


def _spread(rows: list[Record], count: int) -> list[Record]:
    return rows[:: max(1, len(rows) // count)][:count]


def _write(path: Path, records: list[Record]) -> Path:
    return _write_lines(path, [json.dumps(record) for record in records])


def _write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
