"""Short text queries for the second recall figure: spans of words out of random chunks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.manifest import ChunkManifest
from retro_cli.chunks.rows import ChunkRows
from retro_cli.embeddings.encoder import load_encoder
from retro_cli.embeddings.resolve import resolve
from retro_cli.embeddings.spec import EncoderSpec
from retro_cli.errors import RetroError
from retro_cli.store.layout import Layout

QUERIES = 200
WORDS = 8


def span_queries(
    layout: Layout,
    chunks: ChunkManifest,
    encoder: EncoderSpec,
    live: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float32] | None:
    """(n, dim) vectors of eight-word spans from random live chunks, encoded as queries.

    None where no encoder is at hand to encode a query (vectors made elsewhere).
    """
    try:
        resolved = resolve(encoder.name, verify=False)
    except RetroError:
        return None
    if resolved.spec.fingerprint() != encoder.fingerprint():
        return None
    random = np.random.default_rng(0)
    ids = np.flatnonzero(live)
    picked = np.sort(random.choice(ids, size=min(QUERIES, len(ids)), replace=False))
    rows = ChunkRows(layout.chunks, chunks.parts)
    texts = []
    for chunk in rows.get(picked.tolist()):
        words = chunk.text.split()
        start = int(random.integers(0, max(1, len(words) - WORDS + 1)))
        texts.append(" ".join(words[start : start + WORDS]))
    rows.close()
    return load_encoder(resolved, purpose="query").encode_queries(texts)
