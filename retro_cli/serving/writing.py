"""Texts and answers by language models that stay open between requests."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

from retro_cli.asking.answerer import Answerer
from retro_cli.asking.belief import Belief
from retro_cli.asking.open import EXTRACT, AnswerOptions, open_answerer
from retro_cli.database import Database
from retro_cli.errors import UsageError
from retro_cli.generate.decoding import Decoding
from retro_cli.generate.live import newest_retriever
from retro_cli.generate.loop import generate
from retro_cli.generate.trace import TracedToken
from retro_cli.models.quiet import without_bars
from retro_cli.query.retrieve import Hit
from retro_cli.readers.fitting import check_fits
from retro_cli.readers.interface import Evidence, RenewedRetriever
from retro_cli.readers.open import READERS, OpenReader, ReaderOptions, open_reader
from retro_cli.serving.bodies import Prompt, Question
from retro_cli.serving.searching import Finders, evidence
from retro_cli.serving.settings import ServeSettings
from retro_cli.serving.streams import Stop, Tell

KEPT_MODELS = 2
CLOSED_BOOK = "closed-book"


class Models:
    """What was opened last, by key. Of one lane: it is asked by one thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def __call__(self, key: Hashable, opened: Callable[[], Any]) -> Any:
        if key not in self._kept:
            while len(self._kept) >= KEPT_MODELS:  # before: two large models need not fit besides
                self._kept.popitem(last=False)
            self._kept[key] = opened()
        self._kept.move_to_end(key)
        return self._kept[key]


class Writer:
    """Continues texts and answers questions, in one lane."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._models = Models()
        self._finders = Finders()

    def generate(self, prompt: Prompt, database: Database, tell: Tell, stop: Stop) -> None:
        """Tells each token with what it read, and in the end the whole.

        Raises UsageError, what opening the model does, Gone and TooSlow.
        """
        decoding = decoding_of(prompt)
        with without_bars():
            opened = open_reader(prompt.reader, self._options(prompt))
        for note in opened.notes:
            tell({"event": "note", "note": note})
        known: set[int] = set()

        def watch(token: TracedToken) -> None:
            stop.check()
            read = {hit.chunk for hit in token.evidence.hits} if token.evidence else set()
            tell({"event": "token", **token.to_json(read - known)})
            known.update(read)

        retriever = _Watched(self._retriever(prompt.reader, database, opened, tell), stop)
        found = generate(opened.reader, retriever, prompt.prompt, decoding, watch)
        generation = database.retriever.generation.number
        tell({"event": "end", "generation": generation, **found.to_json()})

    def _options(self, prompt: Prompt) -> ReaderOptions:
        return replace(
            self._reading(prompt.reader),
            k=prompt.k,
            stride=prompt.retrieval_step,
            record=True,
            doc_temperature=prompt.doc_temperature,
        )

    def _reading(self, reader: str) -> ReaderOptions:
        model = next((m for m in self._settings.models if _fits(reader, m)), None)
        return ReaderOptions(model, device=self._settings.device, memo=self._models)

    def _retriever(
        self, reader: str, database: Database, opened: OpenReader, tell: Tell
    ) -> RenewedRetriever | None:
        if reader == CLOSED_BOOK:
            return None
        return newest_retriever(
            database, opened, lambda note: tell({"event": "note", "note": note})
        )

    def ask(self, asked: Question, database: Database) -> dict[str, Any]:
        """The answer, with its citations. Raises UsageError, EndpointError."""
        endpoint = None if asked.reader == EXTRACT else self._settings.endpoint
        chosen = AnswerOptions(
            asked.reader,
            ReaderOptions() if endpoint else self._reading(asked.reader or EXTRACT),
            endpoint,
            belief=Belief() if asked.least is None else Belief(least=asked.least),
            max_tokens=asked.max_tokens,
        )
        with without_bars():
            answerer: Answerer = open_answerer(chosen, None if chosen.closed_book else database)
        hits: tuple[Hit, ...] = ()
        if answerer.reads:
            hits = evidence(self._finders, asked, database).hits
        reply = answerer.answer(asked.question, hits)
        return {"generation": database.retriever.generation.number, **reply.to_json()}

    def close(self) -> None:
        self._finders.close()


class _Watched:
    """A retriever that is asked before every step, and then asks whether to go on: so also what
    tells its tokens only in the end, as beams do, can be stopped."""

    def __init__(self, retriever: RenewedRetriever | None, stop: Stop) -> None:
        """retriever: None finds nothing."""
        self._retriever, self._stop = retriever, stop

    def search(self, queries: Sequence[str], k: int) -> list[Evidence]:
        self._stop.check()
        return [] if self._retriever is None else self._retriever.search(queries, k)

    def renewed(self) -> Callable[[Hit], bool] | None:
        self._stop.check()
        return None if self._retriever is None else self._retriever.renewed()


def _fits(reader: str, model: str) -> bool:
    try:
        check_fits(reader, model, [EXTRACT, *READERS])
    except UsageError:
        return False
    return True


def decoding_of(prompt: Prompt) -> Decoding:
    """Raises UsageError for settings that choose nothing."""
    return Decoding(
        prompt.max_tokens,
        prompt.temperature,
        prompt.top_k,
        prompt.top_p,
        prompt.seed,
        prompt.beams,
        prompt.length_penalty,
        prompt.decoding,
    )
