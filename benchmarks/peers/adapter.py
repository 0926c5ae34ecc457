"""What the scripts of the peers share: their verbs, the files they are given, and the clock.

    python use_PEER.py build|add STORE MODEL CHUNKS.jsonl
    python use_PEER.py query STORE MODEL TEXT
    python use_PEER.py warm STORE MODEL QUERIES.txt     ids of each query, and seconds
    python use_PEER.py delete STORE MODEL SOURCE
    python use_PEER.py clean STORE MODEL                what it has for clearing the disk

A line of CHUNKS.jsonl is {"id", "source", "text"}. Results are JSON on the last line of stdout.
Each script does what its library's documentation shows, and what a practised user would add:
nothing heavy is imported where it is not needed, and what is there already is not embedded again.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

K = 10
BATCH = 512  # chunks that are embedded and stored together

Record = dict[str, str]
Searcher = Callable[[str], list[str]]  # a text -> the ids of its K nearest chunks


@dataclass(frozen=True)
class Adapter:
    """What a peer does. ``build`` is also run again: with nothing changed, and after a kill."""

    build: Callable[[Path, str, list[Record]], None]
    add: Callable[[Path, str, list[Record]], None]
    open: Callable[[Path, str], Searcher]
    delete: Callable[[Path, str], None]
    clean: Callable[[Path], None] | None = None


def read(path: Path) -> list[Record]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write(path: Path, records: Sequence[Record]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def batches(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    for first in range(0, len(records), BATCH):
        yield records[first : first + BATCH]


def load_model(folder: str) -> Any:
    """The encoder, on the CPU. The import takes seconds, so whoever embeds nothing avoids it."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(folder, device="cpu")


def embed(model: Any, texts: Sequence[str]) -> Any:
    """(n, dim) float32 unit rows."""
    return model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


def main(adapter: Adapter) -> None:
    verb, store, model, *rest = sys.argv[1:]
    path = Path(store)
    if verb in ("build", "add"):
        path.mkdir(parents=True, exist_ok=True)
        getattr(adapter, verb)(path, model, read(Path(rest[0])))
    elif verb == "query":
        print(json.dumps(adapter.open(path, model)(rest[0])))
    elif verb == "warm":
        texts = Path(rest[0]).read_text(encoding="utf-8").splitlines()
        print(json.dumps(warm(adapter.open(path, model), texts)))
    elif verb == "delete":
        adapter.delete(path, rest[0])
    elif verb == "clean" and adapter.clean is not None:
        adapter.clean(path)
    else:
        raise SystemExit(f"there is no {verb} here")


def warm(search: Searcher, texts: Sequence[str]) -> dict[str, Any]:
    """Ask each text by itself; a first one beforehand, which does not count, loads what is lazy."""
    search(texts[-1])
    begun = time.perf_counter()
    found = [search(text) for text in texts]
    return {"seconds": time.perf_counter() - begun, "ids": found}
