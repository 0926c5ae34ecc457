"""Decide what a run has to chunk: compare today's files, and the documents inside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.changes import Documents, compare_documents
from retro_cli.chunks.documents import live_documents
from retro_cli.chunks.edits import GONE, PRUNED, TOUCHED, UNNAMED, Edit, FileUpdate, pieces_of
from retro_cli.chunks.inputs import CHANGED, MISSING, NEW, UNCHANGED, Compared, doubted
from retro_cli.chunks.manifest import Part
from retro_cli.chunks.part import document_hash
from retro_cli.chunks.piles import piles_for
from retro_cli.corpus import InputFile, ReadOptions, Rejected, Slice, read, split
from retro_cli.store.scratch import Scratch, Spool

EMPTY = "empty text"
DEAD = np.dtype([("part", "i4"), ("row", "i4")])  # a document that goes, like the same two of OLD
Dead = npt.NDArray[np.void]  # of DEAD
_WINDOW_FILES = 1024  # edits whose documents are looked for together
_WINDOW_DOCUMENTS = 1 << 17  # and how many these may have
_SHORT_RECORD = 128  # bytes; a guess at how many records a file holds


@dataclass(frozen=True)
class Rules:
    """How a run treats files. ``covers``: whether the input names a place where the uri lies."""

    options: ReadOptions
    part_bytes: int
    prune: bool
    covers: Callable[[str], bool]
    damaged: Set[int]  # items that lost a part


@dataclass
class Update:
    """What a run will do, by file, and how much that is.

    files:      how many are new, changed, unchanged or missing; of the unchanged how many are
                touched, of the missing how many are gone or pruned
    differing:  whether any changed file is recorded differently
    slices:     how many there are to chunk
    total:      of all changed and pruned files
    vanished_before: documents of unchanged files that vanished in an earlier run
    """

    scratch: Scratch
    edits: Spool[Edit]
    rejections: Spool[Rejected]
    files: Counter[str] = field(default_factory=Counter)
    differing: bool = False
    slices: int = 0
    total: FileUpdate = field(default_factory=FileUpdate)
    vanished_before: int = 0
    dying: list[Dead] = field(default_factory=lambda: [np.empty(0, DEAD)])

    @property
    def dead(self) -> Dead:
        """(n,) of DEAD, the documents that the run replaces or removes."""
        return np.concatenate(self.dying)

    @property
    def not_named(self) -> int:
        """Files of the database that lie where the input names nothing."""
        return self.files[MISSING] - self.files[GONE] - self.files[PRUNED]

    def pieces(self) -> Iterator[tuple[Slice, str]]:
        """All that is to be chunked, in order, with the sha256 of its file."""
        for edit in self.edits:
            for piece in edit.slices(self.scratch):
                yield piece, edit.known.sha256


def plan_update(
    folder: Path, parts: Sequence[Part], found: Iterable[Compared], rules: Rules, scratch: Scratch
) -> Update:
    """New files whole, changed files by document, and the documents that go with pruned files.

    ``found`` comes in the order of uris; so do the edits.
    """
    rejections: Spool[Rejected] = Spool(scratch, lambda values: Rejected(*values))
    planner = _Planner(folder, parts, rules, Update(scratch, Spool(scratch, Edit.make), rejections))
    return planner.plan(found)


class _Planner:
    """Fills an update, a window of edits at a time."""

    def __init__(self, folder: Path, parts: Sequence[Part], rules: Rules, update: Update) -> None:
        self._folder = folder
        self._parts = parts
        self._rules = rules
        self._update = update
        self._documents: Counter[int] = Counter()  # of each item
        for part in parts:
            self._documents[part.item] += part.written.docs

    def plan(self, found: Iterable[Compared]) -> Update:
        update = self._update
        for window in self._windows(self._edits(found)):
            for edit in self._with_documents(window):
                update.edits.append(edit)
                update.slices += len(edit.pieces)
                update.total = update.total.plus(edit.update)
        return update

    def _edits(self, found: Iterable[Compared]) -> Iterator[Edit]:
        """Of changed and pruned files without their documents."""
        update = self._update
        for file in found:
            update.files[file.state] += 1
            if file.state == UNCHANGED:
                update.vanished_before += file.now.vanished
                if file.now != file.before:
                    update.files[TOUCHED] += 1
                    yield Edit(TOUCHED, file.now)
            elif file.state == CHANGED:
                update.differing |= file.now != file.before
                yield Edit(CHANGED, file.now, file.path)
            elif file.state == NEW:
                new = Edit(NEW, file.now, file.path)
                slices = split(new.file, self._rules.options, self._rules.part_bytes)
                yield new._replace(pieces=pieces_of(slices, update.scratch))
            else:
                yield from self._missing(file)

    def _missing(self, file: Compared) -> Iterator[Edit]:
        now = doubted(file.now, self._rules.damaged)
        if self._rules.covers(now.uri):
            state = PRUNED if self._rules.prune else GONE
            self._update.files[state] += 1
            yield Edit(state, now)
        elif now != file.before:
            yield Edit(UNNAMED, now)

    def _windows(self, edits: Iterable[Edit]) -> Iterator[list[Edit]]:
        """Edits whose documents fit in memory together, or that of one file with very many."""
        window: list[Edit] = []
        items: set[int] = set()
        for edit in edits:
            if edit.state in (CHANGED, PRUNED):
                more = items.union(edit.known.items)
                if items and self._most_documents(more) > _WINDOW_DOCUMENTS:
                    yield window
                    window, more = [], set(edit.known.items)
                items = more
            window.append(edit)
            if len(window) == _WINDOW_FILES:
                yield window
                window, items = [], set()
        yield window

    def _most_documents(self, items: Iterable[int]) -> int:
        """The most that a file in these items can have."""
        return sum(self._documents[item] for item in items)

    def _with_documents(self, window: Sequence[Edit]) -> Iterator[Edit]:
        """The edits of a window, with what becomes of the documents of their files."""
        files = [edit.known for edit in window if edit.state in (CHANGED, PRUNED)]
        groups = iter(live_documents(self._folder, self._parts, files))
        for edit in window:
            if edit.state == CHANGED:
                yield self._changed(edit, next(groups))
            elif edit.state == PRUNED:
                yield edit._replace(update=FileUpdate(removed=self._bury(next(groups))))
            else:
                yield edit

    def _changed(self, edit: Edit, old: Iterable[Documents]) -> Edit:
        """What one changed file asks for."""
        file, scratch = edit.file, self._update.scratch
        set_aside = _SetAside(self._update.rejections)
        records = _records(file, self._rules.options, set_aside)
        most = max(file.size // _SHORT_RECORD, self._most_documents(edit.known.items))
        changes = compare_documents(old, records, scratch, piles_for(most))
        slices = [Slice(file, only=changes.positions)] if changes.positions else []
        # A file that is damaged today must not take yesterday's documents with it; one that was
        # emptied on purpose may.
        removes = self._rules.prune and not set_aside.damaged
        replaced, gone = self._bury([changes.replaced]), len(changes.vanished)
        if removes:
            self._bury([changes.vanished])
        found = FileUpdate(
            written=len(changes.positions),
            added=changes.added,
            kept=changes.kept,
            replaced=replaced,
            vanished=0 if removes else gone,
            removed=gone if removes else 0,
            set_aside=set_aside.count,
        )
        known = edit.known._replace(vanished=found.vanished)
        return edit._replace(known=known, pieces=pieces_of(slices, scratch), update=found)

    def _bury(self, blocks: Iterable[Documents]) -> int:
        """Note documents as dead; how many they are."""
        count = 0
        for documents in blocks:
            dead = np.empty(len(documents), DEAD)
            dead["part"], dead["row"] = documents["part"], documents["row"]
            self._update.dying.append(dead)
            count += len(dead)
        return count


@dataclass
class _SetAside:
    """Where the bad records of one file go; ``damaged`` if any is more than empty."""

    rejections: Spool[Rejected]
    count: int = 0
    damaged: bool = False

    def add(self, record: Rejected) -> None:
        self.rejections.append(record)
        self.count += 1
        self.damaged |= record.reason != EMPTY


def _records(
    file: InputFile, options: ReadOptions, set_aside: _SetAside
) -> Iterator[tuple[int, str, bytes]]:
    for record in read(Slice(file), options):
        if isinstance(record, Rejected):
            set_aside.add(record)
        else:
            yield record.position, record.key, document_hash(record)
