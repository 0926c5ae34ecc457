"""What of the committed state a run can keep, and why the rest cannot be kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from retro_cli.chunks.inputs import KnownFile, RecoveredInputs, load_inputs, paired
from retro_cli.chunks.manifest import ChunkManifest
from retro_cli.corpus import InputFile
from retro_cli.errors import UsageError
from retro_cli.store.files import Verified
from retro_cli.store.scratch import Scratch
from retro_cli.store.tables import read_columns
from retro_cli.wording import counted


@dataclass(frozen=True)
class Kept:
    """The manifest to extend, the files it knows, and the items that lost a part.

    ``given_up`` are files known before whose documents all have to be cut again. Both lists of
    files are sorted by uri, and read from disk each time.
    """

    manifest: ChunkManifest
    known: Iterable[KnownFile] = ()
    damaged: frozenset[int] = frozenset()
    given_up: Iterable[KnownFile] = ()
    notes: tuple[str, ...] = ()


def keep(
    folder: Path,
    committed: ChunkManifest | None,
    identity: ChunkManifest,
    verified: Verified,
    scratch: Scratch,
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
        before = _known_files(folder, committed, verified, scratch, notes)
        ids = replace(identity, next_id=committed.next_id, next_item=committed.next_item)
        return Kept(ids, given_up=before, notes=tuple(notes))
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
    known = _known_files(folder, usable, verified, scratch, notes)
    return Kept(usable, known, frozenset(damaged), notes=tuple(notes))


def lost_files(kept: Kept, listed: Iterable[InputFile]) -> tuple[int, str]:
    """How many files whose documents were given up are not in this input, and the first."""
    if not kept.given_up:
        return 0, ""
    pairs = paired(listed, kept.given_up)
    lost = (known.uri for file, known in pairs if file is None and known is not None)
    first = next(lost, "")
    return int(first != "") + sum(1 for _ in lost), first


def refuse_to_lose(kept: Kept, listed: Iterable[InputFile]) -> None:
    """Starting over may not silently drop documents whose files are not in this input.

    Raises UsageError that names the first of them.
    """
    count, first = lost_files(kept, listed)
    if count:
        raise UsageError(
            f"every document has to be chunked again, but {count} input files are not "
            f"named, the first is {first}",
            "name all inputs again, or add --prune to let the others go",
        )


def refuse_to_empty(before: int, after: int) -> None:
    """A run may not take the last document: an input that vanished wholly is more often a folder
    that is not mounted. Raises UsageError."""
    if before and not after:
        raise UsageError(
            f"nothing would be left of {counted(before, 'document')}",
            "look whether the input is where it was; to begin anew, remove the database's folder",
        )


def _known_files(
    folder: Path,
    manifest: ChunkManifest,
    verified: Verified,
    scratch: Scratch,
    notes: list[str],
) -> Iterable[KnownFile]:
    """The input table, or what the parts themselves tell of it."""
    if manifest.inputs is None:
        return ()
    problem = verified.problem(manifest.inputs)
    if not problem:
        return load_inputs(folder, manifest.inputs)
    notes.append(f"{problem}: inputs are compared by their documents")
    found = (
        (uri, part.item)
        for part in manifest.parts
        for uri in set(read_columns(folder / part.docs_file, ["uri"])["uri"].to_pylist())
    )
    return RecoveredInputs(found, scratch)
