"""The proof by search: whatever way removed texts are looked up, no removed chunk answers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retro_cli.errors import NotBuiltYet
from retro_cli.query.finder import Finder
from retro_cli.query.retrieve import Answer, Retriever
from retro_cli.query.search import BM25, FUSIONS, HYBRID, LEVELS, RETRIEVERS, Search
from retro_cli.upkeep.proof_report import Proof

DEPTH = 100  # results asked for with each removed text
WHOLE = 3  # queries that ask for the whole index
Bits = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

# Every way that does more than ask the index for its nearest.
WAYS = (
    *(Search(BM25, level=level) for level in LEVELS),
    *(Search(HYBRID, fusion, level=level) for fusion in FUSIONS for level in LEVELS),
    Search(HYBRID, mmr=0.5, per_document=2),
)


def check_hits(answer: Answer, kept: Bits, proof: Proof) -> None:
    """No hit, and no continuation of one, is a removed chunk."""
    for hit in answer.hits:
        shown = [hit.chunk, *([hit.chunk + 1] if hit.continuation else [])]
        proof.results += len(shown)
        for row in shown:
            if not kept[row]:
                proof.leak(f"chunk {row} was found in generation {proof.generation}")


def check_words(
    retriever: Retriever, removed: Ids, vectors: Floats, kept: Bits, proof: Proof
) -> None:
    """Look removed chunks up by their words too, and by both. vectors: their rows, in order.

    Does nothing where there is no lexical index, since nothing answers from it.
    """
    try:
        lexical = retriever.lexical
    except NotBuiltYet:
        return
    proof.retrievers = RETRIEVERS
    texts = [chunk.text for chunk in retriever.rows.get(removed.tolist())]
    known = dict(zip(texts, vectors, strict=True))

    def encode(asked: list[str]) -> Floats:
        return np.stack([known[text] for text in asked])

    finders = [Finder(retriever, encode, search) for search in WAYS]
    for number, text in enumerate(texts):
        # Each way takes its turn; the first texts are asked in every way.
        turn = finders if number < WHOLE else [finders[number % len(finders)]]
        for find in turn:
            check_hits(find([text], DEPTH)[0], kept, proof)
    for text in texts[:WHOLE]:
        found, _ = lexical.search(text, max(proof.live, 1), retriever.live())
        for row in retriever.shown_as(found).tolist():
            proof.results += 1
            if row < 0 or not kept[row]:
                proof.leak(f"chunk {row} was found by its words in the whole of {proof.generation}")
