"""Remove files that neither a manifest nor a kept generation refers to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from retro_cli.store.layout import Layout
from retro_cli.store.lock import remove_unread


def sweep_unreferenced(layout: Layout, keep: int) -> list[Path]:
    """Drop all but the newest ``keep`` generations, then every file that nothing names any more.

    The caller holds the lock. Returns what was removed. A generation that some reader holds
    stays, with all its files, until a later sweep.
    """
    removed: list[Path] = []
    named: set[str] = set()
    for path in _manifests(layout):
        _collect(json.loads(path.read_bytes()), named)
    generations = sorted(layout.index.glob("gen-*.json"))
    old = [path for path in generations[:-keep] if remove_unread(path)]
    for path in generations:
        if path in old:
            continue
        try:
            value = json.loads(path.read_bytes())
            _collect(json.loads((layout.index / value["chunks"]["name"]).read_bytes()), named)
            _collect(value, named)
        except (OSError, ValueError, KeyError, TypeError):  # damaged, and not the current one
            removed.append(path)
    removed += old
    removed += [path.with_name(path.name.replace("gen-", "measured-")) for path in removed]
    for folder in (layout.chunks, layout.embeddings, layout.index):
        if (folder / "journal.jsonl").exists():  # a killed run will want its finished pieces
            continue
        for path in sorted(folder.glob("*")):
            if _ours(path.name) and path.name not in named:
                removed.append(path)
    removed += _old_words(layout, named)
    for path in removed:
        _remove(path)
    return removed


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _old_words(layout: Layout, named: set[str]) -> list[Path]:
    """The lexical states of chunk manifests that no generation names, or that a newer state has
    too, and what killed runs left."""
    old, seen = [], set[str]()
    for path in sorted(layout.lexical.glob("*"), reverse=True):
        try:
            chunks = json.loads((path / "manifest.json").read_bytes())["chunks"]
        except (OSError, ValueError, KeyError, TypeError):
            chunks = ""
        if path.suffix or chunks not in named or chunks in seen:
            old.append(path)
        else:
            seen.add(chunks)
    return old


def _manifests(layout: Layout) -> list[Path]:
    found = [folder / "manifest.json" for folder in (layout.chunks, layout.embeddings)]
    return [path for path in found if path.is_file()]


def _ours(name: str) -> bool:
    prefixes = ("part-", "inputs-", "aliases-", "template-", "segment-", "indexed-", "dead-")
    return name.startswith((*prefixes, "chunks-", "excluded-"))


def _collect(value: Any, names: set[str]) -> None:
    """Every string in a JSON value: file names are among them, and nothing else looks like one."""
    if isinstance(value, dict):
        for item in value.values():
            _collect(item, names)
    elif isinstance(value, list):
        for item in value:
            _collect(item, names)
    elif isinstance(value, str):
        names.add(value)
