"""What a run has finished so far: one fsynced JSON line per finished piece of work.

A line is trusted only if it is whole, its key is the key the present plan asks for, and the
files that it names still have the bytes it says. Anything else is done again. The journal
lives from a run's first line to its commit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Records = dict[str, dict[str, Any]]


def read_journal(path: Path) -> tuple[Records, int]:
    """The records by key, and how many bytes the lines have that are whole."""
    records: Records = {}
    whole = 0
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
                records[str(entry["key"])] = dict(entry["record"])
            except (ValueError, KeyError, TypeError, RecursionError):
                break
            whole += len(line)
    return records, whole


class Journal:
    """An append-only map from a work key to a JSON record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records, self._found = read_journal(path)
        if path.exists():
            # A torn last line would swallow the next append: cut it off.
            os.truncate(path, self._found)

    def get(self, key: str) -> dict[str, Any] | None:
        return self.records.get(key)

    def append(self, key: str, record: dict[str, Any]) -> None:
        line = json.dumps({"key": key, "record": record}, sort_keys=True) + "\n"
        with self.path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self.records[key] = record

    def rewind(self) -> None:
        """Take back what was appended since the journal was opened."""
        if not self._found:
            self.discard()
            return
        os.truncate(self.path, self._found)
        self.records, _ = read_journal(self.path)

    def discard(self) -> None:
        """The run is committed: its journal is history."""
        self.path.unlink(missing_ok=True)
        self.records.clear()
