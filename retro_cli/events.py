"""What a stage tells whoever is watching. No rendering here: the command line draws it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of long work. Implementations must be cheap to call."""

    def started(self, task: str, total: int | None, unit: str) -> None:
        """``task`` begins; ``total`` units are expected, or an unknown number."""

    def advanced(self, task: str, amount: int) -> None:
        """``amount`` more units of ``task`` are done."""

    def says(self, task: str, words: str) -> None:
        """What ``task`` shows beside its rate from now on, such as a loss."""

    def finished(self, task: str, summary: str = "") -> None:
        """``task`` is over."""

    def note(self, message: str) -> None:
        """A plain line worth reading."""

    def warn(self, message: str) -> None:
        """Something the user should look at; the run goes on."""


class Silent:
    """Ignores everything: the default for library use."""

    def started(self, task: str, total: int | None, unit: str) -> None: ...

    def advanced(self, task: str, amount: int) -> None: ...

    def says(self, task: str, words: str) -> None: ...

    def finished(self, task: str, summary: str = "") -> None: ...

    def note(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...


SILENT = Silent()
