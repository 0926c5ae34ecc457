"""Hits on the screen and in files: a table for people, JSON, CSV, TREC and Parquet for programs."""

from __future__ import annotations

import csv
import json
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from retro_cli.cli.console import clean, line, narrow, say, styled, width

if TYPE_CHECKING:
    from retro_cli.exchange.answers import Locate
    from retro_cli.exchange.questions import NoQuestion, Question
    from retro_cli.query.retrieve import Answer, Hit

FORMATS = ("table", "json", "csv", "parquet", "trec", "msmarco", "dpr", "fid", "kilt")
OF_DOCUMENTS = ("trec", "msmarco")
OF_ANSWERS = ("dpr", "fid", "kilt")
FIELDS = (
    "query",
    "rank",
    "score",
    "chunk",
    "document",
    "source",
    "title",
    "text",
    "continuation",
    "start",
    "end",
    "position",
    "also",
)
INDENT = "    "

# As they come; what is no question has no answer
Found = Iterable["tuple[Question, Answer] | NoQuestion"]


def write(
    found: Found,
    shape: str,
    out: TextIO,
    locate: Locate,
    *,
    explain: bool = False,
    headed: bool = False,
) -> None:
    """Write answers in one of FORMATS but parquet, flushed after each: someone may be waiting.

    locate: where a hit stands in its document, for KILT. headed: a table begins with its query.
    """
    if shape == "json":
        _write_json(found, out, explain)
        return
    answered = _answered(found)
    if shape in OF_ANSWERS:
        from retro_cli.exchange.answers import records

        for piece in records(((asked, answer.hits) for asked, answer in answered), shape, locate):
            out.write(piece)
            out.flush()
        return
    table = csv.writer(out) if shape == "csv" else None
    if table:
        table.writerow(FIELDS)
    for asked, answer in answered:
        if table:
            table.writerows(list(_row(asked.id, hit).values()) for hit in answer.hits)
        elif shape in OF_DOCUMENTS:
            out.writelines(_run(asked.id, answer, shape))
        else:
            if headed:
                out.write(
                    styled(shortened(clean(asked.text or asked.id), width()), "4", out) + "\n"
                )
            _write_table(answer, out, explain)
        out.flush()


def write_parquet(found: Found, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from retro_cli.store.atomic import replacing

    rows = [_row(asked.id, hit) for asked, answer in _answered(found) for hit in answer.hits]
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)


def paragraph(text: str, out: TextIO, indent: str = INDENT, style: str = "") -> None:
    """Wrap corpus text to the terminal."""
    for row in textwrap.wrap(clean(text), max(20, width() - len(indent))):
        out.write(indent + (styled(row, style, out) if style else row) + "\n")


def shortened(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(room - 3, 1)] + "..."


def shortened_path(path: str, room: int) -> str:
    """The end of a path is what tells it apart."""
    return path if len(path) <= room else "..." + path[len(path) - max(room - 3, 1) :]


def row(cells: str, wide: int, name: str, code: str = "") -> None:
    """A line of a table on stdout: cells, so many columns wide, and a name whose end is kept. On a
    narrow terminal the name stands below."""
    room, between = (width() - 2, "\n  ") if narrow() else (width() - wide - 2, "  ")
    short = shortened_path(clean(name), max(12, room))
    line(cells + between + (styled(short, code) if code else short))


def _row(identity: str, hit: Hit) -> dict[str, Any]:
    """also: the other sources with the same text, as a JSON list."""
    value = {name: getattr(hit, name) for name in FIELDS[1:-1]}
    others = sorted({source for _, source in hit.also})
    return {"query": identity, **value, "also": json.dumps(others, ensure_ascii=False)}


def _answered(found: Found) -> Iterator[tuple[Question, Answer]]:
    """What has an answer; of the rest a remark says why it has none."""
    for each in found:
        if isinstance(each, tuple):
            yield each
        else:
            say(clean(f"query {each.id} has no answer: {each.error}"))


def _write_json(found: Found, out: TextIO, explain: bool) -> None:
    for each in found:
        if isinstance(each, tuple):
            value = _json(*each, explain)
        else:
            value = {"query": each.id, "error": each.error, "hits": []}
        out.write(json.dumps(value, ensure_ascii=False) + "\n")
        out.flush()


def _json(asked: Question, answer: Answer, explain: bool) -> dict[str, Any]:
    value: dict[str, Any] = {"query": asked.id, "text": asked.text}
    value["metric"] = answer.metric
    value["hits"] = [hit.to_json() for hit in answer.hits]
    if explain:
        value["explanation"] = answer.explanation
    return value


def _run(identity: str, answer: Answer, shape: str) -> Iterator[str]:
    """The lines of a run: each document once, by its best chunk."""
    from retro_cli.exchange.runs import document_scores, msmarco_lines, trec_lines

    scores = document_scores(answer.hits)
    return trec_lines(identity, scores) if shape == "trec" else msmarco_lines(identity, scores)


def _write_table(answer: Answer, out: TextIO, explain: bool) -> None:
    if not answer.hits:
        say("nothing found")
    digits = 4 if answer.metric == "rrf" else 3
    for hit in answer.hits:
        _write_hit(hit, out, digits, explain)
    if explain:
        out.write(f"{styled('score'.ljust(12), '2', out)} {answer.metric}\n")
        for name, value in answer.explanation.items():
            out.write(f"{styled(name.ljust(12), '2', out)} {value}\n")


def _write_hit(hit: Hit, out: TextIO, digits: int, explain: bool) -> None:
    head = f"{hit.rank:>2}  {hit.score:.{digits}f}  "
    name = shortened(clean(hit.title or hit.document), width() - len(head))
    out.write(f"{head}{styled(name, '1', out)}\n")
    place = f"  chunk {hit.chunk}, characters {hit.start}-{hit.end}"
    source = shortened_path(clean(hit.source), max(12, width() - len(INDENT) - len(place)))
    if len(INDENT + source + place) <= width():
        out.write(INDENT + styled(source, "36", out) + styled(place, "2", out) + "\n")
    else:
        out.write(INDENT + styled(shortened_path(clean(hit.source), width() - 4), "36", out) + "\n")
        out.write(INDENT + styled(shortened(place.strip(), width() - 4), "2", out) + "\n")
    paragraph(hit.text, out)
    if hit.continuation:
        paragraph("... " + hit.continuation, out, style="2")
    if hit.also:
        others = ", ".join(sorted({source for _, source in hit.also}))
        text = shortened(f"the same text also in: {clean(others)}", width() - len(INDENT))
        out.write(INDENT + styled(text, "33", out) + "\n")
    if explain and hit.parts:
        ranks = "; ".join(f"{part.name}: rank {part.rank}, {part.score:.3f}" for part in hit.parts)
        out.write(INDENT + styled(shortened(ranks, width() - len(INDENT)), "2", out) + "\n")
    out.write("\n")
