"""Search an open generation: vectors in, chunks with their continuations and sources out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live
from retro_cli.chunks.rows import HELD_BYTES, Chunk, ChunkRows
from retro_cli.chunks.where import Condition
from retro_cli.config import load_settings
from retro_cli.errors import EncoderMismatch, UsageError
from retro_cli.index.bitmaps import load_bitmap, read_bitmap
from retro_cli.index.catalogue import excluded_rows, generation_chunks, hold_generation
from retro_cli.index.generation import Generation
from retro_cli.index.search import Searcher
from retro_cli.index.spread import Helpers
from retro_cli.index.vectors import VectorPart, Vectors
from retro_cli.query.documents import DocumentSpans
from retro_cli.query.hits import Answer, Hit, Part
from retro_cli.query.select import Selection, matching_rows, shown_documents
from retro_cli.store.here import all_here
from retro_cli.store.layout import Layout

if TYPE_CHECKING:
    from retro_cli.lexical.search import LexicalSearcher

__all__ = ["Answer", "Hit", "Part", "Retriever"]

Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.bool_]


class Retriever:
    """A generation opened for search. Immutable: a newer generation needs a new Retriever.

    Until it is closed its files stay, however many generations come after it.
    """

    def __init__(
        self, layout: Layout, held_bytes: int = HELD_BYTES, helpers: Helpers | None = None
    ) -> None:
        """held_bytes: of texts that were read and are kept. helpers: who scan the segments."""
        load_settings(layout)  # refuses what a newer version wrote
        self.layout = layout
        self.generation: Generation
        self.generation, self._hold = hold_generation(layout.index)
        made_of = (self.generation.chunks, self.generation.dead)
        segments = [layout.index / each.file.name for each in self.generation.segments]
        all_here([*segments, *(layout.index / file.name for file in made_of)])
        self.manifest = generation_chunks(layout.index, self.generation)
        self.aliases = Aliases.load(layout.chunks, self.manifest.aliases)
        self.held_bytes, self.helpers = held_bytes, helpers
        self.rows = ChunkRows(layout.chunks, self.manifest.parts, held_bytes)
        self._own: Bits | None = None
        self._live: Bits | None = None
        self._lexical: LexicalSearcher | None = None
        self.vectors = Vectors(self._vector_parts(), self.generation.encoder.dim)
        dead = read_bitmap(layout.index, self.generation.dead)
        self._searcher = Searcher(
            segments,
            self.vectors,
            dead,
            self.generation.nprobe,
            self.generation.candidates,
            helpers,
        )

    def _vector_parts(self) -> list[VectorPart]:
        return [
            VectorPart(
                str(self.layout.embeddings / self.generation.vectors[part.name]),
                part.base,
                part.rows,
            )
            for part in self.manifest.parts
            if part.name in self.generation.vectors
        ]

    @property
    def searcher(self) -> Searcher:
        """What finds the rows: an answer's chunks and names come from elsewhere."""
        return self._searcher

    @property
    def own(self) -> Bits:
        """(next_id,) the rows that may be shown: of live documents, and kept out by no rule."""
        if self._own is None:
            excluded = excluded_rows(self.layout.index, self.generation, self.manifest.next_id)
            self._own = own_live(self.manifest) & ~excluded
        return self._own

    def _may_continue(self, row: int) -> bool:
        """A live document's chunks are alive together, so only a rule can take the next one."""
        return self.generation.filtered.rows is None or bool(self.own[row])

    def live(self) -> Bits:
        """(next_id,) the rows that a search may return."""
        if self._live is None:
            total = self.manifest.next_id
            folder, generation = self.layout.index, self.generation
            indexed = load_bitmap(folder, generation.indexed, total)
            self._live = indexed & ~load_bitmap(folder, generation.dead, total)
        return self._live

    @property
    def lexical(self) -> LexicalSearcher:
        """The words of this generation's chunks. Raises NotBuiltYet without a lexical index."""
        if self._lexical is None:
            from retro_cli.lexical.search import open_searcher

            self._lexical = open_searcher(self.layout, self.generation.chunks.sha256)
        return self._lexical

    @cached_property
    def documents(self) -> DocumentSpans:
        return DocumentSpans(self.layout.chunks, self.manifest)

    def check_encoder(self, fingerprint: str, name: str) -> None:
        """Raises EncoderMismatch unless queries are encoded as the chunks were."""
        built_with = self.generation.encoder
        if fingerprint != built_with.fingerprint():
            raise EncoderMismatch(
                f"the index was made with {built_with.name}, and {name} has other weights "
                "or settings",
                "query with the same encoder, or embed and index again with this one",
            )

    def select(self, sources: Sequence[str], conditions: Sequence[Condition]) -> Selection | None:
        """The rows that a condition lets through, or None when there is none."""
        if not sources and not conditions:
            return None
        return matching_rows(
            self.layout.chunks, self.manifest, self.aliases, self.own, sources, conditions
        )

    def text_before(self, chunk: int) -> str | None:
        """The text of a chunk's document before it; None where some of it was purged."""
        (mine,) = self.rows.get([chunk])
        texts = [row.text for row in self.rows.get(range(chunk - mine.position, chunk))]
        return "".join(texts) if all(texts) else None

    def document_names(self) -> set[str]:
        """The ids of the documents that an answer may name."""
        return shown_documents(self.layout.chunks, self.manifest, self.own)

    def search(
        self,
        queries: Floats,
        k: int,
        *,
        selection: Selection | None = None,
        level: str = "chunk",
        nprobe: int | None = None,
    ) -> list[Answer]:
        """The ``k`` nearest chunks (or documents, by their best chunk) of each query.

        queries: (n, dim) float32 unit rows. Fewer than ``k`` hits come back only if fewer
        chunks (documents) are alive and allowed.
        """
        dim = self.generation.encoder.dim
        if queries.ndim != 2 or queries.shape[1] != dim:
            raise EncoderMismatch(
                f"query vectors of shape {queries.shape}, the index has {dim} dimensions",
                "encode the queries with the encoder that retro status names",
            )
        if k < 1:
            raise UsageError(f"-k {k}", "ask for at least one result")
        fetch = min(k, max(self.generation.rows, 1))
        allowed = None if selection is None else selection.search
        while True:
            found = self._searcher.search(queries, fetch, allowed=allowed, nprobe=nprobe)
            answers = [
                self._answer(ids, scores, k, level, selection)
                for ids, scores in zip(found.ids, found.scores, strict=True)
            ]
            exhausted = fetch >= self.generation.rows
            if level == "chunk" or exhausted or all(len(a.hits) >= k for a in answers):
                return [
                    Answer(answer.hits, {**answer.explanation, **found.stats}) for answer in answers
                ]
            fetch = min(4 * fetch, self.generation.rows)

    def nearest(
        self, queries: Floats, k: int, allowed: Bits | None = None, nprobe: int | None = None
    ) -> tuple[npt.NDArray[np.int64], Floats]:
        """(q, k) ids of the nearest index entries, -1 where there are fewer, and their cosines.

        A merged row is found by the row that stands for it: see ``shown_rows``. allowed:
        (next_id,) the entries to search among; all by default.
        """
        found = self._searcher.search(queries, k, allowed=allowed, nprobe=nprobe)
        return found.ids, found.scores

    def shown_rows(self, queries: Floats, k: int) -> list[int]:
        """Every row that answers to these queries would show, merged ones in their own name."""
        ids = np.unique(self.nearest(queries, k)[0])
        return [row for found in ids[ids >= 0].tolist() for row in self._living(found, None)]

    def hits(
        self,
        ids: npt.NDArray[np.int64],
        scores: npt.NDArray[np.floating],
        selection: Selection | None = None,
    ) -> tuple[Hit, ...]:
        """The hits of some index entries that may be shown, in their order."""
        return self._answer(ids, scores, len(ids), "chunk", selection).hits

    def shown_as(
        self, ids: npt.NDArray[np.int64], selection: Selection | None = None
    ) -> npt.NDArray[np.int64]:
        """(n,) the row in whose name each index entry is shown, -1 for none."""
        if not len(self.aliases.member):
            return np.where(self.live()[ids], ids, -1)
        rows = [self._living(chunk, selection) for chunk in ids.tolist()]
        return np.array([members[0] if members else -1 for members in rows], np.int64)

    def _answer(
        self,
        ids: npt.NDArray[np.int64],
        scores: npt.NDArray[np.floating],
        k: int,
        level: str,
        selection: Selection | None,
    ) -> Answer:
        found = [(int(i), float(s)) for i, s in zip(ids, scores, strict=True) if i >= 0]
        shown = [self._living(chunk_id, selection) for chunk_id, _ in found]
        if not all(shown):  # a mask is wrong (retro filter verify says so): show nothing of it
            found = [pair for pair, members in zip(found, shown, strict=True) if members]
            shown = [members for members in shown if members]
        chunks = self.rows.get([members[0] for members in shown])
        picked = list(range(len(found)))
        if level == "doc":
            best: dict[int, int] = {}  # by the document's first chunk: names may repeat over files
            for index, chunk in enumerate(chunks):
                best.setdefault(chunk.id - chunk.position, index)
            picked = list(best.values())
        picked = picked[:k]
        following = [chunks[index].id + 1 for index in picked if chunks[index].has_next]
        following = [row for row in following if self._may_continue(row)]
        texts = {chunk.id: chunk.text for chunk in self.rows.get(following)}
        hits = tuple(
            self._hit(rank, found[index][1], chunks[index], shown[index][1:], texts)
            for rank, index in enumerate(picked, 1)
        )
        return Answer(hits, {})

    def _hit(
        self, rank: int, score: float, chunk: Chunk, others: list[int], texts: dict[int, str]
    ) -> Hit:
        also = tuple((other.document, other.source) for other in self.rows.get(others))
        return Hit(
            rank=rank,
            score=score,
            chunk=chunk.id,
            document=chunk.document,
            source=chunk.source,
            title=chunk.title,
            text=chunk.text,
            continuation=texts.get(chunk.id + 1, ""),
            start=chunk.start,
            end=chunk.end,
            position=chunk.position,
            also=also,
        )

    def _living(self, canonical: int, selection: Selection | None) -> list[int]:
        """The live, selected rows that a search result stands for, itself first if it is one."""
        if not len(self.aliases.member):
            return [canonical]
        rows = [canonical, *self.aliases.members_of(canonical)]
        return [row for row in rows if (self.own if selection is None else selection.own)[row]]

    def close(self) -> None:
        if self._lexical is not None:
            self._lexical.close()
        self._searcher.close()
        self.rows.close()
        self._hold.close()
