"""What of the committed state a run can keep, and why the rest cannot be kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from retro_cli.chunks.inputs import KnownFile, load_inputs, recover_inputs
from retro_cli.chunks.manifest import ChunkManifest
from retro_cli.errors import UsageError
from retro_cli.store.files import Verified
from retro_cli.store.tables import read_columns


@dataclass(frozen=True)
class Kept:
    """The manifest to extend, the files it knows, and the items that lost a part.

    ``given_up`` are files known before whose documents all have to be cut again.
    """

    manifest: ChunkManifest
    known: dict[str, KnownFile] = field(default_factory=dict)
    damaged: frozenset[int] = frozenset()
    given_up: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def keep(
    folder: Path, committed: ChunkManifest | None, identity: ChunkManifest, verified: Verified
) -> Kept:
    """Check every committed file; what is missing or damaged is left out, with a note.

    ``identity`` is an empty manifest with today's fingerprints. If they differ from the committed
    ones nothing is kept but the ids, which are never used twice.
    """
    if committed is None:
        return Kept(identity)
    notes: list[str] = []
    if committed.fingerprint != identity.fingerprint:
        notes.append("the chunk settings or the tokenizer changed: every document is cut again")
        before = _known_files(folder, committed, verified, notes)
        ids = replace(identity, next_id=committed.next_id, next_item=committed.next_item)
        return Kept(ids, given_up=frozenset(before), notes=tuple(notes))
    good, damaged = [], set()
    for part in committed.parts:
        problems = [p for file in part.written.files if (p := verified.problem(file))]
        if problems:
            notes.append(f"{problems[0]}: its documents are chunked again where they are named")
            damaged.add(part.item)
        else:
            good.append(part)
    usable = replace(committed, parts=tuple(good))
    if usable.aliases is not None and (problem := verified.problem(usable.aliases)):
        notes.append(f"{problem}: duplicates are looked for again")
        usable = replace(usable, aliases=None)
    known = _known_files(folder, usable, verified, notes)
    return Kept(usable, known, frozenset(damaged), notes=tuple(notes))


def refuse_to_lose(kept: Kept, listed: Collection[str]) -> None:
    """Starting over may not silently drop documents whose files are not in this input.

    Raises UsageError that names the first of them.
    """
    lost = sorted(kept.given_up - set(listed))
    if lost:
        raise UsageError(
            f"every document has to be chunked again, but {len(lost)} input files are not "
            f"named, the first is {lost[0]}",
            "name all inputs again, or add --prune to let the others go",
        )


def _known_files(
    folder: Path, manifest: ChunkManifest, verified: Verified, notes: list[str]
) -> dict[str, KnownFile]:
    """The input table, or what the parts themselves tell of it."""
    if manifest.inputs is None:
        return {}
    problem = verified.problem(manifest.inputs)
    if not problem:
        return load_inputs(folder, manifest.inputs)
    notes.append(f"{problem}: inputs are compared by their documents")
    return recover_inputs(
        (uri, part.item)
        for part in manifest.parts
        for uri in set(read_columns(folder / part.docs_file, ["uri"])["uri"].to_pylist())
    )
