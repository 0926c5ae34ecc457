"""What changed inside a file: its documents now against its documents in the database.

Documents match first by (key, content), whatever their order. Of the rest, a new document with
the key of an old one replaces it. An old document that is neither matched nor replaced has
vanished; it dies only if the user asks for that (``--prune``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OldDocument:
    """A live document of the database: where it is, and what identifies it."""

    part: int  # position in the manifest
    row: int  # in the part's document table
    key: str
    hash: bytes
    first: int = 0  # row of its first chunk in the part
    chunks: int = 0


@dataclass(frozen=True)
class Changes:
    """positions: records to chunk; kept: how many stay; replaced and vanished: old documents."""

    positions: frozenset[int]
    added: int
    kept: int
    replaced: tuple[OldDocument, ...]
    vanished: tuple[OldDocument, ...]


def compare_documents(old: Iterable[OldDocument], new: Iterable[tuple[int, str, bytes]]) -> Changes:
    """Compare a file's live documents with its records now, each (position, key, hash)."""
    waiting: dict[tuple[str, bytes], list[OldDocument]] = defaultdict(list)
    for document in old:
        waiting[document.key, document.hash].append(document)
    fresh: list[tuple[int, str]] = []
    kept = 0
    for position, key, content in new:
        matches = waiting.get((key, content))
        if matches:
            matches.pop()
            kept += 1
        else:
            fresh.append((position, key))
    left = sorted(
        (document for group in waiting.values() for document in group),
        key=lambda document: (document.part, document.row),
    )
    fresh_keys = {key for _, key in fresh if key}
    replaced = tuple(document for document in left if document.key in fresh_keys)
    vanished = tuple(document for document in left if document.key not in fresh_keys)
    replaced_keys = {document.key for document in replaced}
    added = sum(key not in replaced_keys for _, key in fresh)
    return Changes(frozenset(p for p, _ in fresh), added, kept, replaced, vanished)
