"""What chunking the input would change. Reads what the stage's plan reads, writes nothing.

The plan is the stage's own; new files, which the plan leaves to the work, are read here and
counted, but not tokenised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from retro_cli.chunks.documents import count_documents
from retro_cli.chunks.edits import GONE, PRUNED, TOUCHED, Edit
from retro_cli.chunks.inputs import CHANGED, MISSING, NEW, UNCHANGED
from retro_cli.chunks.job import ChunkJob, ChunkPlan, plan_chunks, read_options
from retro_cli.chunks.keep import lost_files
from retro_cli.chunks.plan import weight
from retro_cli.corpus import Rejected, read
from retro_cli.events import SILENT, Progress
from retro_cli.store.files import Verified
from retro_cli.wording import agreed, counted


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
    changed = (_changed_file(edit) for edit in plan.update.edits if edit.state == CHANGED)
    files = [*_new_files(job, plan, progress), *changed, *missing]
    found = _summary(job, plan, sorted(files, key=lambda file: file.file))
    for note in found.notes[len(plan.kept.notes) :]:
        progress.note(note)
    return found


def _new_files(job: ChunkJob, plan: ChunkPlan, progress: Progress) -> Iterator[FileDifference]:
    """Read what is new, in the pieces that the stage would read it in."""
    options = read_options(job.settings)
    new = [edit for edit in plan.update.edits if edit.state == NEW]
    scratch = plan.update.scratch
    total = sum(weight(piece) for edit in new for piece in edit.slices(scratch))
    progress.started("read", total, "bytes")
    for edit in new:
        documents = characters = bad = 0
        for piece in edit.slices(scratch):
            for record in read(piece, options):
                if isinstance(record, Rejected):
                    bad += 1
                else:
                    documents += 1
                    characters += len(record.text)
            progress.advanced("read", weight(piece))
        yield FileDifference(
            edit.uri,
            NEW,
            added=documents,
            written=documents,
            characters=characters,
            set_aside=bad,
        )
    progress.finished("read")


def _changed_file(edit: Edit) -> FileDifference:
    update = edit.update
    return FileDifference(
        edit.uri,
        CHANGED,
        added=update.added,
        replaced=update.replaced,
        unchanged=update.kept,
        vanished=update.vanished,
        removed=update.removed,
        written=update.written,
        set_aside=update.set_aside,
    )


def _missing_files(job: ChunkJob, plan: ChunkPlan) -> list[FileDifference]:
    """The files that the input's folders and globs cover, but that are gone."""
    edits = plan.update.edits
    if job.prune:
        pruned = (edit for edit in edits if edit.state == PRUNED)
        return [FileDifference(e.uri, MISSING, removed=e.update.removed) for e in pruned]
    gone = [edit.known for edit in edits if edit.state == GONE]
    counts = count_documents(job.folder, plan.kept.manifest.parts, gone)
    return [
        FileDifference(file.uri, MISSING, vanished=count)
        for file, count in zip(gone, counts, strict=True)
    ]


def _summary(job: ChunkJob, plan: ChunkPlan, files: list[FileDifference]) -> InputsDifference:
    kept, counts, total = plan.kept, plan.update.files, plan.update.total
    missing = [file for file in files if file.state == MISSING]
    docs_missing = sum(file.vanished for file in missing)
    before = kept.manifest.live_docs
    replaced, removed, vanished = total.replaced, total.removed, total.vanished
    vanished_before = plan.update.vanished_before
    written = sum(file.written for file in files)
    return InputsDifference(
        files=tuple(files),
        prune=job.prune,
        would_change=plan.changes_chunks,
        starts_over=plan.starts_over,
        files_new=counts[NEW],
        files_changed=counts[CHANGED],
        files_unchanged=counts[UNCHANGED],
        files_touched=counts[TOUCHED],
        files_missing=len(missing),
        files_not_named=plan.update.not_named,
        docs_added=sum(file.added for file in files),
        docs_replaced=replaced,
        docs_unchanged=before - replaced - removed - vanished - vanished_before - docs_missing,
        docs_vanished=vanished,
        docs_vanished_before=vanished_before,
        docs_missing=docs_missing,
        docs_removed=removed,
        docs_written=written,
        docs_before=plan.docs_before,
        docs_after=before + written - replaced - removed,
        characters_new=sum(file.characters for file in files),
        set_aside=sum(file.set_aside for file in files),
        notes=(*kept.notes, *_notes(job, plan)),
    )


def _notes(job: ChunkJob, plan: ChunkPlan) -> Iterator[str]:
    """What the stage would do in silence."""
    count, first = lost_files(plan.kept, job.inputs)
    if count:
        go = agreed(
            count, "that is not named goes with all its", "that are not named go with all their"
        )
        yield f"{counted(count, 'input file')} {go} documents, the first is {first}"
    if plan.committed is not None and plan.committed.dedup != plan.dedup:
        yield f"duplicates are merged anew: {plan.dedup} instead of {plan.committed.dedup}"
