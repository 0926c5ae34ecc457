"""The decoding loop: look up, step, choose, advance. The same for every reader."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from retro_cli.errors import UsageError
from retro_cli.generate.beams import Search, search_beams
from retro_cli.generate.by_document import likeliest_by_document
from retro_cli.generate.decoding import EXACT, THOROUGH, Choose, Decoding, chooser
from retro_cli.generate.detokenise import Detokeniser
from retro_cli.generate.trace import Continuation, Timing, Trace, TracedToken
from retro_cli.readers.interface import (
    Reader,
    Reading,
    ReadingByDocument,
    RenewedRetriever,
    Retriever,
)

Watch = Callable[[TracedToken], Any]


def generate(
    reader: Reader,
    retriever: Retriever | None,
    prompt: str,
    decoding: Decoding,
    watch: Watch | None = None,
) -> Trace:
    """Continue a prompt.

    retriever: None leaves retrieval out. watch: is told each token as soon as it is settled; with
    beams, all of them at the end. Raises UsageError for a prompt that is empty or too long.
    """
    ids = _prompt_tokens(reader, prompt)
    most = min(decoding.max_tokens, _room(reader, len(ids)))
    watch = watch or _nobody
    run = _Run(reader, retriever, ids)
    how = Search(reader.ends, decoding.beams, len(ids), most, decoding.length_penalty)
    if decoding.documents != EXACT:
        chosen = iter(_by_document(run, how, decoding.documents))
        found = run.follow(lambda _: next(chosen), reader.ends, most, watch)
    elif decoding.beams == 1:
        found = run.follow(chooser(decoding), reader.ends, most, watch)
    else:
        found = search_beams(run.reading, run.look_up, how)[0]
        speech = Detokeniser(reader.decode, ids)
        spoken = [replace(token, text=speech.add(token.token)) for token in found.tokens]
        found = replace(found, tokens=spoken)
        for token in spoken:
            watch(token)
    return run.trace(prompt, found)


def score(reader: Reader, retriever: Retriever | None, prompt: str, target: Sequence[int]) -> Trace:
    """The log-probability of each token of a target after the prompt, retrieving as it goes.

    target: at least one token. Raises as ``generate`` does.
    """
    ids = _prompt_tokens(reader, prompt)
    if not 1 <= len(target) <= _room(reader, len(ids)):
        raise UsageError(f"a target of {len(target)} tokens", "at least one, and they must fit")
    forced = iter(target)
    run = _Run(reader, retriever, ids)
    found = run.follow(lambda _: next(forced), (), len(target), _nobody)
    return run.trace(prompt, found)


def _by_document(run: _Run, how: Search, documents: str) -> list[int]:
    """The tokens that thorough or fast decoding settles on; the loop then goes over them again,
    with the exact weights."""
    reading = run.reading
    if not isinstance(reading, ReadingByDocument):
        raise UsageError(f"--decoding {documents} is for the reader rag-sequence", EXACT)
    run.look_up()
    return likeliest_by_document(reading, how, documents == THOROUGH)


class _Run:
    """One prompt under way: the reading, and the time that it takes."""

    def __init__(self, reader: Reader, retriever: Retriever | None, ids: list[int]) -> None:
        self._begun = time.perf_counter()
        self._retrieval = 0.0
        self._reader = reader
        self._retriever = retriever
        self._ids = ids
        self.reading: Reading = reader.start(ids)

    def look_up(self) -> None:
        """Give the reading what it asks for, if anything, and take what may not be shown."""
        if self._retriever is None:
            return
        begun = time.perf_counter()
        if isinstance(self._retriever, RenewedRetriever) and (shown := self._retriever.renewed()):
            self.reading.forget(shown)
        if queries := self.reading.queries():
            self.reading.receive(self._retriever.search(queries, self._reader.k))
        self._retrieval += time.perf_counter() - begun

    def follow(
        self, choose: Choose, ends: Collection[int], most: int, watch: Watch
    ) -> Continuation:
        """One token after the other, until one ends the text or there are enough."""
        speech = Detokeniser(self._reader.decode, self._ids)
        tokens: list[TracedToken] = []
        while True:
            self.look_up()
            step = self.reading.step()
            token = choose(step.logprobs[0])
            position = len(self._ids) + len(tokens)
            tokens.append(TracedToken.of(step, 0, token, position, speech.add(token)))
            watch(tokens[-1])
            if token in ends or len(tokens) == most:
                return Continuation(tokens, self.reading.evidence(0))
            self.reading.advance([0], [token])

    def trace(self, prompt: str, found: Continuation) -> Trace:
        timing = Timing(self._retrieval, time.perf_counter() - self._begun)
        stopped = "end" if found.tokens[-1].token in self._reader.ends else "length"
        tokens, evidence = tuple(found.tokens), tuple(found.evidence)
        return Trace(prompt, len(self._ids), tokens, evidence, timing, stopped)


def _prompt_tokens(reader: Reader, prompt: str) -> list[int]:
    ids = reader.encode(prompt) if prompt.strip() else []
    if not ids:
        raise UsageError("the prompt is empty", "give some words to continue")
    return ids


def _room(reader: Reader, prompt: int) -> int:
    """The most tokens that may follow."""
    if reader.longest is None:
        return 1 << 40
    if prompt >= reader.longest:
        raise UsageError(
            f"a prompt of {prompt:,} tokens is too long",
            f"the model takes {reader.longest:,} with what follows",
        )
    return reader.longest - prompt


def _nobody(_: TracedToken) -> None:
    """Watches nothing."""
