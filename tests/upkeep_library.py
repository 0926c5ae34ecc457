"""A database over JSONL files under rules: what the tests of upkeep write, add and ask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers import write_jsonl

from retro_cli import pipeline
from retro_cli.database import Database
from retro_cli.filters.rules import Rule
from retro_cli.index.stage import IndexJob
from retro_cli.store.layout import Layout
from retro_cli.upkeep.filtering import add_rule
from retro_cli.upkeep.reach import open_filtering, passages
from retro_cli.upkeep.scoring import score_database

GOOD = {"good0", "good1", "good2"}
BAD = {"bad0", "bad1", "bad2"}


class Library:
    """A database over JSONL files, brought up to date on demand."""

    def __init__(self, folder: Path, encoder: Path, tokens: int = 16, dedup: str = "document"):
        self.inputs = folder / "in"
        self.inputs.mkdir()
        self.layout = Layout(folder / "l.db")
        self.settings = {"encoder": str(encoder), "tokens": tokens, "dedup": dedup}

    def write(self, name, records):
        write_jsonl(self.inputs / f"{name}.jsonl", records)

    def chunk(self):
        options = pipeline.ChunkOptions(workers=1, prune=True)
        pipeline.chunk(self.layout, [str(self.inputs)], self.settings, options)

    def update(self, **job):
        self.chunk()
        pipeline.embed(self.layout)
        return pipeline.index(self.layout, IndexJob(self.layout, **job))

    def add(self, once=False, yes=False, **said):
        return add_rule(self.layout, Rule(0, "why", **said), once=once, yes=yes)

    def passage(self, text):
        """The living chunks with a text, as a rule names them."""
        look = open_filtering(self.layout)
        rows = np.flatnonzero(look.corpus.own).tolist()
        ids = [chunk.id for chunk in look.read(rows) if text in chunk.text]
        return passages(self.layout, ids)

    def hits(self, text="the boat", k=1000, **how):
        with Database.open(self.layout.root) as database:
            return database.query(text, k=k, **how)

    def documents(self, **how):
        """Every document that an answer names, by whatever way."""
        found = self.hits(**how)
        return {h.document for h in found} | {name for h in found for name, _ in h.also}

    def words(self, **how):
        return " ".join(f"{hit.text} {hit.continuation}" for hit in self.hits(**how))

    def score(self, *words, name="t"):
        path = self.inputs.parent / "words.txt"
        path.write_text("\n".join(words))
        return score_database(self.layout, f"words:{path}", name=name)


def posts(source, *texts, first=0):
    return [
        {"id": f"{source}{n}", "source": source, "year": 1990 + n, "text": text}
        for n, text in enumerate(texts, first)
    ]
