"""The plan of a run: the same whatever fits in memory, and small for very many files."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from helpers import write_jsonl

from retro_cli.chunks import piles, update
from retro_cli.chunks.inputs import MISSING, UNCHANGED, Compared, KnownFile
from retro_cli.chunks.stage import ChunkJob, chunk
from retro_cli.chunks.update import Rules, plan_update
from retro_cli.config import Settings
from retro_cli.corpus import ReadOptions, list_inputs
from retro_cli.store.scratch import Scratch


def editions(root, folder, tokenizer, prune):
    """Chunk a corpus, edit some of everything, chunk again; the files of the database."""
    root.mkdir()
    for number in range(9):
        (root / f"{number}.txt").write_text(f"the ferry number {number}")
    records = [{"id": f"r{n}" if n % 2 else "", "text": f"the boat {n}"} for n in range(40)]
    for name in ("3.jsonl", "5.jsonl"):
        write_jsonl(root / name, records)
    specs = [str(root)]
    job = ChunkJob(folder, Settings(tokens=8), tokenizer, specs, [], part_bytes=200, prune=prune)
    for edition in range(2):
        chunk(ChunkJob(**{**job.__dict__, "inputs": list_inputs(specs)}))
        if edition == 0:
            for number in (1, 2, 6):
                (root / f"{number}.txt").write_text(f"the storm number {number}")
            (root / "4.txt").unlink()
            (root / "9.txt").write_text("the keeper")
            changed = [{**record, "text": record["text"] + " sank"} for record in records[::7]]
            write_jsonl(root / "3.jsonl", [*changed, *records[:30], {"broken": "no text"}])
            write_jsonl(root / "5.jsonl", [])
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}


@pytest.mark.parametrize("prune", [False, True])
def test_the_plan_does_not_depend_on_what_fits_in_memory(
    tmp_path, wordpiece_path, monkeypatch, prune
):
    whole = editions(tmp_path / "corpus", tmp_path / "one", wordpiece_path, prune)
    (tmp_path / "corpus").rename(tmp_path / "before")
    for module, name, value in (
        (update, "_WINDOW_FILES", 2),
        (update, "_WINDOW_DOCUMENTS", 1),
        (update, "_SHORT_RECORD", 1),
        (piles, "ROWS_A_PILE", 5),
        (piles, "_WAITING_BYTES", 0),
    ):
        monkeypatch.setattr(module, name, value)
    again = editions(tmp_path / "corpus", tmp_path / "two", wordpiece_path, prune)
    assert {name for name in whole if "inputs" not in name and "manifest" not in name} < set(again)
    assert all(again[name] == whole[name] for name in whole if name.startswith("part-"))


def test_a_plan_of_many_files_is_small(tmp_path):
    def files(count: int) -> Iterator[Compared]:
        for number in range(count):
            before = KnownFile(f"corpus/{number:06d}.txt", 10, number, f"{number:064x}", (0,))
            touched = before._replace(mtime_ns=number + 1)
            state = (UNCHANGED, MISSING)[number % 2]
            yield Compared(state, touched if state == UNCHANGED else before, before)

    rules = Rules(ReadOptions(), 1 << 20, False, lambda uri: True, frozenset())
    tracemalloc.start()
    found = plan_update(tmp_path, [], files(50_000), rules, Scratch())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.edits) == 50_000
    assert peak < 4e6  # bytes: an object for each file would be five times as much
