"""What the index stage is asked for, what there is to index, and whether training can be kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.manifest import ChunkManifest, require_manifest
from retro_cli.embeddings.manifest import made_by
from retro_cli.embeddings.manifest import require_manifest as require_embeddings
from retro_cli.embeddings.spec import EncoderSpec
from retro_cli.embeddings.stage import wanted_parts
from retro_cli.engine import HERE, Where
from retro_cli.errors import NotBuiltYet, UsageError
from retro_cli.filters.exclusion import Exclusion, exclude
from retro_cli.filters.ledger import Ledger, load_ledger
from retro_cli.index.generation import Generation
from retro_cli.index.plan import IndexPlan, plan_index
from retro_cli.index.vectors import VectorPart, Vectors
from retro_cli.store.layout import Layout
from retro_cli.wording import counted

DEFAULT_RECALL = 0.95
GROWTH_BEFORE_TRAINING = 4.0
SWITCH = 1.5  # how far the rows must have moved before exact search gives way to lists, or back

Bits = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
TextQueries = Callable[[Layout, ChunkManifest, EncoderSpec, Bits], Floats | None]


@dataclass(frozen=True)
class IndexJob:
    """What the caller asks for. ``memory_bytes`` bounds the index, not the training."""

    layout: Layout
    recall: float | None = None  # None: as before, else DEFAULT_RECALL
    factory: str = ""  # "": as before; "auto": the plan's
    memory_bytes: int = 4 << 30
    retrain: bool = False
    threads: int = 0
    seed: int = 0
    text_queries: TextQueries | None = None
    stemmer: str | None = None  # None: as the settings say
    words: bool | None = None  # whether to keep a lexical index; None: as the settings say
    where: Where = HERE  # to make segments


@dataclass(frozen=True)
class State:
    """Chunks, vectors and rules that a generation is made of. ``live``: rows to be found."""

    chunks: ChunkManifest
    encoder: EncoderSpec
    precision: str
    live: Bits
    excluded: Exclusion
    files: dict[str, str]  # chunk part name -> vectors file
    parts: tuple[VectorPart, ...]

    @property
    def made_by(self) -> str:
        return made_by(self.encoder, self.precision)

    def vectors(self) -> Vectors:
        return Vectors(self.parts, self.encoder.dim)


def state_of(
    layout: Layout, generation: Generation, chunks: ChunkManifest, ledger: Ledger
) -> State:
    """What a generation was made of, under the rules that hold now.

    chunks: the manifest that it was made from
    """
    aliases = Aliases.load(layout.chunks, chunks.aliases)
    excluded = exclude(layout, chunks, aliases, ledger)
    parts = tuple(
        VectorPart(str(layout.embeddings / generation.vectors[p.name]), p.base, p.rows)
        for p in chunks.parts
        if p.name in generation.vectors
    )
    live = excluded.live(chunks, aliases)
    return State(
        chunks,
        generation.encoder,
        generation.precision,
        live,
        excluded,
        generation.vectors,
        parts,
    )


def read_state(layout: Layout) -> State:
    """What there is now. Raises NotBuiltYet unless every chunk part with rows has its vectors."""
    chunks = require_manifest(layout.chunks)
    embeddings = require_embeddings(layout.embeddings)
    aliases = Aliases.load(layout.chunks, chunks.aliases)
    files: dict[str, str] = {}
    parts: list[VectorPart] = []
    missing = 0
    for want in wanted_parts(chunks, aliases, embeddings.made_by):
        have = embeddings.parts.get(want.part.name)
        if have is None or have.fingerprint != want.fingerprint:
            missing += 1
            continue
        files[want.part.name] = have.file.name
        path = str(layout.embeddings / have.file.name)
        parts.append(VectorPart(path, want.part.base, want.part.rows))
    if missing:
        raise NotBuiltYet(
            f"no vectors yet for {missing:,} of {counted(missing + len(parts), 'chunk part')}",
            f"run: retro embed {layout.root}",
        )
    excluded = exclude(layout, chunks, aliases, load_ledger(layout))
    live = excluded.live(chunks, aliases)
    encoder, precision = embeddings.encoder, embeddings.precision
    return State(chunks, encoder, precision, live, excluded, files, tuple(parts))


def as_before(job: IndexJob, previous: Generation | None) -> IndexJob:
    """What the user did not name now stays as it was."""
    recall, factory = job.recall, job.factory
    if recall is None:
        recall = previous.quality.target if previous else DEFAULT_RECALL
    if not factory and previous is not None:
        factory = previous.requested_factory
    return replace(job, recall=recall, factory="" if factory == "auto" else factory)


def plan_for(job: IndexJob, state: State, previous: Generation | None) -> IndexPlan:
    rows = int(state.live.sum())
    if not rows and previous is not None:
        return previous.plan  # all that is left to do is to mask what died
    if not rows:
        if state.excluded.rules:
            numbers = ", ".join(map(str, state.excluded.rules))
            raise UsageError(
                f"there is nothing to index: filter rules ({numbers}) take every chunk",
                "retro filter list shows them",
            )
        raise UsageError("there is nothing to index: no chunk is alive", "run retro chunk first")
    dim = state.encoder.dim
    return plan_index(rows, dim, job.memory_bytes, job.recall or DEFAULT_RECALL, job.factory)


def other_vectors(generation: Generation, maker: str, files: Mapping[str, str]) -> str:
    """Why the vectors, by chunk part, are not those a generation is made of, or "" if they are."""
    if made_by(generation.encoder, generation.precision) != maker:
        return "the vectors come from another encoder"
    if any(files.get(name, file) != file for name, file in generation.vectors.items()):
        return "vectors were made again"
    return ""


def why_retrain(previous: Generation | None, state: State, plan: IndexPlan, job: IndexJob) -> str:
    """Why the trained template cannot be kept, or "" if it can."""
    if previous is None:
        return "first build"
    if job.retrain:
        return "asked for with --retrain"
    if reason := other_vectors(previous, state.made_by, state.files):
        return reason
    if job.factory != previous.requested_factory:
        return f"--factory {job.factory or 'auto'} was asked for"
    rows = int(state.live.sum())
    if rows and not job.factory:
        if plan.exact != previous.plan.exact and plan.factory != previous.plan.factory:
            if not previous.template_rows / SWITCH <= rows <= previous.template_rows * SWITCH:
                called = counted(rows, "row calls", "rows call")
                return f"{called} for {plan.factory} instead of {previous.plan.factory}"
        elif rows > GROWTH_BEFORE_TRAINING * previous.template_rows:
            grown = counted(rows, "row has", "rows have")
            return f"{grown} outgrown training on {previous.template_rows:,}"
    return ""
