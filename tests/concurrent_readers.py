"""Readers that overlap a writer for certain: each of its writes waits for answers of them all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

import pytest

WRITES = ("replace", "rename", "unlink")


@contextmanager
def at_each_write(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> Iterator[list[int]]:
    """Call ``act`` before this thread puts a file in place or removes one; yields how often.

    What one step of a writer leaves on the disk between two such calls is what a reader may find
    at that moment.
    """
    writer, count = threading.get_ident(), [0]

    def first_act(write: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **named: object) -> object:
            if threading.get_ident() == writer:
                count[0] += 1
                act()
            return write(*args, **named)

        return call

    with monkeypatch.context() as patched:
        for name in WRITES:
            patched.setattr(os, name, first_act(getattr(os, name)))
        yield count


class Readers:
    """Threads that ask again and again until the block ends, which raises what they raised.

    ``ask`` yields after each answer and is called anew when it ends, by ``count`` threads at the
    same time. What it holds open between two answers, it holds open while the writer writes.
    """

    def __init__(self, ask: Callable[[], Iterator[None]], count: int = 1) -> None:
        self.answered = [0] * count
        self._ask = ask
        self._failed: list[Exception] = []
        self._over = False
        self._turn = threading.Condition()
        self._threads = [threading.Thread(target=self._read, args=(n,)) for n in range(count)]

    def all_answer(self) -> None:
        """Wait until every reader has answered once more, or one has failed."""
        with self._turn:
            before = list(self.answered)
            self._turn.wait_for(
                lambda: (
                    self._failed
                    or all(now > then for now, then in zip(self.answered, before, strict=True))
                )
            )

    def _read(self, place: int) -> None:
        try:
            while not self._over:
                for _ in self._ask():
                    with self._turn:
                        self.answered[place] += 1
                        self._turn.notify_all()
        except Exception as error:
            with self._turn:
                self._failed.append(error)
                self._turn.notify_all()

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise self._failed[0]
