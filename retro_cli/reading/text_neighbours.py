"""Look up the neighbours of texts outside the database, cut into a model's own chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache, partial
from itertools import islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.config import fingerprint
from retro_cli.corpus import list_inputs
from retro_cli.embeddings.encoder import Encoder
from retro_cli.errors import NotBuiltYet, UnreadableInput
from retro_cli.events import SILENT, Progress
from retro_cli.query.encoding import document_encoder
from retro_cli.query.overfetch import surviving
from retro_cli.query.retrieve import Retriever
from retro_cli.query.table import (
    NONE,
    NeighbourManifest,
    NeighbourReport,
    NeighbourSettings,
    TextsMade,
    Work,
    found_columns,
    write_table,
)
from retro_cli.query.twins import Copies, Documents, Entries, StoredTokens
from retro_cli.reading.text_table import text_schema
from retro_cli.reading.texts import Piece, Text, cut, read_texts
from retro_cli.store.layout import Layout

PART_BYTES = 1 << 20  # of text: some four thousand chunks of 64 tokens
BLOCK = 1024  # chunks encoded and searched together
_KEPT = 1 << 15  # rows whose tokens are held
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TextsToRead:
    """Texts and how they are cut: into rows of ``length`` tokens, parts of ``part_bytes``.

    most: only so many documents, the first.
    """

    specs: Sequence[str]
    tokenizer: ChunkTokenizer
    length: int
    part_bytes: int = PART_BYTES
    most: int | None = None

    def read(self, progress: Progress = SILENT) -> Iterator[Text]:
        return islice(read_texts(self.specs, progress), self.most)


@dataclass(frozen=True)
class Group:
    """The documents of one part, whole; the first is number ``first`` of all."""

    number: int
    first: int
    texts: Sequence[Text]

    @property
    def bytes(self) -> int:
        return sum(_size(text) for text in self.texts)

    @property
    def identity(self) -> str:
        return fingerprint([self.first, [[text.name, text.hash.hex()] for text in self.texts]])


def grouped(texts: Iterable[Text], most: int) -> Iterator[Group]:
    """Documents in order, a group as soon as it has ``most`` bytes: the same ones every time."""
    number = first = size = 0
    held: list[Text] = []
    for text in texts:
        held.append(text)
        size += _size(text)
        if size >= most:
            yield Group(number, first, held)
            number, first, size, held = number + 1, first + len(held), 0, []
    if held:
        yield Group(number, first, held)


def _size(text: Text) -> int:
    return len(text.text.encode("utf-8", "surrogatepass"))


def find_text_neighbours(
    layout: Layout,
    name: str,
    settings: NeighbourSettings,
    texts: TextsToRead,
    progress: Progress = SILENT,
) -> NeighbourReport:
    """Look up the neighbours of every chunk of the texts. The caller holds the lock.

    Never among them: chunks of a document of the database with the same text as the chunk's own,
    and what rules keep out. A run that was killed goes on where it stopped. Raises InputNotFound
    where there is no text, NotBuiltYet where no chunk may be found, EncoderMismatch where the
    database's encoder is not here, UsageError for the name of a table of the database's chunks.
    """
    settings.check()
    retriever = Retriever(layout)
    try:
        generation = retriever.generation
        if not generation.rows:
            raise NotBuiltYet(
                f"{layout.root} holds no chunk that may be a neighbour",
                "chunk, embed and index a corpus first",
            )
        search = _Search(retriever, settings, texts)
        by = [generation.to_json(), asdict(settings), texts.tokenizer.sha256, texts.length]
        work, documents = [], 0
        for group in grouped(texts.read(progress), texts.part_bytes):
            key = fingerprint([*by, group.identity])
            rows = partial(search.batches, group.number, group.identity)
            work.append(Work(f"part-{group.number:06d}", key, group.bytes, rows))
            documents += len(group.texts)
        made = TextsMade(
            texts.tokenizer.sha256,
            texts.length,
            texts.tokenizer.dtype().itemsize,
            generation.encoder.fingerprint(),
            generation.encoder.dim,
            tuple(file.uri for file in list_inputs(texts.specs)),
            documents,
        )
        manifest = NeighbourManifest(name, generation.number, settings, texts=made)
        return write_table(layout, manifest, search.schema, work, "bytes", progress)
    finally:
        retriever.close()


@dataclass(frozen=True)
class _Row:
    document: int
    position: int
    text: Text
    piece: Piece


class _Search:
    """The neighbours of texts. They are read once more, as groups are asked for, in order."""

    def __init__(
        self, retriever: Retriever, settings: NeighbourSettings, texts: TextsToRead
    ) -> None:
        self.retriever, self.settings, self.texts = retriever, settings, texts
        self.schema = text_schema(settings.k, retriever.generation.encoder.dim)
        self.entries = Entries(retriever)
        self.equal = Documents(retriever, self.entries)
        self.copies = Copies(settings.copies, row_tokens(retriever, texts.tokenizer))
        self._groups = grouped(texts.read(), texts.part_bytes)

    @cached_property
    def encoder(self) -> Encoder:
        return document_encoder(self.retriever)

    def batches(self, number: int, identity: str) -> Iterator[tuple[pa.RecordBatch, int]]:
        group = next((group for group in self._groups if group.number == number), None)
        if group is None or group.identity != identity:
            raise UnreadableInput("the texts changed while they were read", "run it again")
        barred = self.equal.entries([text.hash for text in group.texts])
        rows = [
            _Row(group.first + place, position, text, piece)
            for place, text in enumerate(group.texts)
            for position, piece in enumerate(
                cut(text.text, self.texts.tokenizer, self.texts.length)
            )
        ]
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            yield self._batch(block, barred), sum(r.piece.end - r.piece.start for r in block)

    def _batch(self, rows: Sequence[_Row], barred: dict[bytes, Ids]) -> pa.RecordBatch:
        vectors = self.encoder.encode_documents([row.piece.text for row in rows]).astype("<f2")
        # What is looked up is what is stored, as with the database's own chunks.
        neighbours, scores = self._found(rows, vectors.astype(np.float32), barred)
        columns = [
            pa.array([row.document for row in rows], pa.int32()),
            pa.array([row.text.name for row in rows]),
            pa.array([row.position for row in rows], pa.int32()),
            pa.array([row.piece.ids.tobytes() for row in rows]),
            pa.array([row.piece.start for row in rows]),
            pa.array([row.piece.end for row in rows]),
            pa.array([vector.tobytes() for vector in vectors], self.schema.field("vector").type),
            *found_columns(neighbours, scores),
        ]
        return pa.record_batch(columns, schema=self.schema)

    def _found(
        self, rows: Sequence[_Row], vectors: Floats, barred: dict[bytes, Ids]
    ) -> tuple[Ids, Floats]:
        own = [barred.get(row.text.hash) for row in rows]

        def keep(asked: Ids, found: Ids) -> Ids:
            found = found.copy()
            for place, row in enumerate(asked.tolist()):
                if (entries := own[row]) is not None:
                    found[place, np.isin(found[place], entries)] = NONE
            found = self.entries.shown(found)
            bad = found == NONE
            self.copies.mark(lambda place: rows[asked[place]].piece.ids, found, bad)
            found[bad] = NONE
            return found

        neighbours, scores = surviving(self.retriever, vectors, self.settings.k, keep)
        nothing = ~vectors.any(axis=1)  # zeros are near to nothing
        neighbours[nothing], scores[nothing] = NONE, -np.inf
        return neighbours, scores


def row_tokens(
    retriever: Retriever, tokenizer: ChunkTokenizer
) -> Callable[[int], npt.NDArray[np.unsignedinteger]]:
    """The token ids of a database's rows in a model's tokens: stored, or tokenised again."""
    if retriever.manifest.tokenizer_sha256 == tokenizer.sha256:
        return StoredTokens(retriever)

    def read(row: int) -> npt.NDArray[np.unsignedinteger]:
        text = retriever.rows.get([row])[0].text
        ids = tokenizer.raw.encode(text, add_special_tokens=False).ids
        return np.array(ids, dtype=tokenizer.dtype)

    return lru_cache(_KEPT)(read)
