"""What a run reads: the files that were named, without databases, and standard input as a file."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from retro_cli.corpus import InputFile, list_inputs
from retro_cli.errors import InputNotFound
from retro_cli.store.layout import SETTINGS_FILE, Layout

STDIN = "-"


def list_corpus(root: Path, specs: Sequence[str]) -> list[InputFile]:
    """The input files that ``specs`` name, but for ``-`` and for those of databases: the one at
    ``root``, and any other that lies in the folders. Raises InputNotFound.
    """
    listed = list_inputs([spec for spec in specs if spec != STDIN])
    databases = {
        os.path.dirname(f.path) for f in listed if os.path.basename(f.path) == SETTINGS_FILE
    }
    mine = [
        os.path.join(os.path.realpath(folder), "")
        for folder in (str(root), *databases)
        if Layout(Path(folder)).chunks.is_dir() or Path(folder) == root
    ]
    corpus = [
        f for f in listed if "://" in f.path or not os.path.realpath(f.path).startswith(tuple(mine))
    ]
    if not corpus:
        raise InputNotFound("the input holds nothing but retrieval databases", "name a corpus")
    return corpus


def with_stdin(listed: list[InputFile], path: Path, stream: BinaryIO | None) -> list[InputFile]:
    """The same with standard input, copied to ``path``. Raises InputNotFound if it is empty."""
    return sorted([*listed, _spool(path, stream)], key=lambda file: file.uri)


def _spool(path: Path, stream: BinaryIO | None) -> InputFile:
    """Copy standard input to a file: it is read twice. Its content stands in for its time."""
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
