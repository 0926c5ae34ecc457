"""Several manifests that change together: all of them, or none.

What is to be written is put down first, in one file; then each manifest is replaced; then the
file goes. A kill in between is made good by the next writer, before it does anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retro_cli.errors import IntegrityError
from retro_cli.store.atomic import read_json, write_json

INTENT = ".commit.json"


def commit_together(root: Path, values: Mapping[str, Any]) -> None:
    """Write JSON files, named by their paths below ``root``. The caller holds the lock."""
    if values:
        write_json(root / INTENT, dict(values))
        finish_commit(root)


def finish_commit(root: Path) -> None:
    """Complete a commit that was put down. Does nothing if there is none."""
    path = root / INTENT
    if not path.is_file():
        return
    values = read_json(path)
    if not isinstance(values, dict):
        raise IntegrityError(f"{path} is no commit", "remove it: what was there before stands")
    for name, value in values.items():
        target = root / name
        if target.resolve().is_relative_to(root.resolve()):
            write_json(target, value)
    path.unlink()
