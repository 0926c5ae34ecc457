"""Whether what a run came to may be committed: no run loses what nobody asked it to lose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from retro_cli.chunks.commit import Rejection, describe
from retro_cli.chunks.documents import count_documents
from retro_cli.chunks.inputs import KnownFile, paired
from retro_cli.chunks.manifest import Part
from retro_cli.chunks.update import EMPTY
from retro_cli.errors import UnreadableInput
from retro_cli.wording import counted

_WINDOW = 1024  # files whose documents are counted together


@dataclass(frozen=True)
class Holding:
    """Parts, and the files that they hold, by uri."""

    parts: Sequence[Part]
    files: Iterable[KnownFile]


def refuse_nothing(rejections: Iterator[Rejection], count: int) -> None:
    """A run that read nothing good says what was wrong. Raises UnreadableInput."""
    first = next(rejections, None)
    if first is not None:
        raise UnreadableInput(
            f"nothing could be read: {describe(first)}",
            f"{counted(count, 'record was', 'records were')} set aside, none was good",
        )


def refuse_unread(
    folder: Path, before: Holding, now: Holding, rejections: Iterable[Rejection], given: str
) -> None:
    """Where everything is read again, a file that cannot be may not lose its documents; one that
    is only empty may. Raises UnreadableInput that names the first.

    rejections: by uri
    given:      the settings that are new, in words
    """
    suspects = _suspects(rejections, before.files, now.files)
    while window := list(islice(suspects, _WINDOW)):
        had = count_documents(folder, before.parts, [file.before for file in window])
        have = count_documents(folder, now.parts, [file.now for file in window])
        for suspect, old, new in zip(window, had, have, strict=True):
            if old and not new:
                raise _unread(suspect, old, given)


class _Suspect(NamedTuple):
    """A file that was there before, and its first record that cannot be read now."""

    before: KnownFile
    now: KnownFile
    why: Rejection


class _Bad(NamedTuple):
    uri: str
    why: Rejection


class _Known(NamedTuple):
    uri: str
    before: KnownFile
    now: KnownFile


def _suspects(
    rejections: Iterable[Rejection], before: Iterable[KnownFile], now: Iterable[KnownFile]
) -> Iterator[_Suspect]:
    damaged = (record for record in rejections if record["reason"] != EMPTY)
    groups = groupby(damaged, key=itemgetter("uri"))
    bad = (_Bad(uri, next(records)) for uri, records in groups)
    known = (_Known(a.uri, a, b) for a, b in paired(before, now) if a is not None and b is not None)
    for found, file in paired(bad, known):
        if found is not None and file is not None:
            yield _Suspect(file.before, file.now, found.why)


def _unread(file: _Suspect, documents: int, given: str) -> UnreadableInput:
    settings = f" with {given}" if given else ""
    why = f"{file.why['where']}: {file.why['reason']}"
    lost = counted(documents, "document of it would be lost", "documents of it would be lost")
    return UnreadableInput(
        f"nothing can be read of {file.now.uri}{settings} ({why}); {lost}",
        "correct the setting or the file, or move the file away and let them go with --prune",
    )
