"""PDF, with pypdf: the text of the pages, separated by blank lines."""

from __future__ import annotations

import io
import logging

from retro_cli.corpus.document import Document
from retro_cli.corpus.fields import require_text, with_title
from retro_cli.corpus.reading import Reading, Records
from retro_cli.errors import MissingExtra, UnreadableInput


def documents(work: Reading) -> Records:
    """One document. Raises MissingExtra without pypdf."""
    if not work.wanted(0):
        return
    title, text = _extract(work.whole())
    text = require_text(text)
    if work.options.with_title:
        text = with_title(title, text)
    yield Document(work.file.uri, work.file.uri, text, title, work.file.uri)


def _extract(data: bytes) -> tuple[str, str]:
    try:
        import pypdf
    except ImportError as error:
        raise MissingExtra("reading PDF files", "pdf") from error
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what is wrong is reported below
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableInput("a PDF file that needs a password")
        pages = [page.extract_text().strip() for page in reader.pages]
        title = str((reader.metadata and reader.metadata.title) or "").strip()
    except UnreadableInput:
        raise
    except Exception as error:  # damaged files make pypdf fail in every possible way
        raise UnreadableInput(f"broken PDF: {type(error).__name__}: {error}") from error
    return _clean(title), _clean("\n\n".join(page for page in pages if page))


def _clean(text: str) -> str:
    """Glyphs that a font maps to half of a surrogate pair cannot be text."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
