"""A reader by its name, with the model that it needs."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.errors import UsageError
from retro_cli.models.base import DEFAULT_BASE
from retro_cli.models.shipped import DEFAULT_MODEL
from retro_cli.readers.fitting import check_fits
from retro_cli.readers.interface import Reader
from retro_cli.readers.votes import Votes

if TYPE_CHECKING:
    from retro_cli.models.language import LanguageModel
    from retro_cli.query.retrieve import Retriever

# What was opened before under a key, or what the function opens.
Memo = Callable[[Hashable, Callable[[], Any]], Any]


def _anew(_: Hashable, opened: Callable[[], Any]) -> Any:
    return opened()


@dataclass(frozen=True)
class ReaderOptions:
    """What was asked for; None is each reader's own default.

    model: a name or folder. base: where the base of added weights is now. k: hits a look-up.
    stride: tokens between look-ups. record: whether steps say how much was read of each hit.
    doc_temperature: of the documents' prior, for a mixture over documents.
    votes: of knn-lm. database: gives the generation that is open now, for a reader that looks up
    in it what is no text; None without retrieval. memo: keeps the models of a long-lived process.
    """

    model: str | Path | None = None
    base: Path | None = None
    device: str = "auto"
    k: int | None = None
    stride: int | None = None
    record: bool = False
    doc_temperature: float | None = None
    votes: Votes = field(default_factory=Votes)
    database: Callable[[], Retriever] | None = None
    memo: Memo = _anew


@dataclass(frozen=True)
class OpenReader:
    """A reader, and what has to be looked up for it.

    tokenizer, hit_tokens: what cuts a hit's chunk and continuation into the reader's tokens, and
    how many it takes; None and 0 for a reader that reads texts. as_documents: whether its queries
    are pieces of text, encoded as the chunks were, or questions. notes: what a user should know.
    """

    reader: Reader
    tokenizer: ChunkTokenizer | None = None
    hit_tokens: int = 0
    as_documents: bool = False
    notes: tuple[str, ...] = ()


def open_reader(name: str, options: ReaderOptions) -> OpenReader:
    """Raises UsageError for a reader that is not known, or a model that it cannot use, and what
    loading the model raises."""
    if name == "realm":
        raise UsageError(
            "the reader realm continues no text, it fills masks", 'retro fill DB "..."'
        )
    if name not in READERS:
        raise UsageError(f"--reader {name}", f"choose one of {', '.join(READERS)}")
    if options.model is not None:
        check_fits(name, options.model, READERS)
    return READERS[name](options)


def _retro(options: ReaderOptions) -> OpenReader:
    from retro_cli.readers.retro import RetroReader
    from retro_cli.reading.open_model import open_model

    place = options.model or DEFAULT_MODEL, options.base, options.device
    network, tokenizer = options.memo(("retro", *place), partial(open_model, *place))
    reader = RetroReader(
        network, tokenizer.raw, k=options.k, stride=options.stride, record=options.record
    )
    return OpenReader(reader, tokenizer, network.config.retrieved_length, as_documents=True)


def _closed_book(options: ReaderOptions) -> OpenReader:
    from retro_cli.readers.closed_book import ClosedBookReader

    return OpenReader(ClosedBookReader(_causal("closed-book", options)))


def _in_context(options: ReaderOptions) -> OpenReader:
    from retro_cli.readers.in_context import InContextReader

    model = _causal("in-context", options)
    reader = InContextReader(model, k=options.k, stride=options.stride)
    return OpenReader(reader, as_documents=True)


def _causal(name: str, options: ReaderOptions) -> LanguageModel:
    from retro_cli.models.language import open_language_model

    if options.base is not None:
        raise UsageError(f"--base and --reader {name}", "only added weights have a base")
    place = options.model or DEFAULT_BASE, options.device
    opened = partial(open_language_model, place[0], device=place[1], reader=name)
    model: LanguageModel = options.memo(place, opened)
    return model


def _rag(name: str, options: ReaderOptions) -> OpenReader:
    from retro_cli.models.language import CAUSAL, SEQ2SEQ, open_language_model
    from retro_cli.readers.mixture import MixtureReader
    from retro_cli.readers.sequence import SequenceReader
    from retro_cli.readers.trained import trained_to

    place = options.model or DEFAULT_BASE, options.device
    opened = partial(open_language_model, place[0], (CAUSAL, SEQ2SEQ), place[1], reader=name)
    model = options.memo(place, opened)
    kind = SequenceReader if name == "rag-sequence" else MixtureReader
    said = trained_to(options.model)
    k = said.k if options.k is None else options.k
    asked = options.doc_temperature
    temperature = said.doc_temperature if asked is None else asked
    return OpenReader(kind(model, k=k, temperature=temperature))


def _knn_lm(options: ReaderOptions) -> OpenReader:
    from retro_cli.readers.open_nearest import open_knn_lm

    return open_knn_lm(options)


def _memorizing(options: ReaderOptions) -> OpenReader:
    from retro_cli.readers.open_nearest import open_memorizing

    return open_memorizing(options)


READERS: dict[str, Callable[[ReaderOptions], OpenReader]] = {
    "closed-book": _closed_book,
    "in-context": _in_context,
    "retro": _retro,
    "rag-token": partial(_rag, "rag-token"),
    "rag-sequence": partial(_rag, "rag-sequence"),
    "knn-lm": _knn_lm,
    "memorizing": _memorizing,
}
