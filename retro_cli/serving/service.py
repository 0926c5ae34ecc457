"""What a server can do, each in its lane: for HTTP and for the Model Context Protocol alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from retro_cli.database import Database
from retro_cli.serving import searching
from retro_cli.serving.bodies import Asked, Prompt, Question
from retro_cli.serving.lanes import Lane
from retro_cli.serving.settings import ServeSettings
from retro_cli.serving.streams import Stop, Streamed, Tell

if TYPE_CHECKING:
    from retro_cli.index.spread import Helpers
    from retro_cli.serving.writing import Writer

T = TypeVar("T")
HELD_BYTES = 1 << 27  # of texts: all of 300,000 chunks, or those that are asked for most


def _without_helpers() -> None:
    """One query gains little from a second thread of Faiss, which then spins for the next one."""
    import faiss

    faiss.omp_set_num_threads(1)


class Service:
    """Three lanes: what is quick, what reads whole tables or reranks, and what models write."""

    def __init__(self, settings: ServeSettings, helpers: Helpers | None = None) -> None:
        """helpers: who scan the index's segments for queries."""
        limits = settings.limits
        self.settings, self._helpers = settings, helpers
        self.quick = Lane(
            "quick", self._holding, limits.waiting, limits.query_seconds, _without_helpers
        )
        self.tables = self._lane("tables", limits.waiting_for_tables, limits.table_seconds)
        self.models = self._lane("models", limits.waiting_for_models, limits.model_seconds)
        self._finders = searching.Finders()
        self._reranking = searching.Finders(settings.rerank)
        self._neighbours = searching.Neighbours()
        self._writer: Writer | None = None

    def _lane(self, name: str, waiting: int, seconds: float) -> Lane:
        return Lane(name, self.opened, waiting, seconds)

    def _holding(self) -> Database:
        settings = self.settings
        return Database.open(settings.db, settings.query_encoder, HELD_BYTES, self._helpers)

    def opened(self) -> Database:
        """Raises UsageError, NotBuiltYet or IntegrityError."""
        return Database.open(self.settings.db, self.settings.query_encoder)

    async def query(self, asked: Asked) -> dict[str, Any]:
        lane = self.tables if asked.rerank else self.quick
        finders = self._reranking if asked.rerank else self._finders
        return await lane.run(lambda database: searching.query(finders, asked, database))

    async def show(self, chunk: int, context: int) -> dict[str, Any]:
        return await self.quick.run(lambda database: searching.show(chunk, context, database))

    async def neighbours(self, chunk: int, k: int) -> dict[str, Any]:
        return await self.tables.run(lambda database: self._neighbours(chunk, k, database))

    async def slowly(self, work: Callable[[Database], T]) -> T:
        """What reads or writes whole tables."""
        return await self.tables.run(work)

    async def ask(self, asked: Question) -> dict[str, Any]:
        return await self.models.run(lambda database: self.writer.ask(asked, database))

    def generate(self, prompt: Prompt, told: Callable[[], None]) -> AsyncIterator[bytes]:
        """Lines of JSON. told: is called for every token. Raises Busy at once."""

        def work(database: Database, tell: Tell, stop: Stop) -> None:
            def counted(value: dict[str, Any]) -> None:
                if value["event"] == "token":
                    told()
                tell(value)

            self.writer.generate(prompt, database, counted, stop)

        return Streamed(self.models, work).lines()

    @property
    def writer(self) -> Writer:
        """Of the models' lane; it imports torch."""
        if self._writer is None:
            from retro_cli.serving.writing import Writer

            self._writer = Writer(self.settings)
        return self._writer

    def close(self) -> None:
        """What has begun ends first."""
        for lane in (self.quick, self.tables, self.models):
            lane.close()
        self._finders.close()
        self._reranking.close()
        if self._writer is not None:
            self._writer.close()
