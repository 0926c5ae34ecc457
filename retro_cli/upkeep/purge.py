"""What a purge does besides a compaction: nothing may be left, and nothing may bring it back."""

from __future__ import annotations

import json

from retro_cli.chunks.commit import QUARANTINE, read_quarantine
from retro_cli.errors import LockedError
from retro_cli.filters.ledger import load_ledger
from retro_cli.index.generation import Generation
from retro_cli.store.atomic import replacing, sweep_temporaries
from retro_cli.store.layout import Layout

PURGE = "compact --purge"


def no_way_back(layout: Layout, generation: Generation) -> None:
    """Nothing older than ``generation`` is answered from again, though a reader may hold it."""
    ledger = load_ledger(layout)
    after = ledger.without_return(generation.number - 1)
    if after != ledger:
        after.save(layout)


def clean_quarantine(layout: Layout) -> None:
    """Records that were set aside may quote what is purged: their excerpts go."""
    path = layout.chunks / QUARANTINE
    if not path.exists():
        return
    with replacing(path) as temporary, temporary.open("w", encoding="ascii") as out:
        for record in read_quarantine(path):
            out.write(json.dumps({**record, "excerpt": ""}, sort_keys=True) + "\n")


def forget_unfinished(layout: Layout) -> None:
    """What a killed run had finished may hold purged text: that run starts over."""
    for folder in (layout.chunks, layout.embeddings, layout.index, layout.datastore):
        (folder / "journal.jsonl").unlink(missing_ok=True)
    for leftover in layout.chunks.glob("part-*.rejected.jsonl"):
        leftover.unlink()
    (layout.root / ".stdin").unlink(missing_ok=True)


def leave_nothing(layout: Layout, left: list[str], generation: Generation) -> None:
    for folder in (layout.chunks, layout.embeddings, layout.index, layout.datastore):
        sweep_temporaries(folder)
    held = [name for name in left if name != generation.file_name]
    if held:
        raise LockedError(
            f"a reader still holds {held[0].removesuffix('.json')}, and so the text in it",
            "nothing is lost: run the same command again when the reader has closed",
        )
