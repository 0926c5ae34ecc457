"""The documents and chunks of a database, in the forms that other projects read corpora in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.manifest import ChunkManifest
from retro_cli.chunks.rows import read_blocks
from retro_cli.exchange.runs import column
from retro_cli.store.tables import read_columns

Bits = npt.NDArray[np.bool_]

DOCUMENTS = ("beir", "kilt", "msmarco")
PASSAGES = ("dpr", "atlas")
_COLUMNS = ["doc", "document", "position", "title", "text"]


@dataclass(frozen=True)
class Written:
    """A document, or with ``#`` and its place in the id a chunk of one. metadata: JSON text."""

    id: str
    title: str
    text: str
    metadata: str = "{}"


def documents(folder: Path, manifest: ChunkManifest, own: Bits) -> Iterator[Written]:
    """Every document that has a chunk to show, with the text of those. own: (next_id,).

    Of documents with one name, the second is called ``name~2``.
    """
    named = _Names()
    for part in manifest.parts:
        shown = own[part.base : part.base + part.rows]
        if not shown.any():
            continue
        about = read_columns(folder / part.docs_file, ["document", "title", "metadata"])
        rows = _rows(folder / part.chunks_file, shown)
        for doc, mine in groupby(rows, key=itemgetter("doc")):
            values = {name: about[name][doc].as_py() for name in about.schema.names}
            yield Written(
                id=named.of(values["document"]),
                title=values["title"],
                text="".join(row["text"] for row in mine),
                metadata=values["metadata"] or "{}",
            )


def passages(folder: Path, manifest: ChunkManifest, own: Bits) -> Iterator[Written]:
    """Every chunk that may be shown, by its document and its place in it."""
    named = _Names()
    for part in manifest.parts:
        rows = _rows(folder / part.chunks_file, own[part.base : part.base + part.rows])
        for _, mine in groupby(rows, key=itemgetter("doc")):
            first = next(mine)
            name = named.of(first["document"])
            for row in chain([first], mine):
                yield Written(f"{name}#{row['position']}", row["title"], row["text"])


def _rows(path: Path, shown: Bits) -> Iterator[dict[str, Any]]:
    done = 0
    for block in read_blocks(path, _COLUMNS):
        wanted = np.flatnonzero(shown[done : done + len(block)])
        yield from block.take(wanted).to_pylist()
        done += len(block)


class _Names:
    """Ids that occur once."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def of(self, name: str) -> str:
        self._seen[name] = count = self._seen.get(name, 0) + 1
        return name if count == 1 else f"{name}~{count}"


def _beir(one: Written) -> str:
    value = {"_id": one.id, "title": one.title, "text": one.text}
    return _json({**value, "metadata": json.loads(one.metadata)})


def _kilt(one: Written) -> str:
    """Each line is a paragraph."""
    text = one.text.split("\n")
    return _json(
        {"_id": one.id, "wikipedia_id": one.id, "wikipedia_title": one.title, "text": text}
    )


def _atlas(one: Written) -> str:
    return _json({"id": one.id, "title": one.title, "text": one.text})


def _msmarco(one: Written) -> str:
    return f"{column(one.id)}\t{_flat(one.text)}\n"


def _dpr(one: Written) -> str:
    """The text stands before the title; quotes as the csv module writes them."""
    line = io.StringIO()
    row = [one.id, _flat(one.text), _flat(one.title)]
    csv.writer(line, delimiter="\t", lineterminator="\n").writerow(row)
    return line.getvalue()


def _flat(text: str) -> str:
    return " ".join(text.split())


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


# What a line of each form is made by, and what stands above the lines.
LINES: dict[str, Callable[[Written], str]] = {
    "beir": _beir, "kilt": _kilt, "msmarco": _msmarco, "dpr": _dpr, "atlas": _atlas,
}  # fmt: skip
HEADERS = {"dpr": "id\ttext\ttitle\n"}
