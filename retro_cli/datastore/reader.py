"""A datastore opened for reading, under the rules of one generation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retro_cli.datastore.manifest import load_manifest, require_manifest
from retro_cli.datastore.parts import Bits, Floats, Ids, Tokens, open_keys
from retro_cli.datastore.search import KeySearcher
from retro_cli.datastore.stage import readable_rows, rows_without_keys
from retro_cli.errors import IntegrityError
from retro_cli.query.retrieve import Retriever

_SOURCES = 1 << 16  # names that are held


@dataclass(frozen=True)
class Neighbours:
    """The nearest tokens of some states: (q, k) each, best first.

    distances: float32, squared L2, infinite for none. tokens: int64 token ids, -1 for none. values:
    int64, what each token is, 0 for none.
    """

    distances: Floats
    tokens: Ids
    values: Ids


class Datastore:
    """The tokens that one generation may show, by their keys. Immutable.

    No token of a chunk is found that the generation's own rows leave out. A reader that stays open
    keeps the files it has opened, whatever comes after.
    """

    def __init__(self, retriever: Retriever) -> None:
        """Raises NotBuiltYet if there is no datastore, IntegrityError for a damaged one."""
        folder = retriever.layout.datastore
        self._rows, self._sources = retriever.rows, dict[int, str]()
        while True:
            self.manifest = require_manifest(folder)
            try:
                self._open(retriever)
                break
            except IntegrityError:
                if load_manifest(folder) == self.manifest:
                    raise

    def _open(self, retriever: Retriever) -> None:
        folder, manifest = retriever.layout.datastore, self.manifest
        _, wanted = readable_rows(retriever)
        self.tokens = Tokens(folder, manifest)
        self.allowed: Bits = self.tokens.of_chunks(wanted)
        self.missing = int(rows_without_keys(wanted, self.tokens).sum())
        self._shown = retriever.aliases.shown(retriever.own)
        self._values: npt.NDArray[np.int32] = self.tokens.values()
        vectors = open_keys(folder, manifest)
        vectors.gather([part.base for part in manifest.parts if part.tokens])
        index = manifest.index
        segments = [] if index is None else [folder / each.file.name for each in index.segments]
        nprobe = 1 if index is None else index.nprobe
        self.searcher = KeySearcher(segments, vectors, self.allowed, nprobe)
        self.vectors = vectors

    @property
    def keys(self) -> int:
        """How many tokens may be found, at the most."""
        return self.searcher.survivors

    def search(self, states: Floats, k: int) -> Neighbours:
        """states: (q, dim) float32. Fewer than ``k`` only where fewer may be found."""
        distances, tokens = self.searcher.search(states, k)
        there = tokens >= 0
        values = np.where(there, self._values[np.where(there, tokens, 0)], 0).astype(np.int64)
        return Neighbours(distances, tokens, values)

    def places(self, tokens: Ids) -> list[tuple[int, int]]:
        """(chunk, place in it) of token ids; a merged chunk's in the name of one that may be
        shown."""
        chunks, places = self.tokens.places(tokens)
        return list(zip(self._shown[chunks].tolist(), places.tolist(), strict=True))

    def source(self, chunk: int) -> str:
        """The source of a chunk that was found."""
        if chunk not in self._sources:
            if len(self._sources) > _SOURCES:
                self._sources.clear()
            self._sources[chunk] = self._rows.get([chunk])[0].source
        return self._sources[chunk]

    def close(self) -> None:
        self.searcher.close()
