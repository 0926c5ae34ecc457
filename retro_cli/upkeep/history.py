"""The generations of an index: what each holds, and the way back to one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from retro_cli.errors import UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.filters.ledger import load_ledger
from retro_cli.index.catalogue import all_generations, current_name, load_generation, load_if_kept
from retro_cli.index.generation import Generation
from retro_cli.store.atomic import disk_errors
from retro_cli.store.layout import Layout
from retro_cli.store.lock import writer_lock
from retro_cli.upkeep.apply import remake
from retro_cli.upkeep.purge import PURGE
from retro_cli.upkeep.scoring import refresh_scores


@dataclass(frozen=True)
class Entry:
    """One generation. ``made`` is the time of its file, UTC."""

    number: int
    current: bool
    made: str
    cause: str
    rows: int
    segments: int
    rules: tuple[int, ...]


def history(layout: Layout) -> list[Entry]:
    """Every generation that is kept, the oldest first.

    Takes no lock, and no hold that a purge would have to wait for. Where a writer sweeps one
    between the listing and the reading, there are newer ones: they are listed again.
    """
    layout.require()
    while True:
        now, names = current_name(layout.index), all_generations(layout.index)
        entries = [_entry(layout.index, name, name == now) for name in names]
        found = [entry for entry in entries if entry is not None]
        if len(found) == len(names) or names == all_generations(layout.index):
            return found


def _entry(folder: Path, name: str, current: bool) -> Entry | None:
    """None for one that is kept no longer."""
    try:
        written = (folder / name).stat().st_mtime
    except FileNotFoundError:
        return None
    generation = load_if_kept(folder, name)
    if generation is None:
        return None
    return Entry(
        generation.number,
        current,
        datetime.fromtimestamp(written, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        generation.cause,
        generation.rows,
        len(generation.segments),
        generation.filtered.rules,
    )


def rollback(
    layout: Layout, number: int, *, with_filters: bool = False, progress: Progress = SILENT
) -> Generation:
    """Answer from an older generation again, as a new one; the rules that hold now stay.

    with_filters: the rules of that generation come back instead. The next ``retro index`` goes
    forward to the chunks there are. Raises UsageError for a generation that is gone.
    """
    layout.require()
    with disk_errors(layout.root), writer_lock(layout.root, "rollback"):
        base = _kept(layout, number)
        refresh_scores(layout, progress, base)
        rules = load_ledger(layout).as_of(base.filtered.rules) if with_filters else None
        what = f"rollback to {number}" + (" with its filters" if with_filters else "")
        return remake(layout, base, what, progress, ledger=rules)


def _kept(layout: Layout, number: int) -> Generation:
    name = f"gen-{number:06d}.json"
    entries = history(layout)
    purges = [entry.number for entry in entries if entry.cause == PURGE]
    # A reader may hold what a purge could not remove yet: it is on the disk, and gone all the same.
    oldest = max([load_ledger(layout).purged + 1, *purges])
    kept = ", ".join(str(entry.number) for entry in entries if entry.number >= oldest) or "none"
    if 1 <= number < oldest:
        raise UsageError(
            f"generation {number} went with a purge",
            f"there is no way back past a purge; kept: {kept}",
        )
    if name in all_generations(layout.index):
        return load_generation(layout.index, name)
    raise UsageError(f"there is no generation {number}", f"kept: {kept} (retro history)")
