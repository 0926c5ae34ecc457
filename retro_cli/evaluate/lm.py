"""``retro eval lm``: bits per byte of held-out text, and what retrieval has to do with it.

The same windows, token by token, with the neighbours that the database gives, without any, and
with those of another document. Bits per byte are nats / (ln 2 * bytes) over the bytes of the
original text. A document's first token has nothing before it: neither it nor its bytes count.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.errors import InputNotFound, UsageError
from retro_cli.evaluate.conditions import Conditions, conditions
from retro_cli.evaluate.contamination import NearCopy
from retro_cli.evaluate.held_out import copies_in_database, evaluation_text, neighbour_table
from retro_cli.evaluate.lm_report import Contaminated, LmReport, LmSettings
from retro_cli.evaluate.measures import measure
from retro_cli.evaluate.overlap import longest_common_runs
from retro_cli.evaluate.scoring import score
from retro_cli.evaluate.shares import ShareLookup
from retro_cli.evaluate.subject import Subject, load_subject
from retro_cli.evaluate.text import EvaluationText
from retro_cli.evaluate.windows import check_window, default_stride, default_window, plan_windows
from retro_cli.events import SILENT, Progress
from retro_cli.query.retrieve import Retriever
from retro_cli.reading.evidence import NeighbourTokens
from retro_cli.reading.text_neighbours import TextsToRead
from retro_cli.reading.texts import Text
from retro_cli.store.layout import Layout

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
NEIGHBOURHOOD = 10  # neighbours that overlap is looked for in (Borgeaud et al. 2021, section 2.6)
_BLOCK = 512  # chunks whose neighbours' tokens are held at a time


def evaluate_lm(
    layout: Layout, model: str | Path, settings: LmSettings, progress: Progress = SILENT
) -> LmReport:
    """model: a folder of a RETRO model, or the name of one that ships.

    Raises InputNotFound (no model, no text, none to score), UsageError, IntegrityError (a model
    half written), RetroError (a model that gives no probabilities), and what the table does.
    """
    settings.check()
    layout.require()
    begun = time.monotonic()
    subject = load_subject(model, settings.base, settings.device)
    config = subject.model.config
    settings = _settled(settings, subject)
    wanted = TextsToRead(
        settings.texts, subject.tokenizer, config.chunk_length, most=settings.limit
    )
    texts = list(wanted.read(progress))
    most = max(NEIGHBOURHOOD, settings.k or 1, *settings.neighbours)
    table = neighbour_table(layout, wanted, texts, most, progress)
    retriever = Retriever(layout)
    try:
        text = evaluation_text(table, retriever.own, texts, subject.tokenizer)
        run = _Run(str(model), subject, retriever, settings, table.manifest.name, progress)
        return run.report(text, texts, begun)
    finally:
        retriever.close()


def _settled(settings: LmSettings, subject: Subject) -> LmSettings:
    """What was left open, from the model. Raises UsageError for windows that do not fit it."""
    config = subject.model.config
    window = default_window(settings.window, subject.positions, config.chunk_length)
    stride = settings.stride or default_stride(window, config.chunk_length)
    check_window(window, stride, config.chunk_length)
    k = config.neighbours if settings.k is None else settings.k
    return replace(settings, window=window, stride=stride, k=k)


class _Run:
    """One evaluation over an open database, its settings settled."""

    def __init__(
        self,
        model: str,
        subject: Subject,
        retriever: Retriever,
        settings: LmSettings,
        table: str,
        progress: Progress,
    ) -> None:
        self.subject, self.retriever, self.settings = subject, retriever, settings
        self.model, self.table, self.progress = model, table, progress
        self.config = subject.model.config
        self.reader = NeighbourTokens(retriever, subject.tokenizer, self.config.retrieved_length)

    def report(self, whole: EvaluationText, texts: Sequence[Text], begun: float) -> LmReport:
        """whole: the text of all documents, in the order of ``texts``."""
        self._check_vocabulary(whole)
        copies = self._copies(texts)
        if self.settings.max_tokens is not None:
            whole = whole.clipped(self.settings.max_tokens)
        long = whole.long_enough()
        kept = sorted(set(long) - {copy.document for copy in copies})
        if not kept:
            raise InputNotFound(
                "no document is left to evaluate",
                "a document needs two tokens at least"
                + (f"; {len(copies)} are in the database" if copies else ""),
            )
        text = whole.only(kept)
        chosen = self._conditions(text, [texts[number].hash for number in kept])
        started = time.monotonic()
        nats = self._score(text, chosen)
        passed = time.monotonic() - started
        seed, resamples = self.settings.seed, self.settings.resamples
        measured = measure(text, nats, self._shared(text), seed, resamples)
        generation = self.retriever.generation
        return LmReport(
            model=self.model,
            database=str(self.retriever.layout.root),
            measured=measured,
            counts=chosen.counts,
            shares=chosen.shares,
            documents=len(kept),
            chunks=text.rows,
            tokens=len(text.flat) - len(kept),
            bytes=int(text.scored_bytes.sum()),
            contaminated=self._named(copies, texts),
            too_short=tuple(texts[n].name for n in sorted(set(range(len(texts))) - set(long))),
            generation=generation.number,
            encoder=generation.encoder.name,
            database_rows=generation.rows,
            retokenised=not self.reader.stored,
            backbone=self.subject.backbone,
            base=self.config.base_name,
            table=self.table,
            settings=self.settings,
            seconds=time.monotonic() - begun,
            model_seconds=passed,
        )

    def _check_vocabulary(self, text: EvaluationText) -> None:
        highest, known = int(text.tokens.max(initial=-1)), self.config.vocab_size
        if highest >= known:
            raise UsageError(
                f"the tokenizer gives the id {highest}, and the model knows {known} tokens",
                "the tokenizer in its folder is not the model's",
            )

    def _copies(self, texts: Sequence[Text]) -> list[NearCopy]:
        if not self.settings.decontaminate:
            return []
        return copies_in_database(self.retriever, texts)

    def _named(self, copies: Sequence[NearCopy], texts: Sequence[Text]) -> tuple[Contaminated, ...]:
        chunks = self.retriever.rows.get([copy.chunk for copy in copies])
        return tuple(
            Contaminated(texts[copy.document].name, chunk.document, copy.jaccard)
            for copy, chunk in zip(copies, chunks, strict=True)
        )

    def _conditions(self, text: EvaluationText, hashes: Sequence[bytes]) -> Conditions:
        settings = self.settings
        k, seed = settings.k or 1, settings.seed
        lookup = ShareLookup(self.retriever, hashes)
        return conditions(
            text, k, settings.neighbours, settings.shares,
            lambda percent: lookup.neighbours(text, k, percent / 100, seed), seed,
        )  # fmt: skip

    def _score(self, text: EvaluationText, chosen: Conditions) -> dict[str, Floats]:
        settings = self.settings
        window, stride = settings.window or 0, settings.stride or 0
        windows = plan_windows(text.document_lengths.tolist(), window, stride)
        return score(
            self.subject.model, text, chosen.neighbours, windows, self.reader.read,
            settings.batch, self.progress,
        )  # fmt: skip

    def _shared(self, text: EvaluationText) -> Ids:
        """(n,) the longest run of tokens that a chunk shares with one of its ten neighbours."""
        nearest = text.neighbours[:, :NEIGHBOURHOOD]
        found = [
            longest_common_runs(
                text.tokens[first : first + _BLOCK],
                self.reader.read(nearest[first : first + _BLOCK]),
            )
            for first in range(0, text.rows, _BLOCK)
        ]
        return np.concatenate(found)
