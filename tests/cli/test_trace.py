"""retro trace: the map on terminals of any width, as JSON and as a page; what is no trace."""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser

import pytest

from retro_cli.cli import console
from retro_cli.cli.trace import bands, digit

EVIL = "<script>alert('1')</script>&amp;\"\x1b[2J"


def write(path, tokens, sources=("a.txt", "b.txt"), **more):
    lines = []
    for place, text in enumerate(tokens):
        masses = [0.75, 0.25] if place % 2 else [0.04, 0.96]
        neighbours = [
            {"chunk": n, "document": source, "source": source, "score": 0.5, "mass": mass,
             "text": f"words of {source}", **more}
            for n, (source, mass) in enumerate(zip(sources, masses, strict=True))
        ]  # fmt: skip
        lines.append({"token": 5, "text": text, "logprob": -0.5, "neighbours": neighbours})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def traced(tmp_path):
    return write(tmp_path / "t.jsonl", ["The", " keeper", "\n", " of", "", " light", " 灯台"])


def test_a_row_is_a_chunk_and_a_column_a_token(retro, traced):
    shown = retro("trace", traced)
    assert shown.code == 0, shown.err
    lines = shown.out.splitlines()
    assert lines[0].split() == ["[1]", "34", "%", "a.txt"]
    assert lines[1].split() == ["[2]", "66", "%", "b.txt"]
    assert lines[3].split() == ["The", "keeper", "↵", "of", "·", "light", "灯台"]
    assert lines[4].split() == ["[1]", *"·7·7·7·"]
    assert lines[5].split() == ["[2]", *"9292929"]
    assert lines[4].index("7") == lines[3].index("keeper")


@pytest.mark.parametrize("columns", [40, 80])
def test_it_fits_the_terminal(retro, tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    long = "a" * 300
    words = [f" word{n}" for n in range(60)] + [long, " 灯" * 30]
    shown = retro("trace", write(tmp_path / "t.jsonl", words, (f"{long}/x", "b")))
    assert shown.code == 0
    from rich.cells import cell_len

    assert max(map(cell_len, shown.out.splitlines())) <= columns
    heads = [line for line in shown.out.splitlines() if line.startswith("     ")]
    assert " ".join(heads).split()[:60] == [f"word{n}" for n in range(60)]


def test_without_colour_there_is_no_escape_and_with_it_digits_stay(retro, traced, monkeypatch):
    assert "\x1b" not in retro("trace", traced).out
    monkeypatch.setattr(console, "colours", lambda stream: True)
    coloured = retro("trace", traced).out
    assert "\x1b[38;5;" in coloured
    assert "48;5;" in coloured
    assert "7" in coloured


def test_bands_hold_every_token_once_and_wide_ones_stand_alone():
    assert list(bands([3, 3, 3], 7)) == [(0, 2), (2, 3)]
    assert list(bands([9, 1, 9], 5)) == [(0, 1), (1, 2), (2, 3)]
    assert list(bands([1], 5)) == [(0, 1)]


@pytest.mark.parametrize(("share", "shown"), [(0, "·"), (0.099, "·"), (0.1, "1"), (1.0, "9")])
def test_a_digit_is_a_tenth(share, shown):
    assert digit(share) == shown


def test_json_has_the_whole_map(retro, traced):
    (found,) = retro("trace", traced, "--json").rows
    assert "".join(found["tokens"]) == "The keeper\n of light 灯台"
    assert [one["source"] for one in found["chunks"]] == ["a.txt", "b.txt"]
    assert found["chunks"][0]["shares"][:2] == [0.04, 0.75]


def test_only_the_largest_shares_are_shown_and_the_rest_is_summed(retro, traced):
    lines = retro("trace", traced, "--top", 1).out.splitlines()
    assert [line.split()[0] for line in lines if line.strip()][-1] == "rest"
    (found,) = retro("trace", traced, "--top", 1, "--json").rows
    assert found["rest"][0] == pytest.approx(0.04)


def test_a_text_that_read_nothing_is_shown_as_it_is(retro, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "Once", "neighbours": []}\n{"text": " more", "neighbours": []}\n')
    shown = retro("trace", path)
    assert (shown.code, shown.out) == (0, "Once more\n")
    assert "nothing was read" in shown.err


def test_standard_input_is_a_file_too(retro, traced, monkeypatch):
    monkeypatch.setattr(sys, "stdin", traced.open(encoding="utf-8"))
    assert retro("trace", "-").out == retro("trace", traced).out


# -- the page ----------------------------------------------------------------------------------


class Page(HTMLParser):
    VOID = frozenset({"meta", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.titles = [], set(), []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.titles += [value for name, value in attributes if name == "title"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_self_contained_and_escapes_everything(retro, tmp_path):
    path = write(tmp_path / "<b>&.jsonl", ["<i>", EVIL, "'\">"], (EVIL, "b"), title=EVIL, text=EVIL)
    made = retro("trace", path, "--html", tmp_path / "out" / "t.html")
    assert made.code == 0, made.err
    text = (tmp_path / "out" / "t.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert not page.tags & {"script", "b", "i", "img", "link"}
    assert "\x1b" not in text
    assert "http" not in text
    assert any("alert('1')" in title for title in page.titles)
    assert "prefers-color-scheme: dark" in text


def test_pointing_at_a_cell_tells_token_source_and_share(retro, traced, tmp_path):
    retro("trace", traced, "--html", tmp_path / "t.html")
    page = Page()
    page.feed((tmp_path / "t.html").read_text(encoding="utf-8"))
    assert "'keeper' from a.txt: 75 %" in page.titles
    assert any("words of b.txt" in title for title in page.titles)


# -- what goes wrong ---------------------------------------------------------------------------


def test_a_damaged_line_is_named_and_nothing_is_written(retro, traced, tmp_path):
    page = tmp_path / "t.html"
    page.write_text("as it was")
    before = traced.read_bytes()
    traced.write_bytes(before + b'{"text": "cut of')
    refused = retro("trace", traced, "--html", page)
    assert (refused.code, refused.out) == (2, "")
    assert "line 8" in refused.err
    assert "defect" not in refused.err
    assert page.read_text() == "as it was"
    assert traced.read_bytes().startswith(before)


@pytest.mark.parametrize("name", ["none.jsonl", "."])
def test_a_file_that_is_not_there_is_refused(retro, name):
    refused = retro("trace", name)
    assert refused.code == 2
    assert "cannot be read" in refused.err


def test_an_empty_file_holds_no_token(retro, tmp_path):
    (tmp_path / "t.jsonl").write_text("")
    refused = retro("trace", tmp_path / "t.jsonl")
    assert refused.code == 2
    assert "no token" in refused.err
