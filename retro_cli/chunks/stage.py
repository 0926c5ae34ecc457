"""The chunk stage: corpus -> Parquet parts. Running it again is the update.

Plan, work, commit. The plan depends only on the manifest and the input; workers write parts and
the journal notes each one; the commit gives ids in plan order and replaces the manifest in one
rename. A kill at any point loses at most the parts in flight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from retro_cli.chunks.attempt import Attempt, in_words
from retro_cli.chunks.commit import (
    describe,
    homes,
    kill,
    new_rejections,
    place,
    remember,
    reread_files,
    write_quarantine,
)
from retro_cli.chunks.dedup import find_duplicates
from retro_cli.chunks.edits import GONE
from retro_cli.chunks.inputs import CHANGED, NEW, UNCHANGED, KnownFile, save_inputs
from retro_cli.chunks.job import (
    PART_BYTES,
    ChunkJob,
    ChunkPlan,
    plan_chunks,
    read_options,
    work_load,
)
from retro_cli.chunks.judge import Holding, refuse_nothing, refuse_unread
from retro_cli.chunks.keep import refuse_to_empty
from retro_cli.chunks.manifest import ChunkManifest, Part
from retro_cli.chunks.plan import Item, Outline
from retro_cli.chunks.report import ChunkReport
from retro_cli.chunks.update import Update
from retro_cli.chunks.work import Done, Task, chunk_item
from retro_cli.engine import open_engine
from retro_cli.errors import UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.store.atomic import sweep_temporaries
from retro_cli.store.files import FileRecord, Verified
from retro_cli.wording import counted

__all__ = ["PART_BYTES", "ChunkJob", "chunk"]


def chunk(job: ChunkJob, progress: Progress = SILENT) -> ChunkReport:
    """Bring the chunks of ``job.folder`` in line with the input. The caller holds the lock.

    Raises UnreadableInput if nothing at all could be read, UsageError if no document would be left,
    or if the settings changed and documents that would have to be chunked again are not in the
    input or cannot be read. Then nothing has changed.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(job.folder)
    run = _Run(job, progress)
    try:
        return run.execute()
    except UsageError:
        run.attempt.undo()
        raise


class _Run:
    """One run's state between plan and commit."""

    def __init__(self, job: ChunkJob, progress: Progress) -> None:
        self.job = job
        self.progress = progress
        self.folder = job.folder
        self.options = read_options(job.settings)
        self.verified = Verified(self.folder)
        self.attempt = Attempt(self.folder, job.unsaved)

    def execute(self) -> ChunkReport:
        if given := in_words(self.attempt.resumes):
            self.progress.note(f"resuming with what the interrupted run was given: {given}")
        plan = plan_chunks(self.job, self.verified, self.progress)
        if plan.committed is not None and plan.nothing_to_do:
            return self._nothing(plan.committed, plan.update)
        outlines = [item.outline(plan.kept.manifest.fingerprint) for item in plan.items()]
        return self._commit(plan, outlines, self._work(plan, outlines))

    def _work(self, plan: ChunkPlan, outlines: Sequence[Outline]) -> list[Done]:
        """Run what the journal does not vouch for; results in plan order."""
        results = self._finished_before(outlines)
        if results:
            self.progress.note(
                f"resuming: {len(results)} of {counted(len(outlines), 'piece')} finished before"
            )
        self.progress.started("chunk", sum(each.weight for each in outlines), "bytes")
        for position in results:
            self.progress.advanced("chunk", outlines[position].weight)
        waiting = [position for position in range(len(outlines)) if position not in results]
        tasks = (self._task(item) for i, item in enumerate(plan.items()) if i not in results)
        load = work_load(self.job, [outlines[position].weight for position in waiting])
        engine = open_engine(self.job.where, load, self.progress)
        with closing(engine.run(chunk_item, tasks)) as made:
            for index, done in made:
                position = waiting[index]
                for file in done.files():
                    self.verified.trust(file)
                self.attempt.finished(outlines[position].key, done.to_json(), done.files())
                results[position] = done
                self.progress.advanced("chunk", outlines[position].weight)
        self.progress.finished("chunk")
        return [results[position] for position in range(len(outlines))]

    def _finished_before(self, outlines: Sequence[Outline]) -> dict[int, Done]:
        """What the journal vouches for, by position in the plan."""
        results: dict[int, Done] = {}
        for position, outline in enumerate(outlines):
            record = self.attempt.journal.get(outline.key)
            if record is not None:
                done = Done.from_json(record)
                if self._whole(done.files()):
                    results[position] = done
        return results

    def _whole(self, files: Iterable[FileRecord]) -> bool:
        return not any(self.verified.problem(file) for file in files)

    def _task(self, item: Item) -> Task:
        settings = self.job.settings
        return Task(
            item,
            self.folder.absolute(),
            self.job.tokenizer.absolute(),
            settings.tokens,
            settings.cut,
            self.options,
        )

    def _commit(
        self, plan: ChunkPlan, outlines: Sequence[Outline], done: Sequence[Done]
    ) -> ChunkReport:
        update, manifest = plan.update, plan.kept.manifest
        parts = kill(self.folder, manifest.parts, update.dead)
        parts, next_id = place(parts, manifest.next_item, done, manifest.next_id)
        self._judge(plan, parts, self._files(plan, outlines, done), done)
        reread = reread_files(self.folder, update.edits)
        fresh = new_rejections(self.folder, done, update)
        set_aside = write_quarantine(self.folder, fresh, reread)
        duplicates = find_duplicates(self.folder, parts, self.job.settings.dedup)
        new = replace(
            manifest,
            dedup=self.job.settings.dedup,
            parts=tuple(parts),
            next_id=next_id,
            next_item=manifest.next_item + len(done),
            inputs=save_inputs(self.folder, self._files(plan, outlines, done)),
            aliases=duplicates.aliases.save(self.folder),
            duplicate_docs=duplicates.docs,
            duplicate_rows=duplicates.rows,
            rejected=set_aside.total,
        )
        self.job.accepted()
        if plan.committed is None or new != plan.committed:
            new.save(self.folder)
        self._tidy(new)
        written = [part for result in done for part in result.parts]
        return ChunkReport(
            files_new=update.files[NEW],
            files_changed=update.files[CHANGED],
            files_unchanged=update.files[UNCHANGED],
            files_missing=update.files[GONE],
            files_not_named=update.not_named,
            docs_written=sum(part.docs for part in written),
            docs_replaced=update.total.replaced,
            docs_removed=update.total.removed,
            docs_vanished=update.total.vanished,
            docs_given_up=plan.docs_before if plan.starts_over else 0,
            rows_written=sum(part.rows for part in written),
            tokens_written=sum(part.tokens for part in written),
            characters_written=sum(part.characters for part in written),
            rejected=set_aside.new,
            first_rejection=describe(set_aside.first) if set_aside.first else "",
            duplicate_docs=new.duplicate_docs,
            duplicate_rows=new.duplicate_rows,
            merged=self.job.settings.dedup != "none",
            live_docs=new.live_docs,
            live_rows=new.live_rows,
            notes=plan.kept.notes,
        )

    def _files(
        self, plan: ChunkPlan, outlines: Sequence[Outline], done: Sequence[Done]
    ) -> Iterator[KnownFile]:
        """The input table after this run."""
        found = homes(outlines, done, plan.kept.manifest.next_item)
        return remember(plan.kept.known, plan.update.edits, found)

    def _judge(
        self,
        plan: ChunkPlan,
        parts: Sequence[Part],
        files: Iterable[KnownFile],
        done: Sequence[Done],
    ) -> None:
        """Raises UnreadableInput or UsageError if the run would lose what it may not."""
        self.attempt.judged = True
        rejections = new_rejections(self.folder, done, plan.update)
        if not any(part.live_docs for part in parts):
            if not plan.kept.manifest.parts:
                refuse_nothing(rejections, sum(result.rejections for result in done))
            refuse_to_empty(plan.docs_before, 0)
        if plan.committed is not None and plan.starts_over:
            whole = [part for part in plan.committed.parts if self._whole(part.written.files)]
            before = Holding(whole, plan.kept.given_up)
            given = in_words(self.job.unsaved)
            refuse_unread(self.folder, before, Holding(parts, files), rejections, given)

    def _nothing(self, committed: ChunkManifest, update: Update) -> ChunkReport:
        """Nothing to do: leave every byte alone but the cache of file times."""
        self.job.accepted()
        self._tidy(committed)
        return ChunkReport(
            files_unchanged=update.files[UNCHANGED],
            files_missing=update.files[GONE],
            files_not_named=update.not_named,
            duplicate_docs=committed.duplicate_docs,
            duplicate_rows=committed.duplicate_rows,
            merged=committed.dedup != "none",
            live_docs=committed.live_docs,
            live_rows=committed.live_rows,
        )

    def _tidy(self, manifest: ChunkManifest) -> None:
        """After the commit: the journal and what only it needed can go."""
        for record in (manifest.inputs, manifest.aliases):  # written by this process, or verified
            if record is not None and not self.verified.knows(record):
                self.verified.trust(record)
        self.verified.save({record.name for record in manifest.files()})
        self.attempt.done()
