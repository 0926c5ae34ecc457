"""What a rule takes: a look at the chunks as they are now, under the rules in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.manifest import require_manifest
from retro_cli.chunks.rows import Chunk, ChunkRows
from retro_cli.chunks.where import any_of, parse_where
from retro_cli.errors import UsageError
from retro_cli.filters.exclusion import Exclusion, corpus_of, exclude
from retro_cli.filters.ledger import Ledger, load_ledger, require_rules
from retro_cli.filters.match import (
    Corpus,
    compiled,
    document_of,
    rule_rows,
    source_names,
    source_of,
)
from retro_cli.filters.passages import sketched
from retro_cli.filters.rules import Passage, Rule
from retro_cli.index.catalogue import current_generation
from retro_cli.store.layout import Layout
from retro_cli.store.tables import read_columns
from retro_cli.wording import near

Bits = npt.NDArray[np.bool_]
EXAMPLES = 3


@dataclass(frozen=True)
class Reach:
    """What a rule takes: of the rows that could be shown before, those that could not be after."""

    documents: int
    chunks: int
    sources: int
    documents_before: int
    chunks_before: int
    sources_before: int
    already: int  # chunks that it takes, and an older rule as well
    examples: tuple[Chunk, ...]


@dataclass(frozen=True)
class Filtering:
    """An opened look at the chunks as they are now, and at the rules in force."""

    layout: Layout
    corpus: Corpus
    ledger: Ledger
    excluded: Exclusion

    def reach(self, rule: Rule, examples: int = EXAMPLES) -> Reach:
        before = self.corpus.own & ~self.excluded.rows
        taken = rule_rows(self.corpus, rule)
        went, now = before & taken, before & ~taken
        documents, _ = document_of(self.corpus)
        sources, _ = source_of(self.corpus)
        picked = np.flatnonzero(went)
        picked = picked[:: max(1, len(picked) // examples)][:examples] if examples else picked[:0]
        return Reach(
            documents=_groups(documents, before) - _groups(documents, now),
            chunks=int(went.sum()),
            sources=_groups(sources, before) - _groups(sources, now),
            documents_before=_groups(documents, before),
            chunks_before=int(before.sum()),
            sources_before=_groups(sources, before),
            already=int((taken & self.corpus.own & self.excluded.rows).sum()),
            examples=self.read(picked.tolist()),
        )

    def read(self, ids: Sequence[int]) -> tuple[Chunk, ...]:
        rows = ChunkRows(self.layout.chunks, self.corpus.manifest.parts)
        try:
            return tuple(rows.get(ids))
        finally:
            rows.close()

    def check(self, rule: Rule) -> None:
        """Raises UsageError for a rule that says nothing, or names what is not there."""
        if rule.empty:
            raise UsageError(
                "the rule takes nothing in particular",
                "name a --source, --doc, --chunk, --match, --where or --min-toxicity",
            )
        if rule.where:
            parse_where(rule.where)
        if rule.match:
            compiled(rule.match)
        if rule.toxicity:
            self.corpus.scores(rule.toxicity.scorer)
        if rule.sources:
            self._known(rule.sources, source_names(self.corpus), "source", "retro sources")
        if rule.documents:
            names: dict[str, None] = {}
            for part in self.corpus.manifest.parts:
                table = read_columns(self.layout.chunks / part.docs_file, ["document"])
                names.update(dict.fromkeys(table["document"].to_pylist()))
            self._known(rule.documents, list(names), "document", "retro query")

    def _known(self, wanted: Sequence[str], names: Sequence[str], what: str, where: str) -> None:
        for pattern in wanted:
            matches = any_of([pattern])
            if not any(matches(name) for name in names):
                hint = near(pattern, names, f"{where} names them")
                raise UsageError(f"no {what} matches '{pattern}'", hint)


def passages(layout: Layout, ids: Sequence[int]) -> tuple[Passage, ...]:
    """What tells these chunks apart, for good. Raises UsageError for an unknown id."""
    layout.require()
    manifest = require_manifest(layout.chunks)
    rows = ChunkRows(layout.chunks, manifest.parts)
    try:
        return tuple(_passage(layout, rows, chunk, manifest.token_bytes) for chunk in ids)
    finally:
        rows.close()


def _passage(layout: Layout, rows: ChunkRows, chunk: int, token_bytes: int) -> Passage:
    part = rows.part_of(chunk)
    table = read_columns(layout.chunks / part.chunks_file, ["hash", "doc", "tokens"])
    documents = read_columns(layout.chunks / part.docs_file, ["uri", "key"])
    at = chunk - part.base
    doc = table["doc"][at].as_py()
    uri, key = (documents[name][doc].as_py() for name in ("uri", "key"))
    tokens = np.frombuffer(table["tokens"][at].as_py(), f"<u{token_bytes}")
    return Passage(chunk, uri, key, table["hash"][at].as_py().hex(), *sketched(tokens))


def open_filtering(layout: Layout) -> Filtering:
    """Raises NotBuiltYet if there are no chunks, or a rule in force needs scores not there."""
    layout.require()
    manifest = require_manifest(layout.chunks)
    aliases = Aliases.load(layout.chunks, manifest.aliases)
    ledger = load_ledger(layout)
    generation = current_generation(layout.index)
    if generation is not None:
        require_rules(ledger, generation.filtered.rules, generation.number)
    excluded = exclude(layout, manifest, aliases, ledger)
    return Filtering(layout, corpus_of(layout, manifest, aliases), ledger, excluded)


def look_at_rule(layout: Layout, number: int, examples: int) -> tuple[Rule, int, tuple[Chunk, ...]]:
    """A rule, how many chunks of live documents it takes now, and some of them."""
    filtering = open_filtering(layout)
    rule = filtering.ledger.get(number)
    rows = np.flatnonzero(rule_rows(filtering.corpus, rule) & filtering.corpus.own)
    picked = rows[:: max(1, len(rows) // examples)][:examples] if examples else rows[:0]
    return rule, len(rows), filtering.read(picked.tolist())


def _groups(groups: npt.NDArray[np.int64], rows: Bits) -> int:
    return len(np.unique(groups[rows]))
