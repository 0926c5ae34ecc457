"""A run between its first write and its commit: it may be killed and resumed, or refused.

The settings that a run was given reach ``retro.toml`` with its commit. Until then they stand in its
journal, so that a run that was killed resumes with them, and one that was refused leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from retro_cli.store.files import FileRecord
from retro_cli.store.journal import Journal, read_journal

JOURNAL = "journal.jsonl"
_SETTINGS = "settings"  # a key of the journal; those of work are hashes


def interrupted(folder: Path) -> dict[str, Any]:
    """What the run that was interrupted here was given of settings that are not saved."""
    records, _ = read_journal(folder / JOURNAL)
    return records.get(_SETTINGS, {})


def in_words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in settings.items())


class Attempt:
    """Notes what a run is given and what it writes. The caller holds the lock.

    unsaved: the settings that are to be saved with the commit, and are not yet
    judged:  whether the work is done, so that a refusal means what came of it
    """

    def __init__(self, folder: Path, unsaved: Mapping[str, Any]) -> None:
        self.journal = Journal(folder / JOURNAL)
        self.judged = False
        before = self.journal.get(_SETTINGS) or {}
        self.resumes = before if before == unsaved else {}
        if before != unsaved:
            self.journal.append(_SETTINGS, dict(unsaved))
        self._folder = folder
        self._written: list[str] = []

    def finished(self, key: str, record: dict[str, Any], files: Iterable[FileRecord]) -> None:
        """Note a piece of work."""
        self._written += [file.name for file in files]
        self.journal.append(key, record)

    def undo(self) -> None:
        """The run is refused: leave all as if it had not been.

        Nor has the interrupted run been that it resumed, if the results were refused: they would
        be again, for ever.
        """
        for name in self._written:
            (self._folder / name).unlink(missing_ok=True)
        if self.judged and self.resumes:
            self.done()
        else:
            self.journal.rewind()

    def done(self) -> None:
        """What only the journal needed can go, and the journal."""
        for leftover in self._folder.glob("part-*.rejected.jsonl"):
            leftover.unlink()
        self.journal.discard()
