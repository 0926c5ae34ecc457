"""What changed inside a file: its documents now against its documents in the database.

Documents match first by content (which includes the key), whatever their order. Of the rest, a
new document with the key of an old one replaces it. An old document that is neither matched nor
replaced has vanished; it dies only if the user asks for that (``--prune``).

A file may hold more documents than memory does, so both sides are dealt into piles, on disk where
they are many: by content, and what finds no match there by key. In memory stay 40 bytes for each
document that is replaced or vanished, and eight for each that is to be chunked.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.piles import Piles, Words, digest_words
from retro_cli.chunks.schema import digest
from retro_cli.store.scratch import Scratch

# Where a live document is (position of its part in the manifest, row of the part's document
# table), and 16-byte digests of its key and of its key and content. No key: an empty name.
OLD = np.dtype([("part", "i4"), ("row", "i4"), ("name", "S16"), ("content", "S16")])
NEW = np.dtype([("position", "i8"), ("name", "S16"), ("content", "S16")])  # a record of the file
Documents = npt.NDArray[np.void]  # of OLD
Digests = npt.NDArray[np.bytes_]
Bits = npt.NDArray[np.bool_]
_BLOCK = 1 << 14  # records that are dealt at once


@dataclass(frozen=True)
class Changes:
    """positions: sorted, of the records to chunk; ``kept`` old documents stay as they are.

    replaced, vanished: (n,) of OLD, the other old documents. ``added`` of the records to chunk
    replace none.
    """

    positions: array[int]
    added: int
    kept: int
    replaced: Documents
    vanished: Documents


def name_digest(key: str) -> bytes:
    return digest(key) if key else b""


def content_digest(key: str, content: bytes) -> bytes:
    """``content`` is the document's own hash, which leaves out its key."""
    return digest(key, content.hex())


def compare_documents(
    old: Iterable[Documents],
    new: Iterable[tuple[int, str, bytes]],
    scratch: Scratch | None = None,
    piles: int = 1,
) -> Changes:
    """Compare a file's live documents, blocks (n,) of OLD, with its records now.

    new:   (position, key, hash) of each record, in any order
    piles: into how many both are dealt; a pile of each is in memory at a time
    """
    scratch = scratch or Scratch()
    before, after = Piles(scratch, OLD, piles), Piles(scratch, NEW, piles)
    for documents in old:
        before.add(documents, digest_words(documents["content"])[:, 0])
    for records in _records(new):
        after.add(records, digest_words(records["content"])[:, 0])
    left, fresh = Piles(scratch, OLD, piles), Piles(scratch, NEW, piles)
    kept = 0
    for documents, records in zip(before, after, strict=True):
        gone, come = _unmatched(documents["content"], records["content"])
        kept += len(documents) - int(gone.sum())
        left.add(documents[gone], _name_words(documents[gone]))
        fresh.add(records[come], _name_words(records[come]))
    return _by_name(left, fresh, kept)


def _name_words(rows: npt.NDArray[np.void]) -> Words:
    """(n,) of the names; what has none meets nobody, and goes anywhere."""
    names, contents = (digest_words(rows[field])[:, 0] for field in ("name", "content"))
    return np.where(names == 0, contents, names)


def _by_name(left: Piles, fresh: Piles, kept: int) -> Changes:
    """Which of the documents without a match replace which."""
    added = 0
    positions: list[npt.NDArray[np.int64]] = []
    replaced, vanished = [np.empty(0, OLD)], [np.empty(0, OLD)]
    for documents, records in zip(left, fresh, strict=True):
        names = records["name"][records["name"] != b""]
        superseded = np.isin(documents["name"], names)
        replaced.append(documents[superseded])
        vanished.append(documents[~superseded])
        added += int((~np.isin(records["name"], replaced[-1]["name"])).sum())
        positions.append(records["position"])
    ordered = np.sort(np.concatenate(positions))
    return Changes(
        array("q", ordered.tobytes()), added, kept, _in_order(replaced), _in_order(vanished)
    )


def _in_order(found: list[Documents]) -> Documents:
    documents = np.concatenate(found)
    return documents[np.lexsort((documents["row"], documents["part"]))]


def _records(new: Iterable[tuple[int, str, bytes]]) -> Iterator[npt.NDArray[np.void]]:
    """Blocks (n,) of NEW."""
    rest = iter(new)
    while block := list(islice(rest, _BLOCK)):
        records = np.empty(len(block), NEW)
        records["position"] = [position for position, _, _ in block]
        records["name"] = [name_digest(key) for _, key, _ in block]
        records["content"] = [content_digest(key, content) for _, key, content in block]
        yield records


def _unmatched(old: Digests, new: Digests) -> tuple[Bits, Bits]:
    """Which digests of either side have no partner on the other; the first of equals pair off."""
    _, which = np.unique(np.concatenate([old, new]), return_inverse=True)
    before, after = which[: len(old)], which[len(old) :]
    kinds = int(which.max(initial=-1)) + 1
    pairs = np.minimum(np.bincount(before, minlength=kinds), np.bincount(after, minlength=kinds))
    return _turn(before) >= pairs[before], _turn(after) >= pairs[after]


def _turn(kinds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(n,) how many equals come before each."""
    order = np.argsort(kinds, kind="stable")
    ordered = kinds[order]
    turn = np.empty_like(order)
    turn[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return turn
