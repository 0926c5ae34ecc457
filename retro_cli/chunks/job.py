"""What a run of the chunk stage is asked for, and what it has to do: all before the first write.

``retro chunk`` carries a plan out, ``retro diff`` only tells what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retro_cli.chunks.edits import PRUNED, TOUCHED
from retro_cli.chunks.inputs import CHANGED, compare_inputs, hash_input, load_inputs
from retro_cli.chunks.keep import Kept, keep, refuse_to_empty, refuse_to_lose
from retro_cli.chunks.manifest import ChunkManifest, load_manifest
from retro_cli.chunks.plan import Item, deal
from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.chunks.update import Rules, Update, plan_update
from retro_cli.config import Settings
from retro_cli.corpus import InputFile, ReadOptions, raw_blocks, roots
from retro_cli.corpus.gather import STDIN
from retro_cli.engine import HERE, Load, Where
from retro_cli.engine.local import cores
from retro_cli.errors import UnreadableInput
from retro_cli.events import SILENT, Progress
from retro_cli.store.files import Verified
from retro_cli.store.scratch import Scratch

PART_BYTES = 8 << 20  # of input: about 36,000 chunks, 28 MB of MiniLM vectors
CHUNK_RATE = 4e6  # bytes a second on one core, about (benchmarks/chunk.py)


@dataclass(frozen=True)
class ChunkJob:
    """What the caller asks for.

    inputs:   sorted by uri, each once; they are read more than once
    where:    to run the parts
    unsaved:  of the settings, those that are to be saved with the commit, and are not yet
    accepted: called when all stands and only the commit is left
    scratch:  the folder for what does not fit in memory; by default the system's
    """

    folder: Path
    settings: Settings
    tokenizer: Path
    specs: Sequence[str]
    inputs: Iterable[InputFile]
    where: Where = HERE
    prune: bool = False
    part_bytes: int = PART_BYTES
    unsaved: Mapping[str, Any] = field(default_factory=dict)
    accepted: Callable[[], None] = lambda: None
    scratch: Path | None = None


@dataclass(frozen=True)
class ChunkPlan:
    """What a run will do."""

    committed: ChunkManifest | None
    kept: Kept
    update: Update
    dedup: str
    part_bytes: int

    def items(self) -> Iterator[Item]:
        """The pieces of work, dealt anew each time: of a million files there are many slices."""
        return deal(self.update.pieces(), self.kept.manifest.next_item, self.part_bytes)

    @property
    def docs_before(self) -> int:
        """The living documents that were committed."""
        return self.committed.live_docs if self.committed is not None else 0

    @property
    def starts_over(self) -> bool:
        """Whether the settings give up every document that there is."""
        before = self.committed
        return before is not None and before.fingerprint != self.kept.manifest.fingerprint

    @property
    def nothing_to_do(self) -> bool:
        """Whether all is as recorded, to the time of each file."""
        files = self.update.files
        return not (files[CHANGED] or files[TOUCHED] or self.changes_chunks)

    @property
    def changes_chunks(self) -> bool:
        """Whether the run makes any difference but to the recorded times of files."""
        if self.committed is None or self.committed != self.kept.manifest:
            return True
        if self.update.slices or len(self.update.dead) or self.update.files[PRUNED]:
            return True
        # A damaged file that still has something to prune is read again, often to no effect.
        return self.update.differing or self.committed.dedup != self.dedup


def plan_chunks(job: ChunkJob, verified: Verified, progress: Progress = SILENT) -> ChunkPlan:
    """Compare the database with the input. Writes nothing there, not even what ``verified`` learns.

    Raises UsageError if the settings changed and documents that would have to be chunked again
    are not in the input, or if no document would be left.
    """
    options = read_options(job.settings)
    scratch = Scratch(job.scratch)
    committed = load_manifest(job.folder)
    kept = keep(job.folder, committed, _identity(job, options), verified, scratch)
    for note in kept.notes:
        progress.note(note)
    if not job.prune:
        refuse_to_lose(kept, job.inputs)
    damaged = kept.damaged
    found = compare_inputs(
        job.inputs,
        kept.known,
        lambda f: not damaged.isdisjoint(f.items) or (job.prune and f.vanished > 0),
        _sha256,
    )
    rules = Rules(options, job.part_bytes, job.prune, roots(job.specs).covers, damaged)
    update = plan_update(job.folder, kept.manifest.parts, found, rules, scratch)
    plan = ChunkPlan(committed, kept, update, job.settings.dedup, job.part_bytes)
    if not update.slices:
        refuse_to_empty(plan.docs_before, kept.manifest.live_docs - len(update.dead))
    return plan


def knows(folder: Path) -> Callable[[str], bool]:
    """Tells whether an input, which may be gone, covers files that the chunks were made from."""

    def known(spec: str) -> bool:
        committed = load_manifest(folder)
        covers = roots([spec]).covers
        files = load_inputs(folder, committed.inputs) if committed is not None else ()
        return any(covers(file.uri) for file in files)

    return known


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


def work_load(job: ChunkJob, weights: Sequence[int]) -> Load:
    """What an engine has to know of the pieces to do, each so many bytes."""
    return Load(
        pieces=len(weights),
        seconds=sum(weights) / CHUNK_RATE,
        folder=job.folder,
        workers=cores(),
        threads=1,
        reads=(job.tokenizer.absolute(), *_read_from(job.specs)),
    )


def _read_from(specs: Sequence[str]) -> Iterator[Path]:
    """The files and folders of this machine that ``specs`` name: of a glob, where to look."""
    for spec in specs:
        if spec != STDIN and "://" not in spec:
            path = Path(spec).absolute()
            yield next(each for each in (path, *path.parents) if each.exists())
