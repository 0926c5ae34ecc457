"""Which rows a rule takes. Pure reading: the same corpus, rule and scores give the same rows.

Every row of every part counts, also of documents that were replaced: a rule says what may not
be shown, whatever else is known of a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live
from retro_cli.chunks.manifest import ChunkManifest, Part
from retro_cli.chunks.where import any_of, kept_where
from retro_cli.errors import UsageError
from retro_cli.filters.copies import copies_of, memory_of, originals_of
from retro_cli.filters.memory import Memory
from retro_cli.filters.passages import passage_rows
from retro_cli.filters.rules import Rule, Toxicity
from retro_cli.store.tables import read_columns

Bits = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Corpus:
    """The chunks that rules are matched against.

    scores: by the name of a scorer, (next_id,) float32 in [0, 1], NaN where a row has none;
    remembered: by a rule's number, what is kept of originals that are not on the disk any more.
    """

    folder: Path
    manifest: ChunkManifest
    aliases: Aliases
    scores: Callable[[str], Floats]
    remembered: Callable[[int], Memory] = lambda _: Memory.none()

    @cached_property
    def own(self) -> Bits:
        return own_live(self.manifest)


def rule_rows(corpus: Corpus, rule: Rule) -> Bits:
    """(next_id,) the rows that a rule keeps out."""
    taken = _named(corpus, rule) & _conditions(corpus, rule)
    if rule.copies != "none":
        # Of replaced documents too, while their text is on the disk: a copy stays out when what
        # it copies is edited.
        originals = originals_of(corpus.folder, corpus.manifest, taken, rule.copies)
        known = corpus.remembered(rule.number)
        taken |= copies_of(corpus.folder, corpus.manifest, originals, rule.copies, known)
    if rule.only:
        taken = ~taken
    if rule.until is not None:
        taken[rule.until :] = False
    return taken


def rule_originals(corpus: Corpus, rule: Rule) -> Memory:
    """What is to be kept of what a rule's copies are copies of."""
    taken = _named(corpus, rule) & _conditions(corpus, rule)
    return memory_of(corpus.folder, corpus.manifest, taken)


def compiled(expression: str) -> str:
    """The expression again. Raises UsageError unless it is one that RE2 understands."""
    try:
        pc.match_substring_regex(pa.array([""]), expression)
    except (pa.ArrowInvalid, UnicodeError) as error:
        why = str(error).removeprefix("Invalid: ")
        raise UsageError(
            f"{expression!a} is not a regular expression: {why}",
            "RE2 syntax, without look-around and back-references; (?i) ignores case",
        ) from None
    return expression


def _named(corpus: Corpus, rule: Rule) -> Bits:
    total = corpus.manifest.next_id
    if not (rule.sources or rule.documents or rule.passages):
        return np.ones(total, dtype=bool)
    taken = np.zeros(total, dtype=bool)
    for part in corpus.manifest.parts:
        rows = slice(part.base, part.base + part.rows)
        if rule.sources:
            taken[rows] |= _by_document(corpus, part, "source", any_of(rule.sources))
        if rule.documents:
            taken[rows] |= _by_document(corpus, part, "document", any_of(rule.documents))
        if rule.passages:
            own = corpus.own[rows]
            width = corpus.manifest.token_bytes
            taken[rows] |= passage_rows(corpus.folder, part, width, rule.passages, own)
    return taken


def _by_document(corpus: Corpus, part: Part, column: str, wanted: Callable[[str], bool]) -> Bits:
    """(rows,) whose document has a wanted value in a column; each value is asked for once."""
    table = read_columns(corpus.folder / part.docs_file, [column, "chunks"])
    values = pc.dictionary_encode(table[column].combine_chunks())
    good = np.array([wanted(value) for value in values.dictionary.to_pylist()], dtype=bool)
    documents = good[values.indices.to_numpy()] if len(good) else np.zeros(0, dtype=bool)
    return np.repeat(documents, table["chunks"].to_numpy())


def _conditions(corpus: Corpus, rule: Rule) -> Bits:
    met = np.ones(corpus.manifest.next_id, dtype=bool)
    conditions = kept_where(rule.where) if rule.where else []
    for part in corpus.manifest.parts:
        rows = slice(part.base, part.base + part.rows)
        if conditions:
            columns = ["source", "document", "title", "metadata", "chunks"]
            table = read_columns(corpus.folder / part.docs_file, columns)
            documents = [
                all(condition.matches(document) for condition in conditions)
                for document in table.to_pylist()
            ]
            met[rows] &= np.repeat(np.array(documents, dtype=bool), table["chunks"].to_numpy())
        if rule.match:
            texts = read_columns(corpus.folder / part.chunks_file, ["text"])["text"]
            met[rows] &= pc.match_substring_regex(texts, rule.match).to_numpy()
    if rule.toxicity:
        met &= _toxic(corpus, rule.toxicity)
    return met


def _toxic(corpus: Corpus, toxicity: Toxicity) -> Bits:
    scores = corpus.scores(toxicity.scorer)
    if toxicity.level == "chunk":
        return np.asarray(scores >= toxicity.threshold)
    groups, count = (document_of if toxicity.level == "document" else source_of)(corpus)
    if not count:
        return np.zeros(len(groups), dtype=bool)
    level = aggregate(scores, groups, count, corpus.own, mean=toxicity.level == "source")
    return np.asarray((level >= toxicity.threshold)[groups] & (groups >= 0))


def aggregate(
    scores: Floats, groups: npt.NDArray[np.int64], count: int, own: Bits, *, mean: bool
) -> Floats:
    """(count,) the mean or the highest score of each group's own live rows; NaN without any."""
    rows = np.flatnonzero(own & ~np.isnan(scores) & (groups >= 0))
    found = np.full(count, -np.inf, dtype=np.float32)
    if mean:
        sizes = np.bincount(groups[rows], minlength=count)
        sums = np.bincount(groups[rows], weights=scores[rows], minlength=count)
        found = np.where(sizes > 0, sums / np.maximum(sizes, 1), -np.inf).astype(np.float32)
    else:
        np.maximum.at(found, groups[rows], scores[rows])
    found[np.isneginf(found)] = np.nan
    return found


def document_of(corpus: Corpus) -> tuple[npt.NDArray[np.int64], int]:
    """(next_id,) a number for each row's document, -1 where there is no row; and how many."""
    groups = np.full(corpus.manifest.next_id, -1, dtype=np.int64)
    count = 0
    for part in corpus.manifest.parts:
        chunks = read_columns(corpus.folder / part.docs_file, ["chunks"])["chunks"].to_numpy()
        rows = np.repeat(np.arange(len(chunks)) + count, chunks)
        groups[part.base : part.base + part.rows] = rows
        count += len(chunks)
    return groups, count


def source_of(corpus: Corpus) -> tuple[npt.NDArray[np.int64], int]:
    """The same for sources, numbered as in ``source_names``."""
    groups = np.full(corpus.manifest.next_id, -1, dtype=np.int64)
    numbers: dict[str, int] = {}
    for part in corpus.manifest.parts:
        table = read_columns(corpus.folder / part.docs_file, ["source", "chunks"])
        values = pc.dictionary_encode(table["source"].combine_chunks())
        names = values.dictionary.to_pylist()
        mine = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
        if len(mine):
            rows = np.repeat(mine[values.indices.to_numpy()], table["chunks"].to_numpy())
            groups[part.base : part.base + part.rows] = rows
    return groups, len(numbers)


def source_names(corpus: Corpus) -> list[str]:
    """Every source, in the order of first appearance."""
    names: dict[str, None] = {}
    for part in corpus.manifest.parts:
        table = read_columns(corpus.folder / part.docs_file, ["source"])
        names.update(dict.fromkeys(pc.unique(table["source"]).to_pylist()))
    return list(names)
