"""The sample corpus keeps the promises its README makes."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent / "sample_corpus"
ARCHIVE = ROOT / "archive"
FIRST = ARCHIVE / "yearbook"
SECOND = ROOT / "yearbook-2" / "yearbook"


class Document(NamedTuple):
    source: str
    format: str
    text: str


class PageText(HTMLParser):
    """Collects what a reader of a page reads: no scripts, no navigation, no footer."""

    skipped = frozenset({"head", "nav", "aside", "footer", "script", "style"})

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.depth += tag in self.skipped

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag in self.skipped

    def handle_data(self, data: str) -> None:
        if not self.depth:
            self.pieces.append(data)


def page_text(page: str) -> str:
    parser = PageText()
    parser.feed(page)
    return "".join(parser.pieces)


def letters() -> list[dict[str, str]]:
    with gzip.open(ARCHIVE / "letters.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def minutes() -> list[dict[str, str]]:
    with open(ARCHIVE / "council-minutes.csv", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def read_archive() -> dict[str, Document]:
    """Document id (path below the archive, or record id) to document."""
    documents = {}
    for path in sorted(ARCHIVE.glob("*/*")):
        text = path.read_text(encoding="utf-8")
        text = page_text(text) if path.suffix == ".html" else text
        key = path.relative_to(ARCHIVE).as_posix()
        documents[key] = Document(path.parent.name, path.suffix, text)
    for suffix, records in ((".jsonl.gz", letters()), (".csv", minutes())):
        for record in records:
            assert record["id"] not in documents
            documents[record["id"]] = Document(record["source"], suffix, record["text"])
    return documents


def read_questions() -> list[dict[str, Any]]:
    lines = (ROOT / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


QUESTIONS = read_questions()


def of_kind(kind: str) -> list[Any]:
    return [pytest.param(q, id=q["id"]) for q in QUESTIONS if q["kind"] == kind]


def words(text: str) -> int:
    return len(text.split())


@pytest.fixture(scope="module")
def archive() -> dict[str, Document]:
    return read_archive()


def test_the_archive_holds_120_documents_and_25000_words(archive: dict[str, Document]) -> None:
    assert len(archive) >= 120
    assert sum(words(document.text) for document in archive.values()) >= 25_000


def test_the_archive_mixes_sources_and_formats(archive: dict[str, Document]) -> None:
    sources = Counter(document.source for document in archive.values())
    formats = {document.format for document in archive.values()}
    assert formats == {".md", ".txt", ".html", ".jsonl.gz", ".csv"}
    assert set(sources) == {
        "gazette",
        "surveys",
        "museum",
        "yearbook",
        "council-minutes",
        "letters-to-the-editor",
        "harbour-forum",
        "the-gutter",
    }
    assert min(sources.values()) >= 8


def test_the_archive_holds_nothing_but_documents() -> None:
    assert {path.name for path in ARCHIVE.iterdir()} == {
        "gazette",
        "surveys",
        "museum",
        "yearbook",
        "council-minutes.csv",
        "letters.jsonl.gz",
    }


def test_there_are_short_long_and_accented_documents(archive: dict[str, Document]) -> None:
    lengths = [words(document.text) for document in archive.values()]
    assert min(lengths) < 30
    assert max(lengths) >= 1500
    everything = "".join(document.text for document in archive.values())
    assert all(mark in everything for mark in ("ě", "Ø", "ê", "—", "“", "’"))


def test_every_museum_page_has_navigation_and_a_footer() -> None:
    for path in (ARCHIVE / "museum").glob("*.html"):
        page = path.read_text(encoding="utf-8")
        assert "<nav>" in page
        assert "<footer>" in page
        assert "Cookies" not in page_text(page)


def test_exactly_one_letter_was_sent_to_two_sources() -> None:
    by_text: dict[str, list[str]] = {}
    for record in letters():
        by_text.setdefault(record["text"], []).append(record["source"])
    repeated = [sources for sources in by_text.values() if len(sources) > 1]
    assert repeated == [["letters-to-the-editor", "harbour-forum"]]


def test_every_record_has_a_date_an_author_and_a_title() -> None:
    for record in [*letters(), *minutes()]:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", record["date"])
        assert record["author"]
        assert record["title"]


def test_letters_carry_no_clock_time_so_the_file_is_reproducible() -> None:
    # Bytes 4 to 8 of a gzip header are its modification time; bit 3 of byte 3 says a name follows.
    header = (ARCHIVE / "letters.jsonl.gz").read_bytes()[:8]
    assert header[4:8] == b"\0\0\0\0"
    assert not header[3] & 8


def test_the_forum_mixes_insults_with_harmless_posts() -> None:
    marks = Counter(r["moderation"] for r in letters() if r["source"] == "harbour-forum")
    assert marks["insult"] >= 12
    assert marks["none"] >= 25
    assert set(marks) == {"insult", "none"}


def test_the_gutter_is_abusive_throughout() -> None:
    marks = Counter(r["moderation"] for r in letters() if r["source"] == "the-gutter")
    assert marks["insult"] >= 8
    assert set(marks) == {"insult"}


def test_no_text_gives_its_own_label_away() -> None:
    assert not any("moderation" in r["text"] or "toxic" in r["text"].lower() for r in letters())


def test_the_second_edition_changes_a_minority_and_adds_one_chapter() -> None:
    first = {path.name: path.read_bytes() for path in FIRST.iterdir()}
    second = {path.name: path.read_bytes() for path in SECOND.iterdir()}
    changed = [name for name in first if first[name] != second[name]]
    assert len(first) >= 8
    assert set(second) - set(first) == {"observatory.md"}
    assert 4 <= len(changed) < len(first) / 2


def test_the_questions_are_of_every_kind() -> None:
    kinds = Counter(question["kind"] for question in QUESTIONS)
    assert set(kinds) == {"single", "multi", "continuation", "update", "unanswerable"}
    assert len(QUESTIONS) >= 90
    assert kinds["continuation"] >= 12
    assert kinds["update"] >= 8
    assert kinds["unanswerable"] >= 6
    assert kinds["multi"] >= 15


def test_no_question_is_asked_twice() -> None:
    assert len({question["id"] for question in QUESTIONS}) == len(QUESTIONS)
    assert len({question["question"] for question in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("kind", ["single", "multi", "continuation", "update"])
def test_every_answer_stands_in_a_named_document(archive: dict[str, Document], kind: str) -> None:
    for question in QUESTIONS:
        if question["kind"] == kind:
            answer = question["answer"].lower()
            texts = [archive[name].text.lower() for name in question["documents"]]
            assert answer, question["id"]
            assert any(answer in text for text in texts), question["id"]


def test_multi_questions_name_several_documents() -> None:
    assert all(len(q["documents"]) >= 2 for q in QUESTIONS if q["kind"] == "multi")


@pytest.mark.parametrize("question", of_kind("continuation"))
def test_the_answer_stands_in_the_continuation_of_the_cue(
    archive: dict[str, Document], question: dict[str, Any]
) -> None:
    (name,) = question["documents"]
    text = archive[name].text
    before, cue, after = text.partition(question["cue"])
    gap, answer, _ = after.partition(question["answer"])
    assert cue
    assert answer
    assert 45 <= words(gap) <= 90
    assert question["answer"] not in before


@pytest.mark.parametrize("question", of_kind("update"))
def test_an_update_question_changes_its_answer(question: dict[str, Any]) -> None:
    (name,) = question["documents"]
    first = (ARCHIVE / name).read_text(encoding="utf-8")
    second = (ROOT / "yearbook-2" / name).read_text(encoding="utf-8")
    assert question["answer"] in first
    assert question["answer_after_update"] in second
    assert question["answer_after_update"] not in first


def test_unanswerable_questions_have_neither_answer_nor_document() -> None:
    blank = [q for q in QUESTIONS if q["kind"] == "unanswerable"]
    assert all(q["answer"] == "" and q["documents"] == [] for q in blank)
