"""What a datastore holds, and whether it holds together: for status and verify."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live, searchable
from retro_cli.datastore.manifest import load_manifest
from retro_cli.datastore.parts import Tokens, open_keys
from retro_cli.datastore.stage import rows_without_keys
from retro_cli.errors import RetroError
from retro_cli.index.catalogue import current_generation, excluded_rows, generation_chunks
from retro_cli.store.layout import Layout


def datastore_facts(layout: Layout) -> tuple[dict[str, Any], int] | None:
    """What there is, and how many chunks that may be found have no keys; None without a datastore
    or an index. ``found``: the tokens that may be."""
    manifest, generation = load_manifest(layout.datastore), current_generation(layout.index)
    if manifest is None or generation is None:
        return None
    tokens = Tokens(layout.datastore, manifest)
    chunks = generation_chunks(layout.index, generation)
    own = own_live(chunks) & ~excluded_rows(layout.index, generation, chunks.next_id)
    live = searchable(own, Aliases.load(layout.chunks, chunks.aliases))
    facts = {
        "tokens": manifest.tokens,
        "found": int(tokens.of_chunks(live).sum()),
        "model": manifest.maker.name,
        "window": manifest.maker.window,
        "factory": manifest.index.factory if manifest.index else "",
        "recall_at_10": manifest.index.recall if manifest.index else 0,
        "bytes": sum(file.bytes for file in manifest.files()),
    }
    return facts, int(rows_without_keys(live, tokens).sum())


def key_problems(layout: Layout) -> Iterator[str]:
    """Whether keys and tokens line up, part by part, and keys are numbers."""
    manifest = load_manifest(layout.datastore)
    if manifest is None:
        return
    try:
        Tokens(layout.datastore, manifest)
        for ids, block in open_keys(layout.datastore, manifest).blocks():
            if not np.isfinite(block).all():
                yield f"datastore: a key of the tokens {ids[0]} to {ids[-1]} is no number"
    except RetroError as error:
        yield f"datastore: {error.message}"
