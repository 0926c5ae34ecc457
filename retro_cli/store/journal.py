"""What a run has finished so far: one fsynced JSON line per finished piece of work.

A line is trusted only if it is whole, its key is the key the present plan asks for, and the
files that it names still have the bytes it says. Anything else is done again. The journal
lives from a run's first finished piece to its commit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """An append-only map from a work key to a JSON record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[str, dict[str, Any]] = {}
        whole = 0
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break
                try:
                    entry = json.loads(line)
                except ValueError:
                    break
                self.records[entry["key"]] = entry["record"]
                whole += len(line)
            # A torn last line would swallow the next append: cut it off.
            os.truncate(path, whole)

    def get(self, key: str) -> dict[str, Any] | None:
        return self.records.get(key)

    def append(self, key: str, record: dict[str, Any]) -> None:
        line = json.dumps({"key": key, "record": record}, sort_keys=True) + "\n"
        with self.path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self.records[key] = record

    def discard(self) -> None:
        """The run is committed: its journal is history."""
        self.path.unlink(missing_ok=True)
        self.records.clear()
