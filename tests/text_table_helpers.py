"""What tests of tables of texts share: a corpus, texts beside it, and how they are looked up."""

from __future__ import annotations

import numpy as np

from retro_cli import Database
from retro_cli.query.table import NeighbourSettings
from retro_cli.reading.text_neighbours import (
    TextsToRead,
    find_text_neighbours,
)
from retro_cli.store.layout import Layout

WORDS = ["the", "ferry", "harbour", "light", "keeper", "boat", "storm", "island"]
TOKENS = 8


def records(seed: int, count: int, prefix: str) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [
        {"id": f"{prefix}{n}", "text": " ".join(rng.choice(WORDS, 40)), "source": f"s{n % 3}"}
        for n in range(count)
    ]


CORPUS = records(4, 24, "p")
HELD = [*records(9, 7, "h"), {"id": "eté", "text": "the boat é ñ 島 the ferry, the light"}]


def build(retro, encoder, db, *more) -> Layout:
    tokens = ["--encoder", encoder, "--tokens", 16, *more]
    built = retro("build", "posts.jsonl", "--db", db, *tokens)
    assert built.code == 0, built.err
    return Layout(db)


def look_up(layout, cutter, name="t", *specs, k=2, copies=1.0, part_bytes=1 << 20):
    texts = TextsToRead(specs or ("held.jsonl",), cutter, TOKENS, part_bytes)
    return find_text_neighbours(layout, name, NeighbourSettings(k, copies), texts)


def documents(layout, ids) -> list[str]:
    with Database.open(layout.root) as db:
        return [chunk.document for chunk in db.retriever.rows.get([i for i in ids if i >= 0])]
