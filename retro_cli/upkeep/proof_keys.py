"""The proof over a token datastore: no token of a removed chunk is reached, by mask or search."""

from __future__ import annotations

import numpy as np

from retro_cli.datastore.manifest import MANIFEST
from retro_cli.datastore.parts import Bits, Ids
from retro_cli.datastore.reader import Datastore
from retro_cli.index.vectors import embedded
from retro_cli.query.retrieve import Retriever
from retro_cli.upkeep.proof_report import Proof

DEPTH = 100  # tokens asked for with each removed key


def check_datastore(
    retriever: Retriever, kept: Bits, removed: Bits, sample: int, seed: int, proof: Proof
) -> None:
    """Looks at what may be found, and asks with keys of removed chunks, where they still have any.

    kept, removed: (next_id,) living chunks, as the rules are matched now.
    """
    if not (retriever.layout.datastore / MANIFEST).is_file():
        return
    datastore = Datastore(retriever)
    try:
        shown = retriever.aliases.shown(kept)
        reachable = np.flatnonzero(datastore.allowed)
        proof.tokens, proof.tokens_reachable = datastore.manifest.tokens, len(reachable)
        _look(datastore, reachable, shown, "can be reached", proof)
        mine = np.flatnonzero(datastore.tokens.of_chunks(removed & (shown < 0)))
        queries = datastore.vectors.gather(_some(mine, sample, seed))
        queries = queries[embedded(queries)]
        if len(queries) and datastore.keys:
            found = datastore.search(queries, DEPTH).tokens
            proof.keys_asked, proof.keys_found = len(queries), int((found >= 0).sum())
            _look(datastore, np.unique(found[found >= 0]), shown, "was found", proof)
    finally:
        datastore.close()


def _look(datastore: Datastore, tokens: Ids, shown: Ids, how: str, proof: Proof) -> None:
    chunks = np.unique(datastore.tokens.places(tokens)[0]) if len(tokens) else tokens
    for row in chunks[shown[chunks] < 0].tolist():
        proof.leak(f"a token of chunk {row} {how} in the datastore")


def _some(tokens: Ids, count: int, seed: int) -> Ids:
    if count >= len(tokens):
        return tokens
    return np.sort(np.random.default_rng(seed).choice(tokens, count, replace=False))
