"""What chunking the input would change. Reads what the stage's plan reads, writes nothing.

The plan is the stage's own; new files, which the plan leaves to the work, are read here and
counted, but not tokenised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from retro_cli.chunks.job import ChunkJob, ChunkPlan, covered, plan_chunks, read_options
from retro_cli.chunks.keep import Kept
from retro_cli.chunks.plan import weight
from retro_cli.chunks.update import FileUpdate, count_documents
from retro_cli.corpus import Rejected, read
from retro_cli.events import SILENT, Progress
from retro_cli.store.files import Verified
from retro_cli.wording import agreed, counted

NEW, CHANGED, MISSING = "new", "changed", "missing"


@dataclass(frozen=True, slots=True)
class FileDifference:
    """What one file's documents become; ``state`` is new, changed or missing.

    added:      documents that replace none
    vanished:   gone from the input, but kept without ``prune``; with it they are ``removed``
    written:    to be chunked: those added, and those that take the place of the replaced
    characters: of a new file's documents
    set_aside:  records that cannot be read
    """

    file: str
    state: str
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    vanished: int = 0
    removed: int = 0
    written: int = 0
    characters: int = 0
    set_aside: int = 0


@dataclass(frozen=True)
class InputsDifference:
    """All that ``retro chunk`` would change. ``files``: new, changed and missing, by name.

    files_touched:   of the unchanged ones, those with another time or place, but the same bytes
    files_not_named: files of the database that the input does not name; they stay as they are
    docs_vanished:   gone from changed files
    docs_missing:    of missing files, as long as they are kept
    docs_vanished_before: gone from unchanged files since an earlier run, and kept
    starts_over:     the settings or the tokenizer changed: every document is cut again
    would_change:    whether the run would change more than the recorded times of files
    """

    files: tuple[FileDifference, ...]
    prune: bool
    would_change: bool
    starts_over: bool
    files_new: int
    files_changed: int
    files_unchanged: int
    files_touched: int
    files_missing: int
    files_not_named: int
    docs_added: int
    docs_replaced: int
    docs_unchanged: int
    docs_vanished: int
    docs_vanished_before: int
    docs_missing: int
    docs_removed: int
    docs_written: int
    docs_before: int
    docs_after: int
    characters_new: int
    set_aside: int
    notes: tuple[str, ...] = ()


def diff_inputs(job: ChunkJob, progress: Progress = SILENT) -> InputsDifference:
    """Compare a database with the input, as ``chunk`` would find both.

    Needs no lock: it compares with what was committed when it began.

    Raises what ``chunk`` would raise before its first write.
    """
    plan = plan_chunks(job, Verified(job.folder), progress)
    missing = _missing_files(job, plan)
    files = [*_new_files(job, plan, progress), *_changed_files(plan), *missing]
    found = _summary(job, plan, sorted(files, key=lambda file: file.file))
    for note in found.notes[len(plan.kept.notes) :]:
        progress.note(note)
    return found


def _new_files(job: ChunkJob, plan: ChunkPlan, progress: Progress) -> Iterator[FileDifference]:
    """Read what is new, in the pieces that the stage would read it in."""
    options = read_options(job.settings)
    new = {file.uri: [0, 0, 0] for file in plan.comparison.new}  # documents, characters, bad
    pieces = [piece for piece in plan.update.slices if piece.file.uri in new]
    progress.started("read", sum(map(weight, pieces)), "bytes")
    for piece in pieces:
        count = new[piece.file.uri]
        for record in read(piece, options):
            if isinstance(record, Rejected):
                count[2] += 1
            else:
                count[0] += 1
                count[1] += len(record.text)
        progress.advanced("read", weight(piece))
    progress.finished("read")
    for uri, (docs, characters, bad) in new.items():
        yield FileDifference(
            uri, NEW, added=docs, written=docs, characters=characters, set_aside=bad
        )


def _changed_files(plan: ChunkPlan) -> Iterator[FileDifference]:
    for known in plan.comparison.changed:
        update = plan.update.files[known.uri]
        yield FileDifference(
            known.uri,
            CHANGED,
            added=update.added,
            replaced=update.replaced,
            unchanged=update.kept,
            vanished=update.vanished,
            removed=update.removed,
            written=update.written,
            set_aside=len(plan.update.rejections.get(known.uri, ())),
        )


def _missing_files(job: ChunkJob, plan: ChunkPlan) -> list[FileDifference]:
    """The files that the input's folders and globs cover, but that are gone."""
    if job.prune:
        removed: Mapping[str, FileUpdate] = plan.update.files
        return [
            FileDifference(file.uri, MISSING, removed=removed[file.uri].removed)
            for file in plan.pruned
        ]
    gone = covered(job, plan.comparison.missing)
    counts = count_documents(job.folder, plan.kept.manifest.parts, gone)
    return [
        FileDifference(file.uri, MISSING, vanished=count)
        for file, count in zip(gone, counts, strict=True)
    ]


def _summary(job: ChunkJob, plan: ChunkPlan, files: list[FileDifference]) -> InputsDifference:
    comparison, kept = plan.comparison, plan.kept
    missing = [file for file in files if file.state == MISSING]
    docs_missing = sum(file.vanished for file in missing)
    before = kept.manifest.live_docs
    replaced, removed, vanished = plan.update.replaced, plan.update.removed, plan.update.vanished
    vanished_before = sum(file.vanished for file in comparison.unchanged)
    written = sum(file.written for file in files)
    return InputsDifference(
        files=tuple(files),
        prune=job.prune,
        would_change=plan.changes_chunks,
        starts_over=plan.starts_over,
        files_new=len(comparison.new),
        files_changed=len(comparison.changed),
        files_unchanged=len(comparison.unchanged),
        files_touched=sum(kept.known[file.uri] != file for file in comparison.unchanged),
        files_missing=len(missing),
        files_not_named=len(comparison.missing) - len(missing),
        docs_added=sum(file.added for file in files),
        docs_replaced=replaced,
        docs_unchanged=before - replaced - removed - vanished - vanished_before - docs_missing,
        docs_vanished=vanished,
        docs_vanished_before=vanished_before,
        docs_missing=docs_missing,
        docs_removed=removed,
        docs_written=written,
        docs_before=plan.committed.live_docs if plan.committed else 0,
        docs_after=before + written - replaced - removed,
        characters_new=sum(file.characters for file in files),
        set_aside=sum(file.set_aside for file in files),
        notes=(*kept.notes, *_notes(job, plan, kept)),
    )


def _notes(job: ChunkJob, plan: ChunkPlan, kept: Kept) -> Iterator[str]:
    """What the stage would do in silence."""
    listed = {file.uri for file in job.inputs}
    dropped = sorted(kept.given_up - listed)
    if dropped:
        go = agreed(
            len(dropped),
            "that is not named goes with all its",
            "that are not named go with all their",
        )
        yield f"{counted(len(dropped), 'input file')} {go} documents, the first is {dropped[0]}"
    if plan.committed is not None and plan.committed.dedup != plan.dedup:
        yield f"duplicates are merged anew: {plan.dedup} instead of {plan.committed.dedup}"
