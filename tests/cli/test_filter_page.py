"""retro filter sources: the table, and the page for a browser."""

from __future__ import annotations

from html.parser import HTMLParser

from helpers import write_jsonl


class Page(HTMLParser):
    """Checks that every element that is opened is closed, in order."""

    VOID = frozenset({"meta", "br", "hr", "img", "link"})

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.cells: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def test_the_page_is_well_formed_and_escapes_what_a_source_is_called(
    retro, archive, static_encoder, tmp_path
):
    evil = "<script>alert('1')</script>&amp;\"\x1b[2J"
    write_jsonl(archive / "evil.jsonl", [{"id": "x", "source": evil, "text": "the storm"}])
    database = tmp_path / "<b>&.db"
    assert retro("build", archive, "--db", database, "--encoder", static_encoder).code == 0
    assert retro("filter", "score", database, "--scorer", "words").code == 0
    ask = ["filter", "sources", database, "--scores", "words", "--html", "out/page.html"]
    assert retro(*ask).code == 0
    text = (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert not page.tags & {"script", "b"}
    assert "\x1b" not in text
    assert any("<script>alert('1')</script>&amp;" in cell for cell in page.cells)
    assert "http" not in text.replace('lang="', "")


def test_a_page_that_cannot_be_written_is_an_error_and_no_defect(retro, scored, tmp_path):
    (tmp_path / "taken").mkdir()
    for path in ("taken", "a.db/retro.toml/page.html"):
        refused = retro("filter", "sources", scored, "--scores", "w", "--html", path)
        assert refused.code == 2
        assert "defect" not in refused.err


def test_the_table_shows_what_rules_keep_out_and_the_worst_of_each(retro, scored, add):
    add("--source", "forum")
    rows = {
        r["source"]: r for r in retro("filter", "sources", scored, "--scores", "w", "--json").rows
    }
    assert rows["forum"]["excluded"] == rows["forum"]["chunks"] == 10
    assert rows["letters"]["excluded"] == 0
    out = retro("filter", "sources", scored, "--scores", "w", "--show", "--limit", 2).out
    assert out.count("chunk ") == 2
    assert "more sources" in out
