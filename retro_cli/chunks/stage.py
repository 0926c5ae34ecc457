"""The chunk stage: corpus -> Parquet parts. Running it again is the update.

Plan, work, commit. The plan depends only on the manifest and the input; workers write parts and
the journal notes each one; the commit gives ids in plan order and replaces the manifest in one
rename. A kill at any point loses at most the parts in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retro_cli.chunks.commit import (
    describe,
    kill,
    new_rejections,
    place,
    remember,
    write_quarantine,
)
from retro_cli.chunks.dedup import find_duplicates
from retro_cli.chunks.inputs import (
    Comparison,
    KnownFile,
    compare_inputs,
    doubted,
    hash_input,
    save_inputs,
)
from retro_cli.chunks.keep import Kept, keep, refuse_to_lose
from retro_cli.chunks.manifest import ChunkManifest, load_manifest
from retro_cli.chunks.plan import Item, deal, weight
from retro_cli.chunks.report import ChunkReport
from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.chunks.update import Update, plan_update
from retro_cli.chunks.work import Done, Task, chunk_item
from retro_cli.config import Settings
from retro_cli.corpus import InputFile, ReadOptions, raw_blocks, roots
from retro_cli.engine import run_parts
from retro_cli.errors import UnreadableInput
from retro_cli.events import SILENT, Progress
from retro_cli.store.atomic import sweep_temporaries
from retro_cli.store.files import Verified
from retro_cli.store.journal import Journal

PART_BYTES = 8 << 20  # of input: about 36,000 chunks, 28 MB of MiniLM vectors
JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class ChunkJob:
    """What the caller asks for."""

    folder: Path
    settings: Settings
    tokenizer: Path
    specs: Sequence[str]
    inputs: Sequence[InputFile]
    workers: int = 1
    prune: bool = False
    part_bytes: int = PART_BYTES
    accepted: Callable[[], None] = lambda: None  # called once the plan stands, before any work


def chunk(job: ChunkJob, progress: Progress = SILENT) -> ChunkReport:
    """Bring the chunks of ``job.folder`` in line with the input. The caller holds the lock.

    Raises UnreadableInput if nothing at all could be read, UsageError if the settings changed
    and documents that would have to be chunked again are not in the input.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(job.folder)
    run = _Run(job, progress)
    return run.execute()


class _Run:
    """One run's state between plan and commit."""

    def __init__(self, job: ChunkJob, progress: Progress) -> None:
        self.job = job
        self.progress = progress
        self.folder = job.folder
        self.options = read_options(job.settings)
        self.roots = roots(job.specs)
        tokenizer = ChunkTokenizer(job.tokenizer)
        self.fingerprint = job.settings.chunk_fingerprint(
            tokenizer.sha256, self.options.fingerprint()
        )
        self.token_bytes = tokenizer.dtype().itemsize
        self.tokenizer_sha256 = tokenizer.sha256
        self.verified = Verified(self.folder)
        self.listed = {file.uri: file for file in job.inputs}

    def execute(self) -> ChunkReport:
        committed = load_manifest(self.folder)
        identity = ChunkManifest(self.fingerprint, self.tokenizer_sha256, self.token_bytes)
        kept = keep(self.folder, committed, identity, self.verified)
        for note in kept.notes:
            self.progress.note(note)
        manifest, known, damaged = kept.manifest, kept.known, kept.damaged
        comparison = compare_inputs(
            self.listed,
            known,
            lambda f: not damaged.isdisjoint(f.items) or (self.job.prune and f.vanished > 0),
            self._sha256,
        )
        comparison.missing = doubted(comparison.missing, damaged)
        pruned = [f for f in comparison.missing if self.job.prune and self._covered(f)]
        if not self.job.prune:
            refuse_to_lose(kept, self.listed)
        update = plan_update(
            self.folder,
            manifest.parts,
            comparison,
            self.listed,
            self.options,
            part_bytes=self.job.part_bytes,
            pruned=pruned,
            prune=self.job.prune,
        )
        self.job.accepted()
        items = deal(update.slices, manifest.next_item, self.job.part_bytes)
        if committed == manifest and not items and not len(update.dead) and not pruned:
            same = all(known[f.uri] == f for f in comparison.unchanged)
            if same and not comparison.changed and committed.dedup == self.job.settings.dedup:
                return self._nothing(committed, comparison)
        hashes = {f.uri: f.sha256 for f in (*comparison.new, *comparison.changed)}
        done = self._work(items, hashes)
        return self._commit(committed, kept, comparison, pruned, update, items, done)

    def _sha256(self, file: InputFile) -> str:
        """The file's hash, or "" if it cannot be read: then it is asked again every time."""
        try:
            return hash_input(raw_blocks, file)
        except UnreadableInput:
            return ""

    def _covered(self, file: KnownFile) -> bool:
        return self.roots.covers(file.uri)

    def _work(self, items: Sequence[Item], hashes: dict[str, str]) -> list[Done]:
        """Run what the journal does not vouch for; results in plan order."""
        journal = Journal(self.folder / JOURNAL)
        keys = [item.key(self.fingerprint, hashes) for item in items]
        results: dict[int, Done] = {}
        for position, key in enumerate(keys):
            record = journal.get(key)
            if record is not None:
                done = Done.from_json(record)
                if not any(self.verified.problem(file) for file in done.files()):
                    results[position] = done
        if results:
            self.progress.note(
                f"resuming: {len(results)} of {len(items)} pieces were finished before"
            )
        waiting = [position for position in range(len(items)) if position not in results]
        total = sum(weight(piece) for item in items for piece in item.slices)
        self.progress.started("chunk", total, "bytes")
        for position in results:
            self.progress.advanced("chunk", sum(map(weight, items[position].slices)))
        tasks = [self._task(items[position]) for position in waiting]
        for index, done in run_parts(chunk_item, tasks, self.job.workers):
            position = waiting[index]
            for file in done.files():
                self.verified.trust(file)
            journal.append(keys[position], done.to_json())
            results[position] = done
            self.progress.advanced("chunk", sum(map(weight, items[position].slices)))
        self.progress.finished("chunk")
        return [results[position] for position in range(len(items))]

    def _task(self, item: Item) -> Task:
        settings = self.job.settings
        return Task(
            item, self.folder, self.job.tokenizer, settings.tokens, settings.cut, self.options
        )

    def _commit(
        self,
        committed: ChunkManifest | None,
        kept: Kept,
        comparison: Comparison,
        pruned: Sequence[KnownFile],
        update: Update,
        items: Sequence[Item],
        done: Sequence[Done],
    ) -> ChunkReport:
        manifest = kept.manifest
        parts = kill(self.folder, manifest.parts, update.dead)
        parts, next_id = place(parts, items, done, manifest.next_id)
        if not manifest.parts and not any(part.live_docs for part in parts):
            self._nothing_read(done, update)
        files = remember(comparison, pruned, items, done, update.vanished)
        reread = {f.uri for f in (*comparison.new, *comparison.changed, *pruned)}
        fresh = new_rejections(self.folder, done, update)
        set_aside = write_quarantine(self.folder, fresh, reread)
        duplicates = find_duplicates(self.folder, parts, self.job.settings.dedup)
        new = replace(
            manifest,
            dedup=self.job.settings.dedup,
            parts=tuple(parts),
            next_id=next_id,
            next_item=items[-1].number + 1 if items else manifest.next_item,
            inputs=save_inputs(self.folder, files),
            aliases=duplicates.aliases.save(self.folder),
            duplicate_docs=duplicates.docs,
            duplicate_rows=duplicates.rows,
            rejected=set_aside.total,
        )
        if committed is None or new != committed:
            new.save(self.folder)
        self._tidy(new)
        written = [part for result in done for part in result.parts]
        return ChunkReport(
            files_new=len(comparison.new),
            files_changed=len(comparison.changed),
            files_unchanged=len(comparison.unchanged),
            files_missing=len(comparison.missing) - len(pruned),
            docs_written=sum(part.docs for part in written),
            docs_replaced=update.replaced,
            docs_removed=update.removed,
            docs_vanished=sum(update.vanished.values()),
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
            notes=kept.notes,
        )

    def _nothing_read(self, done: Sequence[Done], update: Update) -> None:
        """A first run that read nothing good commits nothing, and says what was wrong."""
        first = next(new_rejections(self.folder, done, update), None)
        if first is not None:
            count = sum(result.rejections for result in done)
            raise UnreadableInput(
                f"nothing could be read: {describe(first)}",
                f"{count} records were set aside, none was good",
            )

    def _nothing(self, committed: ChunkManifest, comparison: Comparison) -> ChunkReport:
        """Nothing to do: leave every byte alone but the cache of file times."""
        self._tidy(committed)
        return ChunkReport(
            files_unchanged=len(comparison.unchanged),
            files_missing=len(comparison.missing),
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
        for leftover in self.folder.glob("part-*.rejected.jsonl"):
            leftover.unlink()
        Journal(self.folder / JOURNAL).discard()


def read_options(settings: Settings) -> ReadOptions:
    return ReadOptions(
        format=settings.input_format,
        text_field=settings.text_field,
        id_field=settings.id_field,
        title_field=settings.title_field,
        source_field=settings.source_field,
        encoding=settings.encoding,
        with_title=settings.with_title,
    )
