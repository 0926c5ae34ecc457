"""What a run reads: the files that were named, without databases, and standard input as a file."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from retro_cli.corpus import InputFile, Listing, list_inputs
from retro_cli.errors import InputNotFound
from retro_cli.store.layout import SETTINGS_FILE, Layout
from retro_cli.store.scratch import Scratch

STDIN = "-"


def list_corpus(
    root: Path,
    specs: Sequence[str],
    scratch: Path | None,
    gone: Callable[[str], bool] = lambda spec: False,
) -> Listing:
    """The input files that ``specs`` name, but for those of databases: the one at ``root``, and
    any other that lies in the folders. Raises InputNotFound.

    scratch: where a long listing may lie, None for the system's place. Standard input is added
    once there is a place to keep it.
    gone: whether a spec may name nothing
    """
    if set(specs) == {STDIN}:
        return Listing(Scratch(scratch))
    databases = {str(root)}

    def note(file: InputFile) -> None:
        if file.path.endswith(SETTINGS_FILE) and os.path.basename(file.path) == SETTINGS_FILE:
            databases.add(os.path.dirname(file.path))

    listed = list_inputs([spec for spec in specs if spec != STDIN], scratch, note, gone)
    mine = tuple(
        os.path.join(os.path.realpath(folder), "")
        for folder in databases
        if Layout(Path(folder)).chunks.is_dir() or Path(folder) == root
    )
    real_folder = lru_cache(maxsize=256)(os.path.realpath)  # a folder holds many files

    def outside(file: InputFile) -> bool:
        if "://" in file.path or file.path == str(spool_path(root)):
            return True
        if os.path.islink(file.path):
            return not os.path.realpath(file.path).startswith(mine)
        folder, name = os.path.split(file.path)
        return not os.path.join(real_folder(folder), name).startswith(mine)

    corpus = listed.only(outside)
    if next(iter(corpus), None) is None and next(iter(listed), None) is not None:
        raise InputNotFound("the input holds nothing but retrieval databases", "name a corpus")
    return corpus


def spool_path(root: Path) -> Path:
    """Where a database keeps standard input while it is read."""
    return root / ".stdin"


def spool(path: Path, stream: BinaryIO | None) -> InputFile:
    """Copy standard input to a file: it is read twice. Its content stands in for its time.

    Raises InputNotFound if there is none, or nothing in it.
    """
    if stream is None:
        raise InputNotFound("there is no standard input to read", "pipe something in")
    with path.open("wb") as file:
        shutil.copyfileobj(stream, file, 1 << 20)
    if not path.stat().st_size:
        path.unlink()
        raise InputNotFound("standard input is empty", "pipe something in")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    marker = int.from_bytes(digest.digest()[:7], "little")
    return InputFile("stdin", str(path), path.stat().st_size, marker)
