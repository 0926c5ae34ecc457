"""What a run of the chunk stage did, for whoever asked for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ChunkReport:
    """What a run did and what there is now.

    missing:   gone from a place that the input names, but kept
    not_named: files of the database that lie elsewhere
    vanished:  gone from their file, but kept
    given_up:  what there was before the settings changed, and everything was cut again
    """

    files_new: int = 0
    files_changed: int = 0
    files_unchanged: int = 0
    files_missing: int = 0
    files_not_named: int = 0
    docs_written: int = 0
    docs_replaced: int = 0
    docs_removed: int = 0
    docs_vanished: int = 0
    docs_given_up: int = 0
    rows_written: int = 0
    tokens_written: int = 0
    characters_written: int = 0
    rejected: int = 0
    first_rejection: str = ""
    duplicate_docs: int = 0
    duplicate_rows: int = 0
    merged: bool = False
    live_docs: int = 0
    live_rows: int = 0
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.docs_written or self.docs_replaced or self.docs_removed)
