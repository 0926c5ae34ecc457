"""A short, fixed slice of ``tests/fuzz.py``: readers of inputs, and of what lies on the disk."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing import (
    Good,
    build_database,
    damaged,
    inputs,
    purged,
    read_input,
    refused_or,
    try_input,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from retro_cli.chunks.manifest import load_manifest
from retro_cli.embeddings.manifest import load_manifest as load_vectors
from retro_cli.errors import IntegrityError
from retro_cli.index.catalogue import current_generation
from retro_cli.store.atomic import read_json
from retro_cli.store.files import FileRecord, plain_name
from retro_cli.store.journal import read_journal

FUZZ = Path(__file__).parent.parent / "fuzz.py"
FILES = inputs()
some = settings(max_examples=settings.default.max_examples // 6)


@pytest.fixture(scope="module")
def good(tmp_path_factory, static_encoder) -> Good:
    root = build_database(tmp_path_factory.mktemp("fuzz"), static_encoder)
    purged(root)
    return Good.of(root)


def test_every_sample_is_good_before_it_is_damaged(tmp_path):
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
        assert read_input(tmp_path / name), name


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_damaged_input_is_read_or_refused_in_words(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("inputs")

    @some
    @given(st.integers(0, 2**32))
    def holds(seed):
        try_input(folder, {name: FILES[name]}, random.Random(seed))

    holds()


@pytest.mark.parametrize(("target", "tries"), [("database", 40), ("purged", 10), ("remote", 20)])
def test_a_damaged_database_is_refused_in_words_or_answers_with_what_it_holds(good, target, tries):
    """In a process with little memory, which may crash: Faiss and Tantivy are no Python."""
    words = ["--work", "--target", target, "--folder", good.root.parent, "--seed", "5"]
    words += ["--first", "0", "--tries", tries]
    done = subprocess.run(
        [sys.executable, FUZZ, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout.splitlines()[-1:]} {done.stderr[-4000:]}"


def test_the_fuzzer_notices_what_is_wrong(good, monkeypatch):
    """One that could not fail would say nothing."""
    source = random.Random(3)
    assert any(damaged(b"abcdef" * 9, source) != b"abcdef" * 9 for _ in range(4))
    with pytest.raises(ZeroDivisionError):
        refused_or(lambda: 1 // 0)


# -- names that lead elsewhere, and numbers without measure ------------------------------------


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "a\0b", 3])
def test_a_name_in_a_manifest_cannot_lead_out_of_its_folder(name):
    with pytest.raises(ValueError, match="no name of a file"):
        plain_name(name)
    with pytest.raises(ValueError, match="no name of a file"):
        FileRecord.from_json({"name": name, "bytes": 1, "sha256": ""})


def set_in(root: Path, name: str, *keys: object, to: object) -> str:
    """Change a value deep in a JSON file; what the file was."""
    path = root / name
    before = path.read_text(encoding="utf-8")
    value = json.loads(before)
    inner = value
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    path.write_text(json.dumps(value), encoding="utf-8")
    return before


@pytest.mark.parametrize(
    ("name", "keys", "to"),
    [
        ("chunks/manifest.json", ("parts", 0, "name"), "../../part-00000.000-12345678"),
        ("chunks/manifest.json", ("parts", 0, "files", 0, "name"), "/etc/passwd"),
        ("chunks/manifest.json", ("parts", 0, "rows"), 10**15),
        ("chunks/manifest.json", ("parts", 0, "base"), -5),
        ("chunks/manifest.json", ("parts", 0, "dead_rows"), [[0, 10**9]]),
        ("chunks/manifest.json", ("next_id",), 1),
        ("chunks/manifest.json", ("token_bytes",), 3),
        ("chunks/manifest.json", ("inputs", "bytes"), "many"),
        ("embeddings/manifest.json", ("parts", 0, "file", "name"), "../../x.npy"),
        ("embeddings/manifest.json", ("parts", 0, "rows"), None),
    ],
)  # fmt: skip
def test_a_manifest_that_says_what_cannot_be_is_refused(good, name, keys, to):
    before = set_in(good.root, name, *keys, to=to)
    load = load_manifest if name.startswith("chunks") else load_vectors
    try:
        with pytest.raises(IntegrityError, match="lacks what it should hold"):
            load(good.root / name.partition("/")[0])
    finally:
        (good.root / name).write_text(before, encoding="utf-8")


@pytest.mark.parametrize(
    ("keys", "to"),
    [
        (("nprobe",), 0),
        (("candidates",), "40"),
        (("rows",), -1),
        (("segments", 0, "file", "name"), "../../../etc/passwd"),
        (("vectors",), {"part-00000.000-12345678": "../../x.npy"}),
        (("filtered", "rows"), None),
        (("quality", "recall"), "all"),
        (("plan",), []),
    ],
)
def test_a_generation_that_says_what_cannot_be_is_refused(good, keys, to):
    name = (good.root / "index/CURRENT").read_text().strip()
    before = set_in(good.root, f"index/{name}", *keys, to=to)
    try:
        with pytest.raises(IntegrityError):
            current_generation(good.root / "index")
    finally:
        (good.root / "index" / name).write_text(before, encoding="utf-8")


@pytest.mark.parametrize("line", ["3", "[]", '{"key": 1}', '{"key": "a", "record": 7}', "[" * 9999])
def test_a_line_of_a_journal_that_is_none_ends_what_is_trusted(tmp_path, line):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"key": "a", "record": {"x": 1}}\n' + line + '\n{"key": "b", "record": {}}\n')
    records, whole = read_journal(path)
    assert records == {"a": {"x": 1}}
    assert whole == 33


def test_json_nested_without_end_is_an_integrity_error(tmp_path):
    (tmp_path / "m.json").write_text("[" * 200_000)
    with pytest.raises(IntegrityError):
        read_json(tmp_path / "m.json")
