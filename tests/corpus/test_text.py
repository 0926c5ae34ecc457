"""Text, Markdown, reStructuredText and HTML: one document a file."""

from __future__ import annotations

import pytest
from corpus.helpers import documents, good, make_file, records, rejected
from hypothesis import given
from hypothesis import strategies as st

from retro_cli.corpus import Document
from retro_cli.corpus.formats.html import extract
from retro_cli.corpus.formats.text import front_fields, markdown_title, rst_title


def test_a_text_file_is_one_document_with_its_text_untouched(tmp_path):
    text = "  first\r\nsecond\n\n\tthird é 🙂 \n"
    file = make_file(tmp_path, "a.txt", text)
    assert documents(file) == [Document(file.uri, file.uri, text, "", file.uri)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_decides_and_is_removed(tmp_path, encoding):
    file = make_file(tmp_path, "a.txt", "café\r\n".encode(encoding))
    assert documents(file)[0].text == "café\r\n"


@pytest.mark.parametrize("mark", ["little", "big"])
def test_utf16_of_both_orders_is_read(tmp_path, mark):
    codec = "utf-16-le" if mark == "little" else "utf-16-be"
    file = make_file(tmp_path, "a.md", "\ufeff# naïve".encode(codec))
    assert documents(file)[0] == Document(file.uri, file.uri, "# naïve", "naïve", file.uri)


def test_other_encodings_are_read_only_when_declared(tmp_path):
    file = make_file(tmp_path, "a.txt", "café".encode("latin-1"))
    assert rejected(file)[0].reason.startswith("not valid utf-8 at byte 3 (0xe9)")
    assert documents(file, encoding="latin-1")[0].text == "café"


@pytest.mark.parametrize("data", [b"", b" \n\t", b"\xef\xbb\xbf"])
def test_a_file_without_text_is_set_aside(tmp_path, data):
    found = rejected(make_file(tmp_path, "a.txt", data))
    assert [(r.where, r.reason) for r in found] == [("file", "empty text")]


def test_a_nul_far_into_a_file_makes_it_binary(tmp_path):
    file = make_file(tmp_path, "a.txt", b"x" * 100_000 + b"\0")
    assert "binary" in rejected(file)[0].reason


def test_only_selects_a_one_document_file_by_position_zero(tmp_path):
    file = make_file(tmp_path, "a.txt", "x")
    assert len(records(file, only=[0])) == 1
    assert records(file, only=[7]) == []
    assert records(file, only=[]) == []


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Hello *world* #\n", "Hello *world*"),
        ("words\n\n## Second\n", "Second"),
        ("Title\n=====\nbody", "Title"),
        ("```\n# not a title\n```\n# Title", "Title"),
        ('---\ntitle: "From: front"\ntags: x\n---\n# Heading', "From: front"),
        ("---\ntags: x\n---\n# Heading", "Heading"),
        ("#hashtag\n", ""),
        ("no heading", ""),
        ("one\n\n---\n\ntwo", ""),
    ],
)
def test_the_markdown_title_is_the_front_matter_or_first_heading(text, title):
    assert markdown_title(text) == title


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Title\n=====\n", "Title"),
        ("=====\nTitle\n=====\n", "Title"),
        (":field: x\n\nTitle\n-----\n", "Title"),
        ("A long line of prose\n---\n", ""),
        ("", ""),
    ],
)
def test_the_rst_title_is_the_first_underlined_line(text, title):
    assert rst_title(text) == title


def test_with_title_leaves_a_file_whose_title_is_part_of_its_text(tmp_path):
    file = make_file(tmp_path, "a.md", "# Title\nbody")
    assert documents(file, with_title=True)[0].text == "# Title\nbody"


PAGE = """<!doctype html><html><head><title>Dune &amp; co</title><style>p {}</style></head><body>
<nav><a>Home</a><nav>x</nav></nav><h1>Dune</h1><p>Written by   <b>Frank</b>
Herbert.<br>In 1965.</p><script>if (a < b) { "<p>" }</script><ul><li>one<li>two</ul>
<pre>a
  b</pre><table><tr><td>x</td><td>y</td></tr><tr><td>z</td></tr></table>caf&eacute; &#x27;q&#39;
<footer>imprint</footer></body></html>"""


def test_html_becomes_title_and_visible_paragraphs(tmp_path):
    file = make_file(tmp_path, "a.html", PAGE)
    document = documents(file)[0]
    assert document.title == "Dune & co"
    assert document.text == (
        "Dune\n\nWritten by Frank Herbert.\nIn 1965.\n\none\ntwo\n\na\n  b\n\nx y\nz\n\ncafé 'q'"
    )
    assert documents(file, with_title=True)[0].text.startswith("Dune & co\n\nDune\n\n")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ('<meta charset="iso-8859-1"><p>caf\xe9 \x80'.encode("latin-1"), "café €"),
        ('<meta charset="iso-8859-1"><p>café'.encode(), "café"),
        ("<meta content='text/html; charset=Shift_JIS'><p>日本".encode("shift_jis"), "日本"),
        ("<p>日本".encode("utf-16"), "日本"),
        (b'<meta charset="utf-16"><p>plain', "plain"),
    ],
)  # fmt: skip
def test_html_is_decoded_by_mark_bytes_or_meta(tmp_path, data, text):
    assert documents(make_file(tmp_path, "a.html", data))[0].text == text


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<p>caf\xe9", "not valid utf-8"),
        (b'<meta charset="nonsense"><p>caf\xe9', "unknown encoding nonsense"),
        (b"<script>only code</script>", "empty text"),
    ],
)
def test_html_that_is_not_text_is_set_aside(tmp_path, data, reason):
    assert reason in rejected(make_file(tmp_path, "a.html", data))[0].reason


def test_a_menu_that_never_closes_does_not_hide_the_main_part():
    assert extract("<nav><a>menu</a><main><p>text</p></main>") == ("", "text")


@given(st.text())
def test_no_markup_breaks_the_parser(markup):
    title, text = extract(markup)
    assert isinstance(title + text, str)


@given(st.text(st.characters(exclude_characters="<>&", exclude_categories=["Cs", "Cc", "Zs"])))
def test_plain_characters_survive_html(words):
    text = extract(f"<p>{words}</p>")[1]
    assert text == words.strip("\n\u00a0 ")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")))
def test_any_text_is_read_back_exactly(tmp_path_factory, text):
    file = make_file(tmp_path_factory.getbasetemp(), "any.txt", text)
    found = good(file)
    assert [d.text for d in found] == ([text] if text.strip() else [])


def test_plain_fields_of_the_front_matter_are_kept_as_metadata():
    text = (
        "---\ntitle: The log\nyear: 1990\nauthor: 'Ines Ott'\ntags: [a, b]\nnested:\n  x: 1\n"
        "notes: |\n  long\n---\nyear: 7\n"
    )
    assert front_fields(text) == {"year": "1990", "author": "Ines Ott"}
    assert front_fields("year: 1990\n\nNo front matter.") == {}
