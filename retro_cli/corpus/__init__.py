"""Bytes -> Document: which files there are, what they are, and the records they hold."""

from retro_cli.corpus.detect import Format, detect
from retro_cli.corpus.document import Document, Rejected
from retro_cli.corpus.inputs import InputFile, Listing, Slice, list_inputs
from retro_cli.corpus.patterns import Roots, covers, roots
from retro_cli.corpus.read import format_of, read, split
from retro_cli.corpus.reading import ReadOptions
from retro_cli.corpus.streams import open_stream, raw_blocks

__all__ = [
    "Document",
    "Format",
    "InputFile",
    "Listing",
    "ReadOptions",
    "Rejected",
    "Roots",
    "Slice",
    "covers",
    "detect",
    "format_of",
    "list_inputs",
    "open_stream",
    "raw_blocks",
    "read",
    "roots",
    "split",
]
