"""Which files a command reads: files, folders, globs and URLs, in one deterministic order.

There may be millions of them. A listing holds some thousands; the rest wait on disk.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Literal, NamedTuple

from retro_cli.corpus import remote
from retro_cli.corpus.names import as_named, near_names, printable
from retro_cli.corpus.patterns import fixed_part, has_magic, matcher
from retro_cli.errors import InputNotFound, UnreadableInput
from retro_cli.store.scratch import Scratch, SortedSpool

_BEIR = ("corpus.jsonl", "queries.jsonl")
_BESIDE_A_CORPUS = ("queries.jsonl", "qrels")  # a query would be the best answer to itself


class InputFile(NamedTuple):
    """A file to read. ``path`` says where; it differs from ``uri`` for a spooled stream.

    ``size`` is in bytes and ``mtime_ns`` in nanoseconds; 0 if unknown.
    """

    uri: str
    path: str
    size: int
    mtime_ns: int


class Slice(NamedTuple):
    """A deterministic piece of one file, and optionally only some of its records.

    With unit "bytes", ``start`` and ``stop`` are byte offsets: the piece holds the records that
    begin at ``start`` or after it and before ``stop`` (None: the end). With unit "groups" they
    count Parquet row groups or Arrow batches, and ``nbytes`` estimates how much they hold.
    ``only`` keeps the records whose position it names; it is sorted.
    """

    file: InputFile
    start: int = 0
    stop: int | None = None
    only: Sequence[int] | None = None
    unit: Literal["bytes", "groups"] = "bytes"
    nbytes: int = 0


class Listing:
    """Input files, read in the order of their uris, each once and as often as wanted."""

    def __init__(self, scratch: Scratch) -> None:
        self._files = SortedSpool(scratch, _input_file)
        self._wanted: Callable[[InputFile], bool] = lambda file: True

    def add(self, file: InputFile) -> None:
        self._files.add(file)

    def only(self, wanted: Callable[[InputFile], bool]) -> Listing:
        """The files that pass a test, which is asked whenever they are read."""
        chosen = copy(self)
        chosen._wanted = wanted
        return chosen

    def __iter__(self) -> Iterator[InputFile]:
        previous = ""
        for file in self._files:
            if file.uri != previous and self._wanted(file):
                yield file
            previous = file.uri


def _input_file(values: list[Any]) -> InputFile:
    return InputFile(*values)


def list_inputs(
    specs: Sequence[str],
    scratch: Path | None = None,
    note: Callable[[InputFile], None] = lambda file: None,
    gone: Callable[[str], bool] = lambda spec: False,
) -> Listing:
    """The files that ``specs`` name.

    A folder is walked without following links to folders, and without names that begin with
    "." or "_". In a glob, ``*`` and ``?`` stay within a name and ``**`` crosses folders.
    Very many files wait in a temporary file in the folder ``scratch``; ``note`` is told of each.
    Raises InputNotFound if a spec names nothing, unless it is one that may be ``gone``;
    UnreadableInput if it cannot be listed.
    """
    if not specs:
        raise InputNotFound("no input was named", "name files, folders, globs or URLs")
    if "" in specs:
        raise InputNotFound("the name of an input is empty", "the folder you are in is '.'")
    listing = Listing(Scratch(scratch))
    for spec in specs:
        try:
            for file in _some(spec):
                note(file)
                listing.add(file)
        except InputNotFound:
            if not gone(spec):
                raise
    return listing


def _some(spec: str) -> Iterator[InputFile]:
    """The files that a spec names. Raises InputNotFound if there are none."""
    file = None
    for file in _expand(spec):
        yield file
    if file is None:
        why = "no file matches" if has_magic(spec) else "it holds no files"
        raise InputNotFound(f"nothing to read in {spec}", f"{why} (hidden: . and _)")


def _expand(spec: str) -> Iterator[InputFile]:
    if remote.is_url(spec):
        for uri, size, mtime_ns in remote.listing(spec):
            yield InputFile(uri, uri, size, mtime_ns)
        return
    root = normalised(spec)
    status = _status(root)
    if status is None:
        if not has_magic(spec):
            raise InputNotFound(f"no such file or folder: {spec}", near_names(root))
        yield from _glob(root)
        return
    if stat.S_ISDIR(status.st_mode):
        yield from _walk(root)
    elif stat.S_ISREG(status.st_mode):
        yield _local(root, status)
    else:
        raise UnreadableInput(f"{spec} is not a regular file", "pipe it in and name '-' instead")


def _status(path: str) -> os.stat_result | None:
    """None if nothing is there. Raises UnreadableInput if that cannot be told: a file that is not
    to be seen today is not gone."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise UnreadableInput(
            f"cannot look at {path}: {error.strerror}", "name another place, or open this one"
        ) from error


def normalised(spec: str) -> str:
    """A local path as a uri: forward slashes, no "./", no trailing slash."""
    path = posixpath.normpath(spec.replace(os.sep, "/"))
    return path.replace("//", "/", 1) if path.startswith("//") else path


def _glob(pattern: str) -> Iterator[InputFile]:
    root = fixed_part(pattern)
    status = _status(root or ".")
    if status is None or not stat.S_ISDIR(status.st_mode):
        raise InputNotFound(f"no such folder: {root}", near_names(root))
    matches = matcher(pattern)
    deep = "**" in pattern.split("/")
    depth = None if deep else pattern.count("/") - (root.count("/") + 1 if root else 0)
    for file in _walk(root or ".", depth, skip="."):
        if matches(file.uri):
            yield file


def _walk(root: str, depth: int | None = None, skip: str = "._") -> Iterator[InputFile]:
    """The files below ``root``, at most ``depth`` folders down."""
    waiting = [(root, 0)]
    while waiting:
        folder, level = waiting.pop()
        try:
            entries = os.scandir(folder)
        except OSError as error:
            raise UnreadableInput(f"cannot list {folder}: {error.strerror}", "") from error
        prefix = "" if folder == "." else folder if folder.endswith("/") else folder + "/"
        beside = _BESIDE_A_CORPUS if _is_beir(folder) else ()
        with entries:
            for entry in entries:
                if entry.name[0] in skip or entry.name in beside:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if depth is None or level < depth:
                        waiting.append((prefix + entry.name, level + 1))
                elif (file := _entry(entry, prefix + entry.name)) is not None:
                    yield file


def _is_beir(folder: str) -> bool:
    """Whether this is a data set in the layout of BEIR (Thakur et al. 2021), with its queries."""
    return all(os.path.isfile(os.path.join(folder, name)) for name in _BEIR)


def _entry(entry: os.DirEntry[str], path: str) -> InputFile | None:
    """A file of a folder; None for links to folders, pipes, sockets and devices."""
    try:
        status = entry.stat()
    except OSError:
        # A dangling link, say. It is listed, so that reading it reports it.
        return InputFile(printable(path), path, 0, 0)
    return _local(path, status) if stat.S_ISREG(status.st_mode) else None


def _local(path: str, status: os.stat_result) -> InputFile:
    return InputFile(printable(path), path, status.st_size, status.st_mtime_ns)


def local_now(uri: str) -> tuple[int, int] | None:
    """Size and time (ns) of a local file, by its uri, as a listing would have them today; None if
    it is gone."""
    for path in dict.fromkeys((uri, as_named(uri))):
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.islink(path):
                return 0, 0
        except OSError:
            return 0, 0
        else:
            return status.st_size, status.st_mtime_ns
    return None
