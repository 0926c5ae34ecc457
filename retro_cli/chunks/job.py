"""What a run of the chunk stage is asked for, and what it has to do: all before the first write.

``retro chunk`` carries a plan out, ``retro diff`` only tells what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from retro_cli.chunks.inputs import Comparison, KnownFile, compare_inputs, doubted, hash_input
from retro_cli.chunks.keep import Kept, keep, refuse_to_lose
from retro_cli.chunks.manifest import ChunkManifest, load_manifest
from retro_cli.chunks.plan import Item, deal
from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.chunks.update import Update, plan_update
from retro_cli.config import Settings
from retro_cli.corpus import InputFile, ReadOptions, raw_blocks, roots
from retro_cli.errors import UnreadableInput
from retro_cli.events import SILENT, Progress
from retro_cli.store.files import Verified

PART_BYTES = 8 << 20  # of input: about 36,000 chunks, 28 MB of MiniLM vectors


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


@dataclass(frozen=True)
class ChunkPlan:
    """What a run will do. ``missing`` files of the comparison stay, but for those in ``pruned``."""

    committed: ChunkManifest | None
    kept: Kept
    comparison: Comparison
    pruned: Sequence[KnownFile]
    update: Update
    items: Sequence[Item]
    dedup: str

    @property
    def read_now(self) -> list[KnownFile]:
        """The files that hold something to chunk, or may."""
        return [*self.comparison.new, *self.comparison.changed]

    @property
    def starts_over(self) -> bool:
        """Whether the settings give up every document that there is."""
        before = self.committed
        return before is not None and before.fingerprint != self.kept.manifest.fingerprint

    @property
    def nothing_to_do(self) -> bool:
        """Whether all is as recorded, to the time of each file."""
        if self.comparison.changed or self.changes_chunks:
            return False
        return all(self.kept.known[file.uri] == file for file in self.comparison.unchanged)

    @property
    def changes_chunks(self) -> bool:
        """Whether the run makes any difference but to the recorded times of files."""
        if self.committed is None or self.committed != self.kept.manifest:
            return True
        if self.items or len(self.update.dead) or self.pruned:
            return True
        # A damaged file that still has something to prune is read again, often to no effect.
        other = any(self.kept.known[file.uri] != file for file in self.comparison.changed)
        return other or self.committed.dedup != self.dedup


def plan_chunks(job: ChunkJob, verified: Verified, progress: Progress = SILENT) -> ChunkPlan:
    """Compare the database with the input. Writes nothing, not even what ``verified`` learns.

    Raises UsageError if the settings changed and documents that would have to be chunked again
    are not in the input.
    """
    options = read_options(job.settings)
    listed = {file.uri: file for file in job.inputs}
    committed = load_manifest(job.folder)
    kept = keep(job.folder, committed, _identity(job, options), verified)
    for note in kept.notes:
        progress.note(note)
    damaged = kept.damaged
    comparison = compare_inputs(
        listed,
        kept.known,
        lambda f: not damaged.isdisjoint(f.items) or (job.prune and f.vanished > 0),
        _sha256,
    )
    comparison.missing = doubted(comparison.missing, damaged)
    pruned = covered(job, comparison.missing) if job.prune else []
    if not job.prune:
        refuse_to_lose(kept, listed)
    update = plan_update(
        job.folder,
        kept.manifest.parts,
        comparison,
        listed,
        options,
        part_bytes=job.part_bytes,
        pruned=pruned,
        prune=job.prune,
    )
    items = deal(update.slices, kept.manifest.next_item, job.part_bytes)
    return ChunkPlan(committed, kept, comparison, pruned, update, items, job.settings.dedup)


def covered(job: ChunkJob, missing: Sequence[KnownFile]) -> list[KnownFile]:
    """Of files that are not in the input, those that lie under what it names: they are gone."""
    named = roots(job.specs)
    return [file for file in missing if named.covers(file.uri)]


def _identity(job: ChunkJob, options: ReadOptions) -> ChunkManifest:
    """An empty manifest with today's fingerprints."""
    tokenizer = ChunkTokenizer(job.tokenizer)
    fingerprint = job.settings.chunk_fingerprint(tokenizer.sha256, options.fingerprint())
    return ChunkManifest(fingerprint, tokenizer.sha256, tokenizer.dtype().itemsize)


def _sha256(file: InputFile) -> str:
    """The file's hash, or "" if it cannot be read: then it is asked again every time."""
    try:
        return hash_input(raw_blocks, file)
    except UnreadableInput:
        return ""


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
