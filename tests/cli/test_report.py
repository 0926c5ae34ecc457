"""retro report: one page of everything, whole in itself, whatever names and numbers it shows."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from helpers import everything, write_jsonl

from retro_cli.cli import page, page_chart
from retro_cli.evaluate.bootstrap import Estimate


class Tree(HTMLParser):
    """Elements in order; each that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attributes)
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def of(path) -> tuple[str, Tree]:
    text = path.read_text(encoding="utf-8")
    return text, Tree(text)


@pytest.fixture
def saved(retro, db, tmp_path):
    """Two evaluations of retrieval and one of the index, as files."""
    write_jsonl(tmp_path / "q.jsonl", [{"id": "1", "text": "a letter", "doc_id": "p1"}])
    ask = ["eval", "retrieval", db, "--queries", "q.jsonl", "--resamples", 100, "--json"]
    for name, words in {"wide": [*ask, "-k", "10"], "narrow": [*ask, "-k", "10", "--source", "f*"],
                        "index": ["eval", "index", db, "--json"]}.items():  # fmt: skip
        done = retro(*words)
        assert done.code == 0, done.err
        (tmp_path / f"{name}.json").write_text(done.out)
    return [word for name in ("wide", "narrow", "index") for word in ("--eval", f"{name}.json")]


def test_the_page_shows_everything_and_needs_nothing_else(retro, scored, saved, tmp_path):
    before = everything(scored)
    done = retro("report", scored, "--out", "out/page.html", *saved)
    assert done.code == 0, done.err
    assert everything(scored) == before
    text, tree = of(tmp_path / "out" / "page.html")
    words = " ".join(tree.words)
    for heading in ("State", "Recall against latency", "Sources and their toxicity",
                    "Chunk lengths", "Evaluations"):  # fmt: skip
        assert heading in tree.words
    assert "wide (retrieval)" in tree.words
    assert "1 (tuned)" in tree.words
    assert "forum" in words
    assert not {"script", "link", "iframe", "img"} & set(tree.tags)
    assert not re.search(r"https?:|url\(|@import", text)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert tree.tags.count("svg") == 2  # of one list there is no curve


def test_the_numbers_are_those_of_the_database(retro, db, tmp_path):
    done = retro("report", db, "--out", "p.html", "--json")
    assert done.rows[0]["bytes"] == (tmp_path / "p.html").stat().st_size
    _, tree = of(tmp_path / "p.html")
    words = " ".join(tree.words)
    facts = retro("status", db, "--json").rows[0]["stages"][0]["facts"]
    assert f"documents {facts['documents']:,}" in words
    (said,) = re.findall(r"(\d+) chunks of ([\d.]+) tokens on average, (\d+) at most", words)
    assert said[0] == str(facts["chunks"])
    assert float(said[1]) == pytest.approx(facts["tokens"] / facts["chunks"], abs=0.05)
    assert int(said[2]) <= 16
    bars = re.findall(r"<title>(\d+): (\d+)</title>", (tmp_path / "p.html").read_text())
    assert sum(int(count) for _, count in bars) == facts["chunks"]
    assert sum(int(size) * int(count) for size, count in bars) == facts["tokens"]


def test_a_database_without_an_index_or_scores_has_a_page_too(retro, archive, static_encoder):
    made = retro("chunk", archive, "--db", "n.db", "--encoder", static_encoder)
    assert made.code == 0, made.err
    assert retro("report", "n.db").code == 0


def test_names_are_escaped_and_drive_nothing(retro, archive, static_encoder, tmp_path):
    evil = "<script>alert('1')</script>&amp;\"\x1b[2J"
    write_jsonl(archive / "evil.jsonl", [{"id": "x", "source": evil, "text": "the storm"}])
    built = retro("build", archive, "--db", tmp_path / "<b>&.db", "--encoder", static_encoder)
    assert built.code == 0, built.err
    value = {"evaluation": "<i>qa", "notes": [evil], evil: {"value": 1, "low": None, "high": None}}
    (tmp_path / "<u>.json").write_text(json.dumps(value))
    assert retro("report", tmp_path / "<b>&.db", "--out", "p.html", "--eval", "<u>.json").code == 0
    text, tree = of(tmp_path / "p.html")
    assert not {"script", "b", "i", "u"} & set(tree.tags)
    assert "\x1b" not in text
    assert sum("<script>alert('1')</script>&amp;" in words for words in tree.words) == 3


@pytest.mark.parametrize(
    ("value", "kind", "row"),
    [
        ({"bpb": {"on": {"value": 1.5, "low": 1.25, "high": 2}}}, "lm", "bpb, on"),
        ({"leakage": [{"alpha": 0.5, "bpb": {"on": {"value": 1, "low": 1, "high": 1}}}],
          "bpb": {}}, "lm", "leakage, alpha 0.5, bpb, on"),
        ({"measured": {"reader": {"F1": {"value": 0.5, "low": None, "high": None}}},
          "right_against_gold": None}, "qa", "measured, reader, F1"),
    ],
)  # fmt: skip
def test_every_kind_of_evaluation_becomes_a_table(retro, db, tmp_path, value, kind, row):
    (tmp_path / "e.json").write_text(json.dumps(value))
    done = retro("report", db, "--out", "p.html", "--eval", "e.json", "--queries", 0)
    assert done.code == 0, done.err
    words = of(tmp_path / "p.html")[1].words
    assert f"e ({kind})" in words
    assert row in words


def test_a_saved_evaluation_of_the_index_spares_the_measurement(
    retro, db, saved, tmp_path, monkeypatch
):
    monkeypatch.setattr("retro_cli.reporting.evaluate_index", None)
    assert retro("report", db, "--out", "p.html", "--eval", "index.json").code == 0
    assert "1 (tuned)" in of(tmp_path / "p.html")[1].words
    other = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "other.json").write_text(json.dumps({**other, "generation": 99}))
    done = retro("report", db, "--out", "p.html", "--eval", "other.json", "--queries", 0)
    assert done.code == 0, done.err
    assert "Recall against latency" not in of(tmp_path / "p.html")[1].words


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        ("", "not valid JSON"),
        ("[" * 90_000, "not valid JSON"),
        ("[]", "no evaluation"),
        ("{}", "no evaluation"),
        ('{"evaluation": "qa"}', "no evaluation"),
        ('{"evaluation": "qa", "f1": {"value": "high", "low": 0, "high": 1}}', "damaged"),
        ('{"evaluation": "qa", "f1": {"value": NaN, "low": 0, "high": 1}}', "damaged"),
        ('{"evaluation": "index", "f1": {"value": 1, "low": 0, "high": 1}}', "damaged"),
        (
            '{"evaluation": "index", "points": 3, "f1": {"value": 1, "low": 0, "high": 1}}',
            "damaged",
        ),
    ],
)
def test_what_is_no_evaluation_is_refused_and_no_page_written(retro, db, tmp_path, content, says):
    if content is not None:
        (tmp_path / "e.json").write_text(content)
    refused = retro("report", db, "--out", "p.html", "--eval", "e.json")
    assert (refused.code, says in refused.err) == (2, True), refused.err
    assert "defect" not in refused.err
    assert not (tmp_path / "p.html").exists()


def test_unknown_scores_and_a_page_that_cannot_be_written_are_refused(retro, scored, tmp_path):
    refused = retro("report", scored, "--scores", "wrong")
    assert (refused.code, "no scores called wrong" in refused.err) == (2, True)
    (tmp_path / "taken").mkdir()
    assert retro("report", scored, "--out", "taken").code == 2


def test_a_curve_stays_below_the_highest_value_there_can_be():
    marks = [page_chart.Mark(place, Estimate(value, value, value, 1)) for place, value in
             ((0, 0.2), (1, 1.0))]  # fmt: skip
    drawn = page_chart.lines([page_chart.Curve("r", "first", marks)], [], "x", "t", most=1.0)
    assert ">1.000</text>" in drawn
    assert page_chart.lines([], [], "x", "t") == "<p>There is nothing to draw.</p>"


def test_a_table_escapes_cells_and_heads():
    Tree(made := page.table(["<a>"], [["<script>"], ["&"]], ["over", ""]))
    assert "<script>" not in made
    assert made.count('class="over"') == 1
