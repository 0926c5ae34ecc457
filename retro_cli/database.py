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
from typing import TYPE_CHECKING

from retro_cli.chunks.where import parse_where
from retro_cli.errors import UsageError
from retro_cli.query.retrieve import Answer, Hit, Retriever
from retro_cli.store.layout import Layout

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from retro_cli.embeddings.encoder import Encoder


class Database:
    """A retrieval database opened for reading: one generation, for as long as it is open."""

    def __init__(self, layout: Layout) -> None:
        self.retriever = Retriever(layout)
        self._encoder: Encoder | None = None

    @classmethod
    def open(cls, path: str | Path) -> Database:
        """Open the database at ``path``. Raises UsageError, NotBuiltYet or IntegrityError."""
        if not str(path):
            raise UsageError("the database has no name", "name its folder")
        return cls(Layout(Path(path)))

    @classmethod
    def build(cls, path: str | Path, inputs: Sequence[str], **settings: object) -> Database:
        """Create or update the database at ``path`` from files, folders, globs or URLs; open it.

        ``settings`` are those of ``retro.toml``, such as ``tokens=64`` or ``encoder="wordllama"``.
        Runs the stages that the commands run, with their errors.
        """
        from retro_cli import pipeline
        from retro_cli.index.stage import IndexJob

        layout = Layout(Path(path))
        pipeline.chunk(layout, inputs, settings)
        pipeline.embed(layout)
        pipeline.index(layout, IndexJob(layout))
        return cls(layout)

    @property
    def encoder(self) -> Encoder:
        """The encoder that made the index, loaded for queries on first use.

        Raises EncoderMismatch if its weights are not the ones the index was made with.
        """
        if self._encoder is None:
            from retro_cli.query.encoding import query_encoder

            self._encoder = query_encoder(self.retriever)
        return self._encoder

    def query(
        self,
        text: str,
        k: int = 10,
        *,
        source: Sequence[str] = (),
        where: str = "",
        level: str = "chunk",
    ) -> tuple[Hit, ...]:
        """The ``k`` nearest chunks of ``text``. See ``retro query`` for the options."""
        return self.answer([text], k, source=source, where=where, level=level)[0].hits

    def answer(
        self,
        texts: Sequence[str],
        k: int = 10,
        *,
        source: Sequence[str] = (),
        where: str = "",
        level: str = "chunk",
        nprobe: int | None = None,
    ) -> list[Answer]:
        """One Answer a text, all searched together."""
        conditions = parse_where(where) if where else []
        selection = self.retriever.select(source, conditions)
        vectors = self.encoder.encode_queries(list(texts))
        return self.retriever.search(vectors, k, selection=selection, level=level, nprobe=nprobe)

    def search(self, vectors: npt.NDArray[np.float32], k: int = 10) -> list[Answer]:
        """One Answer a row of ``vectors``: (n, dim) float32 unit rows."""
        return self.retriever.search(vectors, k)

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
