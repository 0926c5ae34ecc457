"""An answerer by the name of its reader, with the model or the server that it needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from retro_cli.asking.answerer import Answerer
from retro_cli.asking.belief import Belief
from retro_cli.asking.endpoint import Endpoint
from retro_cli.asking.extracting import Extracting
from retro_cli.asking.span_reader import SpanReader
from retro_cli.asking.template import Template
from retro_cli.asking.writing import CLOSED_BOOK, IN_CONTEXT, Live, Serving, Writing
from retro_cli.embeddings.encoder import Encoder
from retro_cli.errors import UsageError
from retro_cli.generate.live import LiveRetriever
from retro_cli.models.base import DEFAULT_BASE
from retro_cli.models.language import LanguageModel, open_language_model
from retro_cli.query.retrieve import Retriever
from retro_cli.readers.closed_book import ClosedBookReader
from retro_cli.readers.fitting import check_fits
from retro_cli.readers.open import READERS, OpenReader, ReaderOptions, open_reader
from retro_cli.reading.evidence import NeighbourTokens

EXTRACT = "extract"
_PLAIN = (EXTRACT, IN_CONTEXT, CLOSED_BOOK)


@dataclass(frozen=True)
class AnswerOptions:
    """reader: extract, or one of READERS; None is extract, and in-context with an endpoint.

    reading: the reader's options. max_tokens: of an answer. context_tokens: of all passages.
    """

    reader: str | None = None
    reading: ReaderOptions = field(default_factory=ReaderOptions)
    endpoint: Endpoint | None = None
    template: Template = field(default_factory=Template)
    belief: Belief = field(default_factory=Belief)
    max_tokens: int = 64
    context_tokens: int = 1024

    @property
    def name(self) -> str:
        return self.reader or (EXTRACT if self.endpoint is None else IN_CONTEXT)

    @property
    def model_name(self) -> str:
        """The model that answers, as it was named or as the reader's own default."""
        if self.endpoint is not None:
            return self.endpoint.model or self.endpoint.url
        return str(self.reading.model or (DEFAULT_BASE if self.name in _PLAIN else self.name))

    @property
    def closed_book(self) -> bool:
        """Whether no database is needed."""
        return self.name == CLOSED_BOOK


class Opened(Protocol):
    """What an answerer needs of an open database."""

    @property
    def encoder(self) -> Encoder:
        """What made its vectors."""

    @property
    def retriever(self) -> Retriever:
        """Its generation."""


def open_answerer(options: AnswerOptions, database: Opened | None) -> Answerer:
    """database: None for a closed book.

    Raises UsageError for a reader that is not known or that a server cannot be, and what loading
    the model raises.
    """
    name = options.name
    if options.endpoint is not None:
        return _server(name, options, options.endpoint)
    if name == EXTRACT:
        if database is None:
            raise UsageError("extract reads evidence", "name a database")
        return _extracting(options, database.encoder)
    if name not in READERS:
        raise UsageError(f"--reader {name}", f"choose one of {', '.join([EXTRACT, *READERS])}")
    tokens = options.max_tokens, options.context_tokens
    if name in _PLAIN:
        reader = ClosedBookReader(_model(name, options.reading))
        return Writing(name, reader, LiveRetriever, options.template, *tokens)
    opened = open_reader(name, options.reading)
    live = _live(opened, None if database is None else database.retriever)
    return Writing(name, opened.reader, live, options.template, *tokens)


def _server(name: str, options: AnswerOptions, endpoint: Endpoint) -> Serving:
    if name not in (IN_CONTEXT, CLOSED_BOOK):
        raise UsageError(
            f"a server cannot be read with --reader {name}", f"{IN_CONTEXT} or {CLOSED_BOOK} can"
        )
    if options.reading.model is not None:
        raise UsageError("--model is a model here", "name the server's with --endpoint-model")
    return Serving(
        endpoint, options.template, options.max_tokens, options.context_tokens,
        reads=name == IN_CONTEXT,
    )  # fmt: skip


def _extracting(options: AnswerOptions, encoder: Encoder) -> Extracting:
    reader = SpanReader(_model(EXTRACT, options.reading))
    return Extracting(reader, encoder.encode_queries, encoder.encode_documents, options.belief)


def _model(reader: str, reading: ReaderOptions) -> LanguageModel:
    name = reading.model or DEFAULT_BASE
    check_fits(reader, name, [EXTRACT, *READERS])
    model: LanguageModel = reading.memo(
        (name, reading.device), lambda: _opened(str(name), reading.device)
    )
    return model


@lru_cache(maxsize=1)
def _opened(name: str, device: str) -> LanguageModel:
    return open_language_model(name, device=device)


def _live(opened: OpenReader, retriever: Retriever | None) -> Live:
    """What makes retrievers for a reader: of texts, or of its own tokens."""
    if opened.tokenizer is None or retriever is None:
        return LiveRetriever
    tokens = NeighbourTokens(retriever, opened.tokenizer, opened.hit_tokens)
    return lambda find: LiveRetriever(find, tokens)
