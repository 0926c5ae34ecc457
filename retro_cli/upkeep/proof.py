"""The proof that what the rules take is gone: by structure, then by search.

The rules are matched anew here, so that the proof does not lean on the masks that it checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.live import own_live, searchable
from retro_cli.embeddings.encoder import load_encoder
from retro_cli.embeddings.resolve import resolve
from retro_cli.errors import RetroError
from retro_cli.events import SILENT, Progress
from retro_cli.filters.exclusion import exclude
from retro_cli.filters.ledger import load_ledger
from retro_cli.filters.rules import PURGED
from retro_cli.index.bitmaps import load_bitmap
from retro_cli.index.catalogue import all_generations, load_if_kept
from retro_cli.index.exact import exact_search
from retro_cli.index.segments import load_index, stored_ids
from retro_cli.query.retrieve import Retriever
from retro_cli.query.table import load_table, table_names
from retro_cli.reading.text_table import given_ids
from retro_cli.store.layout import Layout
from retro_cli.upkeep.copies import surviving
from retro_cli.upkeep.proof_keys import check_datastore
from retro_cli.upkeep.proof_report import K, Proof
from retro_cli.upkeep.proof_search import DEPTH, WHOLE, check_hits, check_words

if TYPE_CHECKING:
    from pathlib import Path

    from retro_cli.embeddings.encoder import Encoder
    from retro_cli.index.generation import Generation

Bits = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


def prove(layout: Layout, sample: int = 200, seed: int = 0, progress: Progress = SILENT) -> Proof:
    """Check the generation that queries see. Leaks are collected, not raised.

    sample: removed chunks that are searched for, drawn with ``seed``
    """
    retriever = Retriever(layout)
    try:
        manifest, aliases = retriever.manifest, retriever.aliases
        ledger = load_ledger(layout)
        excluded = exclude(layout, manifest, aliases, ledger)
        alive = own_live(manifest)
        kept = alive & ~excluded.rows
        removed = alive & excluded.rows
        proof = Proof(generation=retriever.generation.number, rules=excluded.rules)
        proof.purged = tuple(rule.number for rule in ledger.active if rule.state == PURGED)
        proof.removed = int(removed.sum())
        live = searchable(kept, aliases)
        proof.live = int(live.sum())
        _check_structure(retriever, live, kept, proof)
        _check_tables(retriever, kept, proof)
        check_datastore(retriever, kept, removed, sample, seed, proof)
        picked = _sample(removed, sample, seed)
        if len(picked):
            queries = _queries(retriever, picked, proof)
            _check_search(retriever, queries, kept, proof, progress)
            check_words(retriever, picked, queries, kept, proof)
            _measure(retriever, queries, live, seed, proof)
        exact, near = surviving(layout, manifest, removed, kept, proof.purged)
        proof.copies, proof.near_copies = int(exact.sum()), int(near.sum())
        proof.copies_in, proof.near_copies_in = (_sources(retriever, r) for r in (exact, near))
        if proof.removed:
            # A removed chunk may stand for a kept one with the same text, and is shown as that.
            proof.older = _older(retriever, removed & ~live)
        return proof
    finally:
        retriever.close()


def _sources(retriever: Retriever, rows: Bits) -> tuple[str, ...]:
    """Some of the sources of some rows."""
    some = np.flatnonzero(rows)[:1000].tolist()
    return tuple(sorted({chunk.source for chunk in retriever.rows.get(some)})[:5])


def _check_structure(retriever: Retriever, live: Bits, kept: Bits, proof: Proof) -> None:
    """Every id that can be reached, less the live ids, is empty."""
    generation = retriever.generation
    ids, reachable = _ids(retriever.layout.index, generation)
    proof.stored, proof.reachable = len(ids), len(reachable)
    for row in reachable[~live[reachable]].tolist():
        proof.leak(f"chunk {row} can be reached in generation {generation.number}")
    for row in np.flatnonzero(retriever.own & ~kept).tolist():
        proof.leak(f"chunk {row} may be shown in generation {generation.number}")


def _ids(folder: Path, generation: Generation) -> tuple[Ids, Ids]:
    """What a generation's lists hold, and what of it is not masked."""
    stored = [stored_ids(load_index(folder / segment.file.name)) for segment in generation.segments]
    ids = np.concatenate([np.empty(0, np.int64), *stored])
    dead = load_bitmap(folder, generation.dead, int(ids.max(initial=-1)) + 1)
    return ids, ids[~dead[ids]]


def _older(retriever: Retriever, removed: Bits) -> tuple[str, ...]:
    """The kept generations in whose lists removed chunks can be reached."""
    folder, holding = retriever.layout.index, []
    for name in all_generations(folder):
        generation = load_if_kept(folder, name)
        if generation is None or generation.number == retriever.generation.number:
            continue
        _, reachable = _ids(folder, generation)
        # After a rollback the others may know later chunks.
        if removed[reachable[reachable < len(removed)]].any():
            holding.append(str(generation.number))
    return tuple(holding)


def _check_tables(retriever: Retriever, kept: Bits, proof: Proof) -> None:
    """No neighbour table, of chunks or of texts, gives a removed chunk as it is read."""
    for name in table_names(retriever.layout):
        proof.tables[name] = load_table(retriever.layout, name).generation
        for ids in given_ids(retriever.layout, name, retriever.own):
            given = np.unique(ids)
            for row in given[~kept[given]].tolist():
                proof.leak(f"chunk {row} is in the neighbour table {name}")


def _sample(rows: Bits, count: int, seed: int) -> npt.NDArray[np.int64]:
    found = np.flatnonzero(rows)
    if count >= len(found):
        return found
    return np.sort(np.random.default_rng(seed).choice(found, count, replace=False))


def _queries(retriever: Retriever, rows: npt.NDArray[np.int64], proof: Proof) -> Floats:
    """The vectors of removed chunks: of their texts as queries, or as they are stored."""
    encoder = _encoder(retriever)
    proof.searched = len(rows)
    if encoder is not None:
        return encoder.encode_queries([chunk.text for chunk in retriever.rows.get(rows.tolist())])
    proof.queries_are = "their stored vectors"
    stands = retriever.aliases.representatives(retriever.manifest.next_id)
    return retriever.vectors.gather(stands[rows])


def _encoder(retriever: Retriever) -> Encoder | None:
    spec = retriever.generation.encoder
    try:
        resolved = resolve(spec.name, verify=False)
    except RetroError:
        return None
    if resolved.spec.fingerprint() != spec.fingerprint():
        return None
    return load_encoder(resolved, purpose="query")


def _check_search(
    retriever: Retriever, queries: Floats, kept: Bits, proof: Proof, progress: Progress
) -> None:
    progress.started("search", len(queries), "queries")
    for number, query in enumerate(queries):
        check_hits(retriever.search(query[None], DEPTH)[0], kept, proof)
        if number < WHOLE:
            for row in retriever.shown_rows(query[None], max(proof.live, 1)):
                proof.results += 1
                if not kept[row]:
                    proof.leak(f"chunk {row} was found in the whole of {proof.generation}")
        progress.advanced("search", 1)
    progress.finished("search")


def _measure(retriever: Retriever, removed: Floats, live: Bits, seed: int, proof: Proof) -> None:
    """Recall of the kept chunks, asked for by removed texts and by kept vectors."""
    rows = _sample(live, len(removed), seed)
    if not len(rows):
        return
    queries = np.concatenate([removed, retriever.vectors.gather(rows)])
    truth, _ = exact_search(retriever.vectors, queries, K, live)
    found, _ = retriever.nearest(queries, K)
    shares = [
        float(np.isin(best[best >= 0], mine).mean())
        for mine, best in zip(found, truth, strict=True)
        if (best >= 0).any()
    ]
    proof.recall = round(float(np.mean(shares)), 4) if shares else None
