"""The sample yearbook's second edition replaces the first, by the same commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from retro_cli.chunks.manifest import require_manifest

SAMPLE = Path(__file__).parent.parent.parent / "sample_corpus"
QUESTIONS = [
    question
    for line in (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    if (question := json.loads(line))["kind"] == "update"
]


@pytest.fixture
def island(retro, tmp_path):
    """The archive of the first edition, built with the packaged encoder."""
    shutil.copytree(SAMPLE / "archive", tmp_path / "archive")
    assert retro("build", "archive", "--db", "island.db", "-q").code == 0
    return tmp_path / "island.db"


def read_by(retro, question: str) -> str:
    hits = retro("query", "island.db", question, "-k", 5, "--json").rows[0]["hits"]
    return " ".join(" ".join((hit["text"] + hit["continuation"]).split()) for hit in hits)


def test_the_second_edition_replaces_the_first_and_touches_nothing_else(retro, island, tmp_path):
    before = require_manifest(island / "chunks")
    shutil.copytree(
        SAMPLE / "yearbook-2" / "yearbook", tmp_path / "archive" / "yearbook", dirs_exist_ok=True
    )
    changes = retro("diff", "island.db", "archive", "--json").rows[-1]
    chunked = retro("chunk", "archive", "--db", "island.db", "--json").rows[0]
    assert chunked["docs_replaced"] == changes["docs_replaced"] > 0
    assert chunked["docs_written"] == changes["docs_replaced"] + changes["docs_added"]
    assert retro("embed", "island.db", "-q").code == 0
    assert retro("index", "island.db", "-q").code == 0
    after = require_manifest(island / "chunks")
    assert [part.name for part in after.parts[: len(before.parts)]] == [
        part.name for part in before.parts
    ]
    right = sum(q["answer_after_update"] in read_by(retro, q["question"]) for q in QUESTIONS)
    assert right >= 0.7 * len(QUESTIONS)
    now = {
        str(path.relative_to(tmp_path)): path.read_text(encoding="utf-8")
        for path in (tmp_path / "archive" / "yearbook").glob("*.md")
    }
    checked = 0
    for question in QUESTIONS:
        found = retro("query", "island.db", question["question"], "-k", 20, "--json").rows[0][
            "hits"
        ]
        for hit in found:
            if hit["source"] in now:  # no word of the first edition
                assert hit["text"] in now[hit["source"]]
                checked += 1
    assert checked >= len(QUESTIONS)
