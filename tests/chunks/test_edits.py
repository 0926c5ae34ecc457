"""What a run does to each file, put aside and read again."""

from __future__ import annotations

import json
from array import array

from retro_cli.chunks.edits import Edit, FileUpdate, pieces_of
from retro_cli.chunks.inputs import KnownFile
from retro_cli.corpus import InputFile, Slice
from retro_cli.store.scratch import Scratch

FILE = InputFile("a.jsonl", "caf\udce9/a.jsonl", 90, 5)
SLICES = [
    Slice(FILE, 0, 40),
    Slice(FILE, 40, None),
    Slice(FILE, 2, 3, unit="groups", nbytes=7),
    Slice(FILE, only=array("q", [3, 1 << 40])),
]


def test_an_edit_gives_its_slices_again_after_json():
    scratch = Scratch()
    known = KnownFile(FILE.uri, FILE.size, FILE.mtime_ns, "hash", (0, 3), 2)
    edit = Edit("changed", known, FILE.path, pieces_of(SLICES, scratch), FileUpdate(1, 2, 3))
    again = Edit.make(json.loads(json.dumps(edit)))
    assert (again.state, again.known, again.update) == (edit.state, known, edit.update)
    assert again.file == FILE
    assert list(again.slices(scratch)) == SLICES


def test_updates_add_up():
    assert FileUpdate(1, 2, 3).plus(FileUpdate(1, set_aside=4)) == FileUpdate(2, 2, 3, set_aside=4)
