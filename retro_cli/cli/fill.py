"""retro fill: the masks of a sentence, by a masked language model that reads from the database."""

from __future__ import annotations

import textwrap
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retro_cli.cli import console, generate_out, options, render
from retro_cli.cli.command import command
from retro_cli.cli.opened import database_for
from retro_cli.models.masked import DEFAULT_MASKED
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.readers.interface import Retriever
    from retro_cli.readers.own_text import OwnText
    from retro_cli.readers.realm import Candidate, Filled

READING = "Reading"


def register(app: typer.Typer) -> None:
    command(
        app,
        "fill",
        [
            'retro fill wiki.db "The [MASK] of the light"',
            'retro fill wiki.db "The tower was built by [MASK] in [MASK]." -k 8 --json',
        ],
        "Look",
    )(fill)


def fill(
    db: options.DatabaseArgument,
    text: Annotated[
        str, typer.Argument(help="A text with a [MASK] for each token to find.", show_default=False)
    ],
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL", help="A masked model's name or folder.", rich_help_panel=READING
        ),
    ] = DEFAULT_MASKED,
    k: Annotated[
        int, typer.Option("-k", min=1, help="Chunks to read.", rich_help_panel=READING)
    ] = 5,
    doc_temperature: Annotated[
        float | None,
        typer.Option(
            help="The flatter the higher weigh the chunks. (default: 0.05 for cosines)",
            rich_help_panel=READING,
        ),
    ] = None,
    null_score: Annotated[
        float | None,
        typer.Option(
            help="What reading nothing scores, beside the chunks. (default: as the first chunk "
            "that is not read)",
            rich_help_panel=READING,
        ),
    ] = None,
    document: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="The text is from here: do not read it.", rich_help_panel=READING
        ),
    ] = None,
    keep_own: Annotated[
        bool,
        typer.Option(
            "--keep-own",
            help="Read documents also that hold the text itself.",
            rich_help_panel=READING,
        ),
    ] = False,
    no_retrieval: Annotated[
        bool, typer.Option("--no-retrieval", help="Read nothing.", rich_help_panel=READING)
    ] = False,
    query_encoder: options.QueryEncoder = "",
    device: options.Device = "auto",
    top: Annotated[int, typer.Option(min=1, help="Tokens to show for each mask.")] = 5,
    trace: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a JSON line a mask, for retro trace."),
    ] = None,
) -> None:
    """Fill the masks of a text from what the database has on it, as REALM does.

    A document that holds the text itself is left out: it would give the answer away. Reading
    nothing at all (the null document) has its share too.
    """
    from transformers.utils import logging as transformers_logging

    from retro_cli.models.language import MASKED, open_language_model
    from retro_cli.readers.realm import RealmReader
    from retro_cli.readers.trained import trained_to

    with ExitStack() as held:
        retriever = None if no_retrieval else _retriever(held, db, model, query_encoder)
        transformers_logging.set_verbosity_error()
        opened = open_language_model(model, (MASKED,), device, reader="realm")
        asked = trained_to(model).doc_temperature if doc_temperature is None else doc_temperature
        reader = RealmReader(opened, k=k, temperature=asked, null_score=null_score)
        own = None if keep_own else _own(text, document or [])
        found = reader.fill(text, retriever, top, own)
    if trace is not None:
        _write_trace(trace, found)
    if console.state.json:
        console.record(to_json(text, found))
    else:
        _show(found)


def _retriever(held: ExitStack, db: Path, model: str, query_encoder: str) -> Retriever:
    from retro_cli.generate.live import LiveRetriever

    database = held.enter_context(database_for(db, model, query_encoder))
    return LiveRetriever(database.finder(as_documents=True))


def _own(text: str, documents: list[str]) -> OwnText:
    from retro_cli.readers.own_text import OwnText
    from retro_cli.readers.realm import MASK

    return OwnText(text.split(MASK), documents)


def to_json(text: str, found: Filled) -> dict[str, Any]:
    """posterior: of the documents in their order, the null document last."""
    documents = [
        {**hit.to_json(), "prior": prior, "posterior": posterior}
        for hit, prior, posterior in zip(
            found.evidence.hits, found.prior, found.posterior, strict=False
        )
    ]
    return {
        "prompt": text,
        "text": found.text,
        "logprob": found.logprob,
        "masks": [[_candidate(each) for each in mask] for mask in found.masks],
        "documents": documents,
        "null": {
            "score": found.null_score, "prior": found.prior[-1], "posterior": found.posterior[-1],
        },
        "left_out": found.own,
    }  # fmt: skip


def _candidate(one: Candidate) -> dict[str, Any]:
    return {
        "token": one.token, "text": one.text, "probability": one.probability,
        "posterior": list(one.posterior),
    }  # fmt: skip


def _write_trace(path: Path, found: Filled) -> None:
    """The line of a mask is as that of a generated token; what its documents' shares lack of 1
    is the null document's."""
    import math

    from retro_cli.generate.trace import TracedToken

    with generate_out.trace_lines(path) as write:
        for place, one in enumerate(found.chosen):
            write(
                TracedToken(
                    one.token, one.text if place == 0 else f" {one.text}",
                    math.log(max(one.probability, 1e-45)), place, 0, found.evidence,
                    one.posterior[:-1], {"prior": list(found.prior), "null": one.posterior[-1]},
                )
            )  # fmt: skip


def _show(found: Filled) -> None:
    console.line(console.styled(console.printable(found.text), "1"))
    several = len(found.masks) > 1
    for number, mask in enumerate(found.masks, 1):
        console.line()
        head = f"mask {number}" if several else "candidates"
        numbers = " ".join(f"{f'[{z + 1}]':>4}" for z in range(len(found.evidence.hits)))
        console.line(console.styled(f"{head:<18} {'':>7}  {numbers} none".rstrip(), "2"))
        for one in mask:
            shares = " ".join(f"{100 * share:>3.0f}%" for share in one.posterior)
            name = render.shortened(console.clean(one.text), 18)
            console.line(f"{name:<18} {100 * one.probability:>6.1f}%  {shares}")
    console.line()
    for number, hit in enumerate(found.evidence.hits, 1):
        share = f"{100 * found.posterior[number - 1]:.0f} %"
        name = render.shortened_path(console.clean(hit.source), console.width() - 22)
        console.line(f"[{number}]  {hit.score:.3f}  {share:>5}  {console.styled(name, '36')}")
        snippet = console.clean(f"{hit.text} {hit.continuation}")
        for row in textwrap.wrap(snippet, console.width() - 5, max_lines=2, placeholder=" ..."):
            console.line(console.styled(f"     {row}", "2"))
    if found.own:
        console.say(
            f"left out {counted(found.own, 'chunk')} of documents that hold this text; --keep-own "
            "reads them too"
        )
