"""The embed stage: chunk parts -> vector parts, row for row, with a frozen encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.live import own_live, searchable
from retro_cli.chunks.manifest import ChunkManifest, Part, require_manifest
from retro_cli.config import fingerprint
from retro_cli.embeddings.manifest import (
    EmbeddedPart,
    EmbeddingManifest,
    load_manifest,
    made_by,
)
from retro_cli.embeddings.resolve import ResolvedEncoder
from retro_cli.embeddings.spec import EXTERNAL, EncoderSpec
from retro_cli.embeddings.work import Task, embed_part
from retro_cli.engine import ANYWHERE, Load, Where, open_engine
from retro_cli.errors import UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.store.atomic import sweep_temporaries
from retro_cli.store.files import Verified
from retro_cli.store.journal import Journal
from retro_cli.store.layout import Layout
from retro_cli.wording import counted

JOURNAL = "journal.jsonl"
# Chunks a second on one core, about: of a table of words, and of a transformer.
STATIC_RATE, RATE = 20_000.0, 100.0
MOST_READ = 100  # files of an encoder that workers are compared by


@dataclass(frozen=True)
class EmbedReport:
    """What a run did and what there is now. ``rows_total``: the living vectors."""

    parts_done: int
    parts_kept: int
    rows_embedded: int
    rows_total: int
    encoder: EncoderSpec
    precision: str
    from_ids: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EmbedJob:
    """What the caller asks for. ``threads`` 0 means the cores, shared among the workers (of a
    cluster: one each)."""

    layout: Layout
    encoder: ResolvedEncoder
    precision: str = "fp32"
    device: str = "auto"
    where: Where = ANYWHERE
    threads: int = 0
    named: bool = True  # whether the user named the encoder now


def embed(job: EmbedJob, progress: Progress = SILENT) -> EmbedReport:
    """Bring the vectors in line with the chunks and the encoder. The caller holds the lock."""
    chunks = require_manifest(job.layout.chunks)
    folder = job.layout.embeddings
    folder.mkdir(exist_ok=True)
    sweep_temporaries(folder)
    spec = job.encoder.spec
    before = load_manifest(folder)
    aliases = Aliases.load(job.layout.chunks, chunks.aliases)
    if before is not None and before.encoder.kind == EXTERNAL and not job.named:
        return _keep_external(chunks, aliases, before)
    notes = list(_reasons(before, spec, job.precision))
    wanted = wanted_parts(chunks, aliases, made_by(spec, job.precision))
    verified = Verified(folder)
    kept = _still_good(before, wanted, verified, notes)
    for note in notes:
        progress.note(note)
    waiting = [part for part in wanted if part.part.name not in kept]
    use_ids = uses_stored_ids(chunks, spec)
    if waiting and not use_ids:
        progress.note(
            "the chunks' tokenizer is not the encoder's (or a document prompt is set): "
            "tokenising the text again"
        )
    done = _work(job, waiting, use_ids, chunks.token_bytes, verified, progress)
    parts = {**kept, **done}
    manifest = EmbeddingManifest(spec, job.precision, parts)
    if before != manifest:
        manifest.save(folder)
    Journal(folder / JOURNAL).discard()
    verified.save({part.file.name for part in parts.values()})
    return EmbedReport(
        parts_done=len(done),
        parts_kept=len(kept),
        rows_embedded=sum(part.embedded for part in done.values()),
        rows_total=sum(want.live for want in wanted),
        encoder=spec,
        precision=job.precision,
        from_ids=use_ids,
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class WantedPart:
    """A chunk part whose vectors there should be; ``skipped`` rows are merged into others, and
    ``live`` of the rest may be found."""

    part: Part
    skipped: tuple[int, ...]
    fingerprint: str
    live: int


def wanted_parts(chunks: ChunkManifest, aliases: Aliases, maker: str) -> list[WantedPart]:
    """Every chunk part that has a searchable row, with the fingerprint its vectors must carry."""
    result = []
    live = searchable(own_live(chunks), aliases)
    for part in chunks.parts:
        found = int(live[part.base : part.base + part.rows].sum())
        if not found:
            continue
        low, high = np.searchsorted(aliases.member, [part.base, part.base + part.rows])
        skipped = aliases.member[low:high] - part.base
        marks = hashlib.sha256(skipped.astype("<i8").tobytes()).hexdigest()
        identity = fingerprint([part.written.files[0].sha256, marks, maker])
        result.append(WantedPart(part, tuple(skipped.tolist()), identity, found))
    return result


def uses_stored_ids(chunks: ChunkManifest, spec: EncoderSpec) -> bool:
    return chunks.tokenizer_sha256 == spec.tokenizer_sha256 and not spec.document_prompt


def _keep_external(
    chunks: ChunkManifest, aliases: Aliases, before: EmbeddingManifest
) -> EmbedReport:
    """Vectors made elsewhere stay while they cover the chunks; ours never replace them unasked."""
    wanted = wanted_parts(chunks, aliases, before.made_by)
    have = {name: part.fingerprint for name, part in before.parts.items()}
    if any(have.get(want.part.name) != want.fingerprint for want in wanted):
        raise UsageError(
            "the vectors were made elsewhere and do not cover all chunks any more",
            "give new ones with --from, or name an --encoder to embed everything here",
        )
    rows = sum(want.live for want in wanted)
    return EmbedReport(0, len(have), 0, rows, before.encoder, before.precision, False)


def _reasons(before: EmbeddingManifest | None, spec: EncoderSpec, precision: str) -> Sequence[str]:
    if before is None:
        return []
    if before.encoder.fingerprint() != spec.fingerprint():
        return [f"the encoder changed ({before.encoder.name} -> {spec.name}): embedding all again"]
    if before.made_by != made_by(spec, precision):
        return [f"the precision changed ({before.precision} -> {precision}): embedding all again"]
    return []


def _still_good(
    before: EmbeddingManifest | None,
    wanted: Sequence[WantedPart],
    verified: Verified,
    notes: list[str],
) -> dict[str, EmbeddedPart]:
    kept: dict[str, EmbeddedPart] = {}
    for want in wanted:
        have = before.parts.get(want.part.name) if before else None
        if have is None or have.fingerprint != want.fingerprint:
            continue
        if problem := verified.problem(have.file):
            notes.append(f"{problem}: embedding its part again")
        else:
            kept[want.part.name] = have
    return kept


def _work(
    job: EmbedJob,
    waiting: Sequence[WantedPart],
    use_ids: bool,
    token_bytes: int,
    verified: Verified,
    progress: Progress,
) -> dict[str, EmbeddedPart]:
    journal = Journal(job.layout.embeddings / JOURNAL)
    done: dict[str, EmbeddedPart] = {}
    todo = []
    for want in waiting:
        record = journal.get(want.fingerprint)
        part = EmbeddedPart.from_json(record) if record else None
        if part and part.name == want.part.name and not verified.problem(part.file):
            done[part.name] = part
        else:
            todo.append(want)
    if done:
        progress.note(f"resuming: {len(done)} of {counted(len(waiting), 'part')} finished before")
    progress.started("embed", sum(want.part.rows for want in waiting), "chunks")
    progress.advanced("embed", sum(part.rows for part in done.values()))
    engine = open_engine(job.where, _load(job, todo), progress)
    tasks = (_task(job, want, engine.threads, use_ids, token_bytes) for want in todo)
    work = embed_part
    if engine.here:  # then progress moves within a part
        work = partial(embed_part, advance=lambda rows: progress.advanced("embed", rows))
    with closing(engine.run(work, tasks)) as made:
        for index, file in made:
            want = todo[index]
            part = EmbeddedPart(
                want.part.name,
                want.part.rows,
                want.part.rows - len(want.skipped),
                want.fingerprint,
                file,
            )
            verified.trust(file)
            journal.append(want.fingerprint, part.to_json())
            done[part.name] = part
            if not engine.here:
                progress.advanced("embed", part.rows)
    progress.finished("embed")
    return done


def _load(job: EmbedJob, todo: Sequence[WantedPart]) -> Load:
    static = job.encoder.spec.kind == "static"
    files = job.encoder.folder.absolute().rglob("*")
    return Load(
        pieces=len(todo),
        seconds=sum(want.live for want in todo) / (STATIC_RATE if static else RATE),
        folder=job.layout.embeddings,
        threads=job.threads,
        gpu=job.device == "cuda" and not static,
        reads=tuple(sorted(each for each in files if each.is_file())[:MOST_READ]),
    )


def _task(job: EmbedJob, want: WantedPart, threads: int, use_ids: bool, token_bytes: int) -> Task:
    return Task(
        chunks=job.layout.chunks.absolute() / want.part.chunks_file,
        target=job.layout.embeddings.absolute() / want.part.name,
        rows=want.part.rows,
        skipped=want.skipped,
        encoder=job.encoder,
        precision=job.precision,
        device=job.device,
        threads=threads,
        token_bytes=token_bytes,
        use_ids=use_ids,
    )
