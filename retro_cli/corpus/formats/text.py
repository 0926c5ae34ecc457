"""Plain text, Markdown and reStructuredText: a file is a document, its text untouched.

Of a Markdown file's front matter the plain fields are kept as metadata too.
"""

from __future__ import annotations

import re
from itertools import islice

from retro_cli.corpus.detect import inner_suffix
from retro_cli.corpus.document import Document
from retro_cli.corpus.encoding import decode_file
from retro_cli.corpus.fields import metadata_json, require_text
from retro_cli.corpus.reading import Reading, Records
from retro_cli.errors import UnreadableInput

_TITLE_LINES = 300  # a title further down is none
_FIELD = re.compile(r"^([A-Za-z_][\w -]*?):[ \t]+(\S.*?)[ \t\r]*$", re.MULTILINE)
_YAML = "[{|>&*!#"  # what such a value begins with is no plain text
_FENCE = re.compile(r" {0,3}(```|~~~)")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)[ \t]*(?:#+[ \t]*)?$")
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}[ \t]*$")


def documents(work: Reading) -> Records:
    """One document, its title the first heading if the file's kind has headings."""
    if not work.wanted(0):
        return
    text = require_text(decode_file(work.whole(), work.options.encoding))
    if "\0" in text:
        raise UnreadableInput("binary data (it holds NUL bytes)")
    suffix = work.options.format or inner_suffix(work.file.uri)
    title, metadata = "", "{}"
    if suffix in ("markdown", "md", "mdx"):
        title, metadata = markdown_title(text), metadata_json(front_fields(text))
    elif suffix == "rst":
        title = rst_title(text)
    yield Document(work.file.uri, work.file.uri, text, title, work.file.uri, metadata)


def front_fields(text: str) -> dict[str, str]:
    """What a Markdown file's front matter says in plain ``name: value`` lines, but its title.

    Lists, nested fields and texts of several lines are left to YAML.
    """
    fields = _fields(_front_matter(text)[0])
    fields.pop("title", None)
    return fields


def _fields(front: str) -> dict[str, str]:
    pairs: list[tuple[str, str]] = _FIELD.findall(front)
    return {name: value.strip("\"'") for name, value in pairs if value[0] not in _YAML}


def markdown_title(text: str) -> str:
    """The front matter's title, or the first heading outside code."""
    front, body = _front_matter(text)
    named = _fields(front).get("title")
    if named:
        return named
    fence = ""
    before = ""
    for line in islice(body.splitlines(), _TITLE_LINES):
        mark = _FENCE.match(line)
        if mark and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        heading = None if fence else _HEADING.match(line)
        if heading and heading[1]:
            return heading[1]
        if not fence and before.strip() and re.fullmatch(r" {0,3}(=+|-+)[ \t]*", line):
            return before.strip()
        before = "" if fence or mark else line
    return ""


def _front_matter(text: str) -> tuple[str, str]:
    """(front matter, the rest). The text that is chunked keeps both."""
    if re.match(r"---[ \t]*\r?\n", text):
        end = re.compile(r"^(---|\.\.\.)[ \t]*$", re.MULTILINE).search(text, 4)
        if end:
            return text[: end.start()], text[end.end() :]
    return "", text


def rst_title(text: str) -> str:
    """The first line that is underlined at least as long as it is."""
    before = ""
    for line in islice(text.splitlines(), _TITLE_LINES):
        underlined = _ADORNMENT.match(line) and len(line.rstrip()) >= len(before.rstrip())
        if underlined and before.strip() and not _ADORNMENT.match(before):
            return before.strip()
        before = line
    return ""
