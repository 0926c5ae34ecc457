"""What is asked of a lane's database, and the answers as JSON values."""

from __future__ import annotations

import base64
from collections import OrderedDict
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli import __version__
from retro_cli.database import Database
from retro_cli.errors import UsageError
from retro_cli.query.finder import Finder, Reranker
from retro_cli.query.given import unit_rows
from retro_cli.query.overfetch import surviving
from retro_cli.query.retrieve import Answer
from retro_cli.query.search import Search, hybrid_if_there
from retro_cli.query.surroundings import surroundings
from retro_cli.query.twins import Documents, Entries
from retro_cli.serving.bodies import Asked, Question
from retro_cli.serving.failures import Refused

KEPT_FINDERS = 8
MOST_MASKED = 1 << 26  # rows in all masks that are kept


class Finders:
    """The finders of one lane that were asked last: what a condition lets through is worked out
    once a generation."""

    def __init__(self, rerank: str = "") -> None:
        self.rerank = rerank
        self._reranker: Reranker | None = None
        self._kept: OrderedDict[Any, Finder] = OrderedDict()
        self._generation = 0

    def get(self, database: Database, search: Search, source: list[str], where: str = "") -> Finder:
        """Raises what ``Database.finder`` does."""
        generation = database.retriever.generation
        if generation.number != self._generation:
            self.close()
            self._generation = generation.number
        key = search, tuple(source), where
        if key not in self._kept:
            reranker = self._opened() if search.rerank else None
            self._kept[key] = database.finder(search, source=source, where=where, reranker=reranker)
        self._kept.move_to_end(key)
        masked = max(1, database.retriever.manifest.next_id) * 2
        while len(self._kept) > max(1, min(KEPT_FINDERS, MOST_MASKED // masked)):
            self._kept.popitem(last=False)[1].close()
        return self._kept[key]

    def _opened(self) -> Reranker:
        if self._reranker is None:
            from retro_cli.models.rerank import open_reranker

            self._reranker = open_reranker(self.rerank)
        return self._reranker

    def close(self) -> None:
        for finder in self._kept.values():
            finder.close()
        self._kept.clear()


def query(finders: Finders, asked: Asked, database: Database) -> dict[str, Any]:
    """The hits of a text or a vector. Raises UsageError, NotBuiltYet, EncoderMismatch."""
    if (asked.text is None) == (asked.vector is None):
        raise UsageError("give one of text and vector", '{"text": "some words"}')
    if asked.text is not None and not asked.text.strip():
        raise UsageError("the query is empty", '{"text": "some words"}')
    if asked.rerank and not finders.rerank:
        raise UsageError("the server has no model to rerank with", "retro serve --rerank MODEL")
    find = finders.get(database, asked.search(finders.rerank), asked.source, asked.where)
    if asked.vector is not None:
        row = unit_rows(numbers(asked.vector), "vector")
        (answer,) = find.vectors(row, asked.k)
    else:
        (answer,) = find([asked.text or ""], asked.k)
    return _answered(database, answer, asked.explain)


def numbers(vector: list[float] | str) -> npt.NDArray[Any]:
    """Of a query's vector. Raises UsageError for what is no base64 of float32."""
    if not isinstance(vector, str):
        return np.array(vector)
    try:
        return np.frombuffer(base64.b64decode(vector, validate=True), "<f4")
    except ValueError as error:
        raise UsageError(f"vector is no base64 of float32 ({error})", "or give numbers") from error


def _answered(database: Database, answer: Answer, explain: bool) -> dict[str, Any]:
    value: dict[str, Any] = {
        "generation": database.retriever.generation.number,
        "metric": answer.metric,
        "hits": [hit.to_json() for hit in answer.hits],
    }
    return {**value, "explanation": answer.explanation} if explain else value


def evidence(finders: Finders, asked: Question, database: Database) -> Answer:
    """What is found for a question."""

    def look(search: Search) -> Finder:
        return finders.get(database, search, asked.source, asked.where)

    auto = asked.retriever == "auto"
    find = hybrid_if_there(look) if auto else look(Search(asked.retriever))
    return find([asked.question], asked.k)[0]


def show(chunk: int, context: int, database: Database) -> dict[str, Any]:
    """A chunk in its document. Raises Refused for one that may not be shown, as for one that does
    not exist: what a rule takes is not told from what never was."""
    gone = Refused(404, f"there is no chunk {chunk} that may be shown", "query gives their ids")
    try:
        found = surroundings(database.retriever, chunk, context)
    except UsageError:
        raise gone from None
    if not found.alive:
        raise gone
    return found.to_json()


class Neighbours:
    """The nearest chunks of a chunk, none of its own document, as ``retro neighbours`` has them."""

    def __init__(self) -> None:
        self._generation = 0

    def __call__(self, chunk: int, k: int, database: Database) -> dict[str, Any]:
        """Raises Refused for a chunk that may not be shown."""
        show(chunk, 0, database)
        retriever = database.retriever
        if retriever.generation.number != self._generation:
            self._entries = Entries(retriever)
            self._documents = Documents(retriever, self._entries)
            self._generation = retriever.generation.number
        keep = partial(self._keep, np.array([chunk]))
        vector = retriever.vectors.gather(self._entries.canonical[[chunk]])
        ids, scores = surviving(retriever, vector, k, keep)
        there = ids[0] >= 0
        hits = retriever.hits(ids[0][there], scores[0][there])
        return {"chunk": chunk, **_answered(database, Answer(hits, {}), False)}

    def _keep(self, own: Any, asked: Any, found: Any) -> Any:
        bad = self._documents.same(found, own[asked])
        shown = self._entries.shown(found)
        shown[bad] = -1
        return shown


def status(database: Database) -> dict[str, Any]:
    """As ``retro status --json``, without the places of files."""
    found = database.status()
    return {
        "version": __version__,
        "generation": database.retriever.generation.number,
        "bytes": found.bytes,
        "settings": asdict(found.settings),
        "stages": [asdict(stage) for stage in found.stages],
    }
