"""Random histories of edits, rules and undos: what is shown is what a plain account says."""

from __future__ import annotations

import random

import pytest
from helpers import write_jsonl

from retro_cli import pipeline
from retro_cli.database import Database
from retro_cli.filters.rules import Rule, Toxicity
from retro_cli.index.stage import IndexJob
from retro_cli.store.layout import Layout
from retro_cli.upkeep.apply import in_force
from retro_cli.upkeep.filtering import add_rule, undo_rule
from retro_cli.upkeep.proof import prove
from retro_cli.upkeep.scoring import score_database

SOURCES = ("forum", "letters", "news")
WORDS = ("boat", "storm", "keeper", "light")
TOKENS = 8


class History:
    """A database and, beside it, the documents and rules as a plain reader keeps them."""

    def __init__(self, folder, encoder, seed):
        self.random = random.Random(seed)
        self.path, self.layout = folder / "in.jsonl", Layout(folder / "h.db")
        dedup = self.random.choice(["chunk", "document", "none"])
        self.settings = {"encoder": str(encoder), "tokens": TOKENS, "dedup": dedup}
        self.documents: dict[str, tuple[str, str, int]] = {}  # source, text, edition
        self.edition = self.born = 0
        self.rules: dict[int, tuple] = {}
        for _ in range(8):
            self.write()
        self.update()
        self.words = folder / "words.txt"
        self.words.write_text("storm")

    def write(self):
        """A new document, or an old one with another text; few words, so that texts repeat."""
        name = f"d{self.random.randrange(self.born + 1)}"
        self.born += name not in self.documents
        text = " ".join(["the", *self.random.choices(WORDS, k=self.random.randint(1, 2))])
        if name in self.documents and self.documents[name][1] == text:
            return
        source = self.documents.get(name, (self.random.choice(SOURCES),))[0]
        self.documents[name] = (source, text, self.edition)

    def update(self):
        records = [{"id": n, "source": s, "text": t} for n, (s, t, _) in self.documents.items()]
        write_jsonl(self.path, records)
        options = pipeline.ChunkOptions(workers=1, prune=True)
        pipeline.chunk(self.layout, [str(self.path)], self.settings, options)
        pipeline.embed(self.layout)
        pipeline.index(self.layout, IndexJob(self.layout))
        self.edition += 1

    def step(self):
        act = self.random.choice(["edit", "edit", "drop", "add", "add", "undo"])
        if act == "edit":
            for _ in range(self.random.randint(1, 3)):
                self.write()
            self.update()
        elif act == "drop" and len(self.documents) > 3:
            del self.documents[self.random.choice(sorted(self.documents))]
            self.update()
        elif act == "add":
            self.add()
        elif act == "undo" and self.rules:
            number = self.random.choice(sorted(self.rules))
            undo_rule(self.layout, number)
            del self.rules[number]

    def add(self):
        source, word = self.random.choice(SOURCES), self.random.choice(WORDS)
        name = self.random.choice(sorted(self.documents))
        said, takes = self.random.choice([
            ({"sources": (source,), "match": word}, lambda n, s, t: s == source and word in t),
            ({"documents": (name,)}, lambda n, s, t: n == name),
            ({"match": word}, lambda n, s, t: word in t),
            ({"toxicity": Toxicity("w", 0.1)}, lambda n, s, t: "storm" in t),
            ({"sources": (source, "news"), "only": True},
             lambda n, s, t: s not in (source, "news")),
        ])  # fmt: skip
        copies = not said.get("only") and self.random.random() < 0.3
        once = self.random.random() < 0.2
        if "sources" in said and source not in {s for s, _, _ in self.documents.values()}:
            return
        if "sources" in said and "news" not in {s for s, _, _ in self.documents.values()}:
            return
        if "toxicity" in said:
            score_database(self.layout, f"words:{self.words}", name="w")
        rule = Rule(0, "why", **said, copies="exact" if copies else "none")
        added, _, _ = add_rule(self.layout, rule, once=once, yes=True)
        self.rules[added.number] = (takes, copies, self.edition if once else None)

    def expected(self):
        gone: set[str] = set()
        for takes, copies, until in self.rules.values():
            mine = {n for n, (s, t, _) in self.documents.items() if takes(n, s, t)}
            if copies:
                texts = {self.documents[n][1] for n in mine}
                mine = {n for n, (_, t, _) in self.documents.items() if t in texts}
            gone |= {n for n in mine if until is None or self.documents[n][2] < until}
        return set(self.documents) - gone

    def shown(self):
        with Database.open(self.layout.root) as database:
            found = database.query("the boat", k=100)
        names = [h.document for h in found] + [name for h in found for name, _ in h.also]
        assert len(names) == len(set(names))
        for hit in found:
            assert (hit.source, hit.text) == self.documents[hit.document][:2]
        return set(names)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_shown_after_any_history_is_what_no_rule_in_force_takes(
    tmp_path, static_encoder, seed
):
    history = History(tmp_path, static_encoder, seed)
    assert history.shown() == set(history.documents)
    for _ in range(14):
        history.step()
        assert in_force(history.layout)
        assert history.shown() == history.expected()
    assert prove(history.layout).leaks == []
