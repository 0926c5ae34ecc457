"""The Python API: the same nouns as the command line.

from retro_cli import Database
with Database.open("wiki.db") as db:
    for hit in db.query("who wrote Dune?", k=5):
        print(hit.score, hit.source, hit.text)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from retro_cli.chunks.rows import HELD_BYTES
from retro_cli.chunks.where import parse_where
from retro_cli.index.catalogue import current_name
from retro_cli.query.retrieve import Answer, Hit, Retriever
from retro_cli.query.search import Search
from retro_cli.store.here import newest_root
from retro_cli.store.layout import Layout, database_folder, local_folder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from retro_cli.chunks.report import ChunkReport
    from retro_cli.embeddings.encoder import Encoder
    from retro_cli.embeddings.stage import EmbedReport
    from retro_cli.index.spread import Helpers
    from retro_cli.index.stage import IndexReport
    from retro_cli.query.finder import Finder, Reranker
    from retro_cli.status import Status
    from retro_cli.verify import Verification


class Database:
    """A retrieval database opened for reading: one generation, until it is closed or renewed."""

    def __init__(
        self,
        layout: Layout,
        query_encoder: str | Path = "",
        held_bytes: int = HELD_BYTES,
        helpers: Helpers | None = None,
    ) -> None:
        """query_encoder: one that was trained apart, for the documents as they are encoded.
        held_bytes: of texts that were read and are kept, for a process that answers many queries.
        helpers: who scan the segments, such as ``engine.replicas.Replicas``.
        """
        self.retriever = Retriever(layout, held_bytes, helpers)
        self._query_encoder = str(query_encoder)
        self._encoder: Encoder | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        query_encoder: str | Path = "",
        held_bytes: int = HELD_BYTES,
        helpers: Helpers | None = None,
    ) -> Database:
        """Open the database at ``path``, a folder or a URL such as ``s3://bucket/wiki.db``.

        Raises UsageError, NotBuiltYet or IntegrityError; RemoteError if a URL cannot be reached.
        """
        return cls(Layout(database_folder(path)), query_encoder, held_bytes, helpers)

    @classmethod
    def build(
        cls, path: str | Path, inputs: str | Path | Sequence[str | Path], **settings: Any
    ) -> Database:
        """Create or update the database at ``path`` from files, folders, globs or URLs; open it.

        ``settings`` are those of ``retro.toml``, such as ``tokens=64`` or ``encoder="wordllama"``.
        Runs the stages that the commands run, with their errors.
        """
        cls.chunk(path, inputs, **settings)
        cls.embed(path)
        cls.index(path)
        return cls.open(path)

    @staticmethod
    def chunk(
        path: str | Path, inputs: str | Path | Sequence[str | Path], **settings: Any
    ) -> ChunkReport:
        """The first stage, as ``retro chunk``: documents into chunks, or only what changed."""
        from retro_cli import pipeline

        named = [inputs] if isinstance(inputs, str | Path) else inputs
        return pipeline.chunk(Layout(local_folder(path)), [str(each) for each in named], settings)

    @staticmethod
    def embed(path: str | Path, **settings: Any) -> EmbedReport:
        """The second stage, as ``retro embed``: chunks into vectors."""
        from retro_cli import pipeline

        return pipeline.embed(Layout(local_folder(path)), settings)

    @staticmethod
    def index(path: str | Path, **job: Any) -> IndexReport:
        """The third stage, as ``retro index``; ``job`` are fields of ``IndexJob``."""
        from retro_cli import pipeline
        from retro_cli.index.stage import IndexJob

        layout = Layout(local_folder(path))
        return pipeline.index(layout, IndexJob(layout, **job))

    def status(self) -> Status:
        """What is there, what is stale and why, as ``retro status``."""
        from retro_cli.status import status

        return status(self.retriever.layout)

    def verify(self, sample: int = 64) -> Verification:
        """Check every hash, and derive a sample of vectors again, as ``retro verify``."""
        from retro_cli.verify import verify

        return verify(self.retriever.layout, sample=sample)

    def export(self, out: str | Path, *, vectors: bool = False, with_filtered: bool = False) -> int:
        """Write the chunks to a file, as ``retro export``; their number is returned."""
        from retro_cli.export import export

        layout = self.retriever.layout
        return export(layout, Path(out), vectors=vectors, with_filtered=with_filtered)

    @property
    def encoder(self) -> Encoder:
        """The encoder that made the index, or the one trained against it, for queries.

        Raises EncoderMismatch if its weights are not the ones the index was made with.
        """
        if self._encoder is None:
            from retro_cli.query.encoding import query_encoder

            self._encoder = query_encoder(self.retriever, self._query_encoder)
        return self._encoder

    def prefer(self, query_encoder: Path) -> bool:
        """Encode queries with one that was trained apart, if it was trained for the documents as
        they are encoded here; whether it was."""
        from retro_cli.embeddings.pairing import trained_against

        documents = self.retriever.generation.encoder.fingerprint()
        fits = trained_against(query_encoder)[0] == documents
        if fits:
            self._query_encoder, self._encoder = str(query_encoder), None
        return fits

    def finder(
        self,
        search: Search | None = None,
        *,
        source: Sequence[str] = (),
        where: str = "",
        as_documents: bool = False,
        reranker: Reranker | None = None,
    ) -> Finder:
        """What looks texts up in the chosen way: called with texts and k, it gives Answers.

        as_documents: the texts are pieces of text, encoded as the chunks were, not questions.
        reranker: the model that ``search.rerank`` names, where it is open already.
        Raises UsageError for what cannot be chosen, NotBuiltYet where BM25 is asked for and there
        is no lexical index, and what opening the model does that ``search.rerank`` names.
        """
        from retro_cli.query.finder import Finder

        search = search or Search()
        search.check()
        selection = self.retriever.select(source, parse_where(where) if where else [])

        def encode(texts: list[str]) -> npt.NDArray[np.float32]:
            encoder = self.encoder
            return (encoder.encode_documents if as_documents else encoder.encode_queries)(texts)

        if search.rerank and reranker is None:
            from retro_cli.models.rerank import open_reranker

            reranker = open_reranker(search.rerank)
        return Finder(self.retriever, encode, search, selection, reranker)

    def query(self, text: str, k: int = 5, **how: Any) -> tuple[Hit, ...]:
        """The ``k`` best hits for ``text``; ``how`` is what ``answer`` takes."""
        return self.answer([text], k, **how)[0].hits

    def answer(
        self,
        texts: Sequence[str],
        k: int = 5,
        *,
        source: Sequence[str] = (),
        where: str = "",
        **chosen: Any,
    ) -> list[Answer]:
        """One Answer a text. ``chosen`` are fields of ``Search``, such as retriever="hybrid"."""
        return self.finder(Search(**chosen), source=source, where=where)(texts, k)

    def search(self, vectors: npt.NDArray[np.float32], k: int = 5) -> list[Answer]:
        """One Answer a row of ``vectors``: (n, dim) float32 unit rows."""
        return self.retriever.search(vectors, k)

    @property
    def is_current(self) -> bool:
        """Whether there is no newer generation than the one that is open. Reads one small file; a
        remote place is asked every ten seconds at most."""
        layout = self.retriever.layout
        if newest_root(layout.root) != layout.root:
            return False
        return current_name(layout.index) == self.retriever.generation.file_name

    def renew(self) -> bool:
        """Open the newest generation in place of this one; whether it is another.

        Raises as ``open`` does, and then leaves the old one open.
        """
        if self.is_current:
            return False
        before = self.retriever
        newest = Layout(newest_root(before.layout.root, again=True))
        self.retriever = Retriever(newest, before.held_bytes, before.helpers)
        if before.generation.encoder != self.retriever.generation.encoder:
            self._encoder = None
        before.close()
        return True

    def close(self) -> None:
        self.retriever.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
