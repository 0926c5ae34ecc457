"""What a database holds, what is stale, and why. Reads manifests, file times and the tokens of
dead rows, writes nothing."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.dedup import Aliases
from retro_cli.chunks.documents import live_tokens
from retro_cli.chunks.inputs import load_inputs
from retro_cli.chunks.live import own_live, searchable
from retro_cli.chunks.manifest import ChunkManifest, load_manifest
from retro_cli.config import Settings, load_settings
from retro_cli.corpus.inputs import local_now
from retro_cli.datastore.manifest import MAKE
from retro_cli.datastore.stage import JOURNAL
from retro_cli.datastore.state import datastore_facts
from retro_cli.embeddings.manifest import load_manifest as load_embeddings
from retro_cli.embeddings.stage import wanted_parts
from retro_cli.filters.exclusion import exclusion_key
from retro_cli.filters.ledger import load_ledger
from retro_cli.index.bitmaps import load_bitmap
from retro_cli.index.catalogue import current_generation, excluded_rows, generation_chunks
from retro_cli.index.drift import drift
from retro_cli.index.generation import Generation
from retro_cli.index.state import other_vectors
from retro_cli.lexical.state import state_of_chunks
from retro_cli.query.table import load_table, table_names
from retro_cli.store.here import stored_bytes
from retro_cli.store.layout import Layout
from retro_cli.wording import agreed, counted

DEAD_HINT = 0.2  # of the rows in the index
Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Stage:
    """One stage: ``state`` is ok, stale or missing; ``why`` and ``todo`` say what to do."""

    name: str
    state: str
    facts: dict[str, Any]
    why: str = ""
    todo: str = ""


@dataclass(frozen=True)
class Status:
    settings: Settings
    stages: tuple[Stage, ...]
    bytes: int

    @property
    def work_waiting(self) -> bool:
        return any(stage.state != "ok" for stage in self.stages)


def status(layout: Layout) -> Status:
    """Raises NotBuiltYet if there is no database, IntegrityError if a manifest is damaged."""
    settings = load_settings(layout)
    chunks = load_manifest(layout.chunks)
    stages = (_chunks(layout, chunks), _embeddings(layout, chunks), _index(layout, chunks))
    others = (*_lexical(layout), *_neighbours(layout), *_datastore(layout))
    return Status(settings, (*stages, *others), layout.size())


def _chunks(layout: Layout, chunks: ChunkManifest | None) -> Stage:
    if chunks is None:
        return Stage(
            "chunks", "missing", {}, "nothing is chunked", f"retro chunk INPUT --db {layout.root}"
        )
    facts = {
        "documents": chunks.live_docs,
        "chunks": chunks.live_rows,
        "dead": sum(part.rows for part in chunks.parts) - chunks.live_rows,
        "parts": len(chunks.parts),
        "tokens": live_tokens(layout.chunks, chunks),
        "duplicate_documents": chunks.duplicate_docs,
        "set_aside": chunks.rejected,
    }
    inputs = _input_changes(layout, chunks)
    facts |= {
        "inputs_changed": inputs.changed,
        "inputs_gone": inputs.gone,
        "inputs_elsewhere": inputs.elsewhere,
    }
    if inputs.changed or inputs.gone:
        why = (
            f"{counted(inputs.changed, 'input file')} changed and {inputs.gone:,} "
            f"{agreed(inputs.gone, 'is', 'are')} gone since the last reading"
        )
        todo = "retro chunk with the same inputs"
        if inputs.gone:
            todo += "; with --prune also what is gone goes"
        return Stage("chunks", "stale", facts, why, todo)
    if (layout.chunks / "journal.jsonl").exists():
        return Stage("chunks", "stale", facts, "a run was interrupted", "retro chunk again resumes")
    return Stage("chunks", "ok", facts)


@dataclass
class _Inputs:
    """Local input files that differ now, that are gone, and that cannot be looked for here."""

    changed: int = 0
    gone: int = 0
    elsewhere: int = 0


def _input_changes(layout: Layout, chunks: ChunkManifest) -> _Inputs:
    """Compare sizes and times. Relative names count from the folder of the ``retro chunk`` that
    read them; if none of them exists here, this is another folder, and nothing is known."""
    absolute, relative = _Inputs(), _Inputs()
    if stored_bytes(layout.root) is not None:  # pushed from a place that this may not be
        return _Inputs(elsewhere=sum(1 for _ in load_inputs(layout.chunks, chunks.inputs)))
    found_here = False
    for known in load_inputs(layout.chunks, chunks.inputs):
        if "://" in known.uri or known.uri == "stdin":
            continue
        inputs = absolute if os.path.isabs(known.uri) else relative
        now = local_now(known.uri)
        if now is None:
            inputs.gone += 1
            continue
        found_here = found_here or inputs is relative
        inputs.changed += now != (known.size, known.mtime_ns)
    if relative.gone and not found_here:
        return _Inputs(absolute.changed, absolute.gone, relative.gone)
    return _Inputs(absolute.changed + relative.changed, absolute.gone + relative.gone)


def _embeddings(layout: Layout, chunks: ChunkManifest | None) -> Stage:
    embeddings = load_embeddings(layout.embeddings)
    todo = f"retro embed {layout.root}"
    if embeddings is None or chunks is None:
        return Stage("embeddings", "missing", {}, "nothing is embedded", todo)
    aliases = Aliases.load(layout.chunks, chunks.aliases)
    wanted = wanted_parts(chunks, aliases, embeddings.made_by)
    have = [
        want
        for want in wanted
        if (part := embeddings.parts.get(want.part.name)) and part.fingerprint == want.fingerprint
    ]
    facts = {
        "vectors": sum(want.live for want in have),
        "encoder": embeddings.encoder.name,
        "dimensions": embeddings.encoder.dim,
        "precision": embeddings.precision,
        "fingerprint": embeddings.encoder.fingerprint(),
    }
    missing = sum(want.live for want in wanted) - sum(want.live for want in have)
    if missing:
        why = f"{counted(missing, 'chunk has', 'chunks have')} no vector"
        return Stage("embeddings", "stale", facts, why, todo)
    if (layout.embeddings / "journal.jsonl").exists():
        return Stage("embeddings", "stale", facts, "a run was interrupted", todo)
    return Stage("embeddings", "ok", facts)


def _index(layout: Layout, chunks: ChunkManifest | None) -> Stage:
    generation = current_generation(layout.index)
    todo = f"retro index {layout.root}"
    if generation is None or chunks is None:
        return Stage("index", "missing", {}, "nothing is indexed", todo)
    facts = index_facts(layout, generation)
    total = max(chunks.next_id, 1)
    if generation.filtered.key != exclusion_key(layout, load_ledger(layout)):
        why = "filter rules changed and are not in force yet"
        return Stage("index", "stale", facts, why, todo)
    if why := _other_vectors(layout, generation):
        return Stage("index", "stale", facts, why, todo)
    own = own_live(chunks) & ~excluded_rows(layout.index, generation, chunks.next_id)
    live = searchable(own, Aliases.load(layout.chunks, chunks.aliases))
    indexed = load_bitmap(layout.index, generation.indexed, total)[: len(live)]
    dead = load_bitmap(layout.index, generation.dead, total)[: len(live)]
    new, old = int((live & ~indexed).sum()), int((indexed & ~dead & ~live).sum())
    if new or old:
        why = (
            f"{counted(new, 'chunk is', 'chunks are')} not in it, {old:,} that "
            f"{agreed(old, 'is gone still answers', 'are gone still answer')}"
        )
        return Stage("index", "stale", facts, why, todo)
    if chunks.seen_by_index() != generation_chunks(layout.index, generation):
        return Stage("index", "stale", facts, "the chunks were committed again since", todo)
    return Stage("index", "ok", facts, *_advice(layout, generation, indexed & dead, indexed))


def _other_vectors(layout: Layout, generation: Generation) -> str:
    """Why the index is not made of the vectors there are, or "" if it is."""
    embeddings = load_embeddings(layout.embeddings)
    if embeddings is None:
        return ""
    files = {name: part.file.name for name, part in embeddings.parts.items()}
    return other_vectors(generation, embeddings.made_by, files)


def _advice(layout: Layout, generation: Generation, dead: Bits, indexed: Bits) -> tuple[str, str]:
    """What would make a good index better: training again, or compaction."""
    found = drift(generation)
    retrain = f"retro index {layout.root} --retrain"
    if found is not None and found.unlike:
        new = counted(found.new_rows, "newer row fits", "newer rows fit")
        return f"{new} the training {found.error_ratio:.2f} times worse", retrain
    if found is not None and found.uneven:
        return f"uneven lists make a search {found.slower:.1f} times as slow as before", retrain
    if dead.sum() > DEAD_HINT * max(1, indexed.sum()):
        return "many of its rows are dead", f"retro compact {layout.root}"
    return "", ""


def index_facts(layout: Layout, generation: Generation) -> dict[str, Any]:
    quality = generation.quality
    return {
        "generation": generation.number,
        "rows": generation.rows,
        "factory": generation.plan.factory,
        "segments": len(generation.segments),
        "bytes": sum(segment.file.bytes for segment in generation.segments),
        "nprobe": generation.nprobe,
        "recall_at_10": round(quality.recall, 4),
        "recall_interval": [round(quality.low, 4), round(quality.high, 4)],
        "recall_target": quality.target,
        "recall_measured_at_rows": quality.rows,
        "rules": len(generation.filtered.rules),
        **(asdict(found) if (found := drift(generation)) else {}),
    }


def _lexical(layout: Layout) -> list[Stage]:
    """The words of what queries see; nothing to say before the first generation."""
    generation = current_generation(layout.index)
    if generation is None or not load_settings(layout).words:
        return []
    todo = f"retro index {layout.root}"
    state = state_of_chunks(layout.lexical, generation.chunks.sha256)
    if state is None:
        why = "the words of the present generation's chunks are not indexed"
        return [Stage("lexical", "missing", {}, why, todo)]
    facts = {"rows": state.rows, "dead": state.dead, "bytes": state.bytes, "stemmer": state.stemmer}
    if state.stemmer != load_settings(layout).stemmer:
        return [Stage("lexical", "stale", facts, "made with another stemmer", todo)]
    return [Stage("lexical", "ok", facts)]


def _neighbours(layout: Layout) -> list[Stage]:
    """The neighbour tables, if there are any. An old one is masked when it is read: never stale."""
    tables = [load_table(layout, name) for name in table_names(layout)]
    if not tables:
        return []
    facts = {
        "tables": len(tables),
        "of_chunks": ", ".join(table.name for table in tables if table.texts is None),
        "of_texts": ", ".join(table.name for table in tables if table.texts is not None),
    }
    current = current_generation(layout.index)
    old = [table.name for table in tables if current and table.generation != current.number]
    if not old:
        return [Stage("neighbours", "ok", facts)]
    why = f"made before the present generation: {', '.join(old)}"
    return [Stage("neighbours", "ok", facts, why, "retro neighbours again looks up what is new")]


def _datastore(layout: Layout) -> list[Stage]:
    """The token datastore, if there is one: which chunks that may be found have no keys."""
    todo = f"{MAKE} {layout.root}"
    if (layout.datastore / JOURNAL).exists():
        return [Stage("datastore", "stale", {}, "a run was interrupted", todo)]
    found = datastore_facts(layout)
    if found is None:
        return []
    facts, missing = found
    why = f"{counted(missing, 'chunk has', 'chunks have')} no keys" if missing else ""
    return [Stage("datastore", "stale" if missing else "ok", facts, why, todo if missing else "")]
