"""Damage to files, and what must hold of a program that reads them all the same.

A *target* is a folder of good files and a way to read them. One try damages one of them and reads:
whatever comes is an answer or a RetroError, within bounds of time and memory.
"""

from __future__ import annotations

import io
import json
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from corpus.helpers import COMPRESSORS

from retro_cli.corpus import Document, ReadOptions, Rejected, Slice, list_inputs, read, split
from retro_cli.errors import RetroError

Result = TypeVar("Result")
SECONDS = 60  # that one try may take
GREEDY = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\x00" * 8, b"\xff" * 8)
# What a JSON value may be replaced by: of another type, absurd, or a way out of the folder.
STRANGE = (None, True, -1, 2**31, 10**15, 1e300, "", "x", "../../../etc/passwd", "/etc/passwd",
           "\0", [], [[-5, 10**9]], {}, {"name": "../a", "bytes": 1, "sha256": ""})  # fmt: skip


def damaged(data: bytes, source: random.Random) -> bytes:
    """The bytes with one to four things wrong: flipped, cut, repeated, overwritten."""
    result = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 4))):
        at = source.randrange(len(result) + 1) if result else 0
        size = source.choice((1, 4, 64, 1024))
        match source.randrange(6):
            case 0 | 1 if result:
                result[at % len(result)] ^= 1 << source.randrange(8)
            case 2:
                del result[at:]
            case 3:
                del result[at : at + size]
            case 4:
                result[at:at] = result[at : at + size] or source.randbytes(size)
            case _:
                greedy = source.choice(GREEDY)
                result[at : at + len(greedy)] = greedy
    return bytes(result)


def strange_json(data: bytes, source: random.Random) -> bytes:
    """A JSON document with one of its values replaced or gone."""
    value = json.loads(data)
    places = list(_places(value))
    holder, key = source.choice(places)
    if source.random() < 0.2 and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = source.choice(STRANGE)
    return json.dumps(value, indent=1, sort_keys=True).encode()


def _places(value: object) -> Iterator[tuple]:
    keys = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore
    for key, inner in list(keys):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


@contextmanager
def bounded(seconds: int = SECONDS) -> Iterator[None]:
    """Raises TimeoutError where something hangs."""

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# -- inputs --------------------------------------------------------------------------------------


def inputs() -> dict[str, bytes]:
    """A good file of every format, by its name; compressed ones beside the plain."""
    rows = [{"id": f"r{n}", "text": f"é row {n} \N{CAT}", "title": "t", "n": n} for n in range(60)]
    plain = {
        "a.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(),
        "a.json": json.dumps(rows).encode(),
        "a.csv": ("id,text\n" + "".join(f'{n},"é, ""row"" {n}"\n' for n in range(60))).encode(),
        "a.tsv": "".join(f"{n}\té row {n}\n" for n in range(60)).encode(),
        "a.html": b"<html><title>T</title><body>" + "<p>é &amp; row</p>".encode() * 40,
        "a.md": "# Title\n\né row *and* row\n".encode() * 20,
        "a.rst": "Title\n=====\n\né row\n".encode() * 20,
        "a.txt": "é row\n".encode("utf-16"),
        "a.parquet": _columnar(rows, "parquet"),
        "a.arrow": _columnar(rows, "arrow"),
        "a.pdf": pdf("the ferry left"),
        "a.warc": warc(b"<html><body><p>the ferry left</p></body></html>"),
    }
    packed = {
        f"{name}.{kind}": COMPRESSORS[kind](plain[name])
        for name in ("a.jsonl", "a.csv", "a.html", "a.warc")
        for kind in COMPRESSORS
        if kind
    }
    return plain | packed


def _columnar(rows: list[dict], kind: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table, out = pa.Table.from_pylist(rows), io.BytesIO()
    if kind == "parquet":
        pq.write_table(table, out, row_group_size=20)
    else:
        with pa.ipc.new_file(out, table.schema) as writer:
            writer.write_table(table, max_chunksize=20)
    return out.getvalue()


def pdf(text: str) -> bytes:
    """The smallest PDF with a page of text."""
    stream = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode()
    bodies = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % p for p in places)
    return bytes(out + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % start)


def warc(page: bytes) -> bytes:
    """Two records of a crawl."""
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
    head = (
        b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.example/%d\r\n"
        b"WARC-Record-ID: <urn:uuid:%d>\r\nWARC-Date: 2020-01-01T00:00:00Z\r\n"
        b"Content-Type: application/http; msgtype=response\r\nContent-Length: %d\r\n\r\n"
    )
    return b"".join(head % (n, n, len(http)) + http + b"\r\n\r\n" for n in range(2))


def read_input(path: Path) -> int:
    """How many documents a file holds; all that it gives is a document or a rejection."""
    count = 0
    for file in list_inputs([str(path)]):
        pieces = split(file, ReadOptions(), 500)
        for piece in [Slice(file), *pieces]:
            for record in read(piece, ReadOptions()):
                assert isinstance(record, (Document, Rejected))
                "".join(map(str, record if isinstance(record, tuple) else [record.text])).encode()
                count += isinstance(record, Document)
    return count


def try_input(folder: Path, files: dict[str, bytes], source: random.Random) -> None:
    name = source.choice(sorted(files))
    path = folder / name
    path.write_bytes(damaged(files[name], source))
    try:
        with bounded():
            read_input(path)
    except RetroError:
        pass
    finally:
        path.unlink()


# -- databases -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Good:
    """A database that is whole, and what it answers. files: all that is not a convenience."""

    root: Path
    files: tuple[Path, ...]
    texts: frozenset[str]

    @classmethod
    def of(cls, root: Path) -> Good:
        files = [path for path in sorted(root.rglob("*")) if path.is_file()]
        named = [
            path for path in files
            if path.name not in (".lock", ".verified.json") and "measured" not in path.name
        ]  # fmt: skip
        return cls(root, tuple(named), frozenset(answer(root)))


def answer(root: Path | str, retriever: str = "hybrid") -> list[str]:
    """The texts of all hits of a wide query, with what follows them."""
    from retro_cli import Database
    from retro_cli.query.search import Search

    with Database.open(str(root)) as database:
        finder = database.finder(Search(retriever=retriever))
        hits = finder(["the boat and the keeper"], 50)[0].hits
        return [text for hit in hits for text in (hit.text, hit.continuation)]


def look_around(root: Path) -> None:
    """What reads the other files: the state, tables of neighbours and scores, the rules' proof."""
    from retro_cli.database import Database
    from retro_cli.filters.score_table import scores_of, tables
    from retro_cli.query.neighbours import NeighbourTable
    from retro_cli.query.table import table_names
    from retro_cli.status import status
    from retro_cli.store.layout import Layout

    layout = Layout(root)
    refused_or(lambda: status(layout))
    with Database.open(str(root)) as database:
        opened = database.retriever
        for table in tables(layout):
            refused_or(partial(scores_of, layout, opened.manifest, opened.aliases, table.name))
        for name in table_names(layout):
            rows = NeighbourTable(layout, name, opened.own)
            for part in opened.manifest.parts:
                refused_or(partial(rows.read, part.name))


def try_database(good: Good, source: random.Random) -> None:
    """Damage a file, query and verify: what is shown is what was there, or verify says why not."""
    from retro_cli.store.layout import Layout
    from retro_cli.verify import verify

    path = source.choice(good.files)
    data = path.read_bytes()
    strange = path.suffix == ".json" and not path.name.startswith(("meta", ".managed"))
    change = strange_json if strange and source.random() < 0.7 else damaged
    try:
        path.write_bytes(change(data, source))
        with bounded():
            retriever = source.choice(("dense", "bm25", "hybrid"))
            shown = refused_or(lambda: frozenset(answer(good.root, retriever)))
            checked = refused_or(lambda: verify(Layout(good.root)))
            refused_or(lambda: look_around(good.root))
            if shown is not None and not shown <= good.texts:
                assert checked is None or checked.problems, f"shows what was not there: {path}"
    except BaseException as error:
        error.add_note(f"in {path.relative_to(good.root)}")
        raise
    finally:
        path.write_bytes(data)


def refused_or(work: Callable[[], Result]) -> Result | None:
    """What it gives; None where it is refused in words."""
    try:
        return work()
    except RetroError:
        return None


def build_database(folder: Path, encoder: Path) -> Path:
    """A database with a replaced document, equal texts, a rule, scores and neighbours."""
    from retro_cli import Database, pipeline
    from retro_cli.filters.rules import Rule
    from retro_cli.query.table import NeighbourSettings
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.filtering import add_rule
    from retro_cli.upkeep.scoring import score_database

    corpus, root = folder / "corpus", folder / "d"
    corpus.mkdir()
    for number in range(8):
        text = f"the boat {number} and the keeper {number} in the storm. " * (1 + number)
        (corpus / f"{number % 7}-{number}.txt").write_text(text if number else "the boat. " * 9)
    (corpus / "copy.txt").write_bytes((corpus / "3-3.txt").read_bytes())
    (folder / "words.txt").write_text("storm\n")
    layout = Layout(root)
    for text in ("", "the ferry came in. " * 5):  # the second replaces a document
        if text:
            (corpus / "1-1.txt").write_text(text)
        Database.build(root, str(corpus), encoder=str(encoder), tokens=12).close()
    add_rule(layout, Rule(0, "x", sources=("*6-6*",), copies="near"))
    score_database(layout, f"words:{folder / 'words.txt'}")
    pipeline.neighbours(layout, "default", NeighbourSettings())
    return root


def purged(root: Path) -> Path:
    """The same database beside it, as "p", with what its rule takes gone for good."""
    from retro_cli.store.layout import Layout
    from retro_cli.upkeep.compact import compact

    other = Path(shutil.copytree(root, root.parent / "p"))
    compact(Layout(other), purge=True, yes=True)
    return other
