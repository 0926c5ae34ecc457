"""HTML: the title and the visible text, paragraphs separated by blank lines."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

from retro_cli.corpus.document import Document
from retro_cli.corpus.encoding import decode, effective_encoding
from retro_cli.corpus.fields import require_text, with_title
from retro_cli.corpus.reading import Reading, Records
from retro_cli.errors import UnreadableInput, UsageError

# What is not read: code, controls, and the furniture around a page's text.
SKIPPED = frozenset((
    "script", "style", "noscript", "template", "nav", "footer", "aside", "button", "select",
    "svg", "iframe", "object", "canvas", "audio", "video", "math",
))  # fmt: skip
_PARAGRAPHS = frozenset((
    "p", "div", "section", "article", "main", "header", "h1", "h2", "h3", "h4", "h5", "h6",
    "ul", "ol", "dl", "table", "blockquote", "pre", "figure", "figcaption", "hr", "form",
    "fieldset", "address", "details", "summary", "body",
))  # fmt: skip
_LINES = frozenset(("br", "li", "tr", "dt", "dd", "caption"))
_CELLS = frozenset(("td", "th"))

_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([a-zA-Z0-9_:.-]+)", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z!?][^<>]*>?")
_SPACES = re.compile(r"[ \t\r\n\f\v\u00a0]+")


def documents(work: Reading) -> Records:
    """One document. The encoding is that of the mark, of the bytes, or of the meta element."""
    if not work.wanted(0):
        return
    markup = decode_html(work.whole(), work.options.encoding)
    title, text = extract(markup)
    text = require_text(text)
    if work.options.with_title:
        text = with_title(title, text)
    yield Document(work.file.uri, work.file.uri, text, title, work.file.uri)


def decode_html(data: bytes, declared: str) -> str:
    """Strict decoding. Bytes that are valid UTF-8 beyond ASCII are UTF-8 whatever they claim."""
    encoding = effective_encoding(data[:4], declared)
    if encoding != "utf-8":
        return decode(data, encoding).removeprefix("\ufeff")
    meta = _CHARSET.search(data[:4096])
    if meta is None:
        return decode(data, "utf-8").removeprefix("\ufeff")
    if not data.isascii():
        try:
            return data.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError:
            pass
    return decode(data, web_encoding(meta[1].decode("ascii")))


def web_encoding(label: str) -> str:
    """The codec for a label as browsers read it (WHATWG Encoding Standard)."""
    try:
        name = effective_encoding(b"", label)
    except UsageError as error:
        raise UnreadableInput(f"unknown encoding {label}") from error
    if name.startswith(("utf-16", "utf-32")):
        return "utf-8"
    return "cp1252" if name in ("iso8859-1", "ascii") else name


def extract(markup: str) -> tuple[str, str]:
    """(title, visible text) of a page."""
    page = _Page()
    page.feed(markup)
    page.finish()
    return page.title(), page.text()


class _Page(HTMLParser):
    """Collects text; block elements become paragraph or line breaks."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._title: list[str] = []
        self._break = ""  # due before the next text
        self._skipping: list[str] = []  # open elements that are not read
        self._in_title = False
        self._pre = 0

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """``<![...>`` is skipped; the library would raise at most of them."""
        return self.rawdata.find(">", i) + 1 or -1

    def finish(self) -> None:
        """Read what is left behind a tag or comment that never ends, as plain text.

        The library's ``close`` would look for its end again at every "<": quadratic time.
        """
        rest, self.rawdata = self.rawdata, ""
        if not self.cdata_elem:
            self.handle_data(unescape(_TAG.sub(" ", rest)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "main":
            self._skipping.clear()  # a menu that was never closed must not hide the page
        if tag in _PARAGRAPHS:
            self._in_title = False  # nor a title
        if self._skipping:
            if tag == self._skipping[-1]:
                self._skipping.append(tag)
        elif tag in SKIPPED:
            self._skipping.append(tag)
        elif tag == "title" and not self._title:
            self._in_title = True
        else:
            self._pre += tag == "pre"
            self._boundary(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._skipping:
            self._boundary(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif self._skipping:
            if tag == self._skipping[-1]:
                self._skipping.pop()
        else:
            self._pre -= tag == "pre" and self._pre > 0
            if tag not in _CELLS:
                self._boundary(tag)

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self._title.append(data)
        elif not self._skipping:
            self._add(data if self._pre else _SPACES.sub(" ", data))

    def _boundary(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._break = "\n\n"
        elif tag in _LINES and self._break != "\n\n":
            self._break = "\n"
        elif tag in _CELLS and not self._break:
            self._break = " "

    def _add(self, text: str) -> None:
        if not self._pre and (self._break or not self._parts):
            text = text.lstrip(" ")
        if not text:
            return
        if self._parts and self._break:
            self._parts.append(self._break)
        elif self._parts and text[0] == " " and self._parts[-1][-1] == " ":
            text = text[1:]
        self._break = ""
        self._parts.append(text)

    def title(self) -> str:
        return _SPACES.sub(" ", "".join(self._title)).strip()

    def text(self) -> str:
        return re.sub(r" +(?=\n|$)", "", "".join(self._parts)).strip("\n")
