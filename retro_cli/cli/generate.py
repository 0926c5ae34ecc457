"""retro generate: continue a prompt, reading from the database on the way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retro_cli.cli import console, generate_nearest, generate_out, options
from retro_cli.cli.command import command
from retro_cli.cli.opened import database_for
from retro_cli.cli.server import Server, write
from retro_cli.errors import InputNotFound, UsageError
from retro_cli.models.base import DEFAULT_BASE
from retro_cli.models.shipped import DEFAULT_MODEL

if TYPE_CHECKING:
    from retro_cli.generate.trace import TracedToken

READER_NAMES = (
    "retro",
    "closed-book",
    "in-context",
    "rag-token",
    "rag-sequence",
    "knn-lm",
    "memorizing",
)
TEXT, READING, DECODING = "Text", "Reading", "Decoding"


def register(app: typer.Typer) -> None:
    command(
        app,
        "generate",
        [
            'retro generate wiki.db "The keeper of the light" --show',
            "retro generate wiki.db --prompt-file - --model fitted/ < letter.txt",
            'retro generate wiki.db "Dear Ines," --temperature 0.8 --seed 3',
            'retro generate wiki.db "The ferry" --reader in-context',
        ],
        "Look",
    )(generate)


def generate(
    db: options.DatabaseArgument,
    prompt: Annotated[
        str | None, typer.Argument(help="The text to continue.", show_default=False)
    ] = None,
    reader: Annotated[
        str | None,
        typer.Option(
            help=f"How the model reads: {', '.join(READER_NAMES)}. (default: retro; "
            "in-context with --endpoint)",
            rich_help_panel=READING,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help=f"A name or a folder. (default: {DEFAULT_MODEL} for retro, else {DEFAULT_BASE})",
            rich_help_panel=READING,
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the base model is now, if the model's folder holds only what was added.",
            rich_help_panel=READING,
        ),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(
            "-k",
            min=1,
            help="Chunks a look-up. (default: as in training for retro; each reader's own)",
            rich_help_panel=READING,
        ),
    ] = None,
    retrieval_step: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Look up again after so many tokens. (default: a chunk for retro, else 4)",
            rich_help_panel=READING,
        ),
    ] = None,
    doc_temperature: Annotated[
        float | None,
        typer.Option(
            help="Of rag-...: the flatter the higher weigh the chunks. (default: 0.05 for cosines, "
            "which differ little)",
            rich_help_panel=READING,
        ),
    ] = None,
    no_retrieval: Annotated[
        bool,
        typer.Option(
            "--no-retrieval", help="Read nothing: the base model.", rich_help_panel=READING
        ),
    ] = False,
    query_encoder: options.QueryEncoder = "",
    device: options.Device = "auto",
    prompt_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Read the prompt here; - is standard input.", rich_help_panel=TEXT
        ),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens to write at most.", rich_help_panel=TEXT)
    ] = 128,
    show: Annotated[
        bool,
        typer.Option(
            "--show",
            help="With the text, what was read for it and the words it shares with that.",
            rich_help_panel=TEXT,
        ),
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a JSON line a token: its probability, and what it read.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Draw tokens; lower is safer. (default: take the likeliest)",
            rich_help_panel=DECODING,
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="Draw among so many tokens.", rich_help_panel=DECODING),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            help="Draw among the likeliest with this probability together.",
            rich_help_panel=DECODING,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draws.", rich_help_panel=DECODING)] = 0,
    beams: Annotated[
        int,
        typer.Option(min=1, help="Search with so many texts at once.", rich_help_panel=DECODING),
    ] = 1,
    length_penalty: Annotated[
        float,
        typer.Option(
            help="Beams compare by log-probability / tokens to this power.",
            rich_help_panel=DECODING,
        ),
    ] = 1.0,
    decoding: Annotated[
        str,
        typer.Option(
            help="Of rag-sequence: exact; or beams a chunk, their texts weighed under all chunks "
            "(thorough) or those that found them (fast).",
            rich_help_panel=DECODING,
        ),
    ] = "exact",
    *,
    nearest: generate_nearest.Nearest,
    server: Server,
) -> None:
    """Continue a text, looking up on the way what the database has on it.

    A server is asked once, with the passages found for the prompt.
    """
    words = _prompt(prompt, prompt_file)
    endpoint = server.named()
    if endpoint is not None:
        here = {
            "--model": model, "--base": base, "--retrieval-step": retrieval_step,
            "--trace": trace, "--temperature": temperature, "--top-k": top_k, "--top-p": top_p,
            "--show": show or None, "--beams": beams if beams > 1 else None,
        }  # fmt: skip
        _refuse_with_server([flag for flag, value in here.items() if value is not None])
        name = "closed-book" if no_retrieval else reader or "in-context"
        with generate_out.interruptible():
            write(endpoint, db, words, name, k, max_tokens)
        return
    from transformers.utils import logging as transformers_logging

    from retro_cli.generate.decoding import Decoding
    from retro_cli.generate.live import newest_retriever
    from retro_cli.generate.loop import generate as continued
    from retro_cli.readers.open import ReaderOptions, open_reader

    if temperature is None:
        temperature = 0.0 if top_k is None and top_p is None else 1.0
    how = Decoding(max_tokens, temperature, top_k, top_p, seed, beams, length_penalty, decoding)
    recording = trace is not None or (show and not console.state.json)
    wanted = ReaderOptions(
        model, base, device, k, retrieval_step, recording, doc_temperature, nearest.votes()
    )
    with ExitStack() as held, generate_out.interruptible():
        alone = no_retrieval or reader == "closed-book"
        database = None if alone else held.enter_context(database_for(db, model, query_encoder))
        transformers_logging.set_verbosity_error()
        if database is not None:
            wanted = replace(wanted, database=partial(getattr, database, "retriever"))
        opened = open_reader(reader or "retro", wanted)
        for note in opened.notes:
            console.say(note)
        retriever = None if database is None else newest_retriever(database, opened, console.say)
        out = generate_out.output(words, show)
        watchers: list[Callable[[TracedToken], Any]] = [out.token]
        if trace is not None:
            watchers.append(held.enter_context(generate_out.trace_lines(trace)))
        found = continued(
            opened.reader, retriever, words, how, lambda t: generate_out.tell(watchers, t)
        )
        out.end(found)
        generate_out.say_times(found)


def _refuse_with_server(flags: list[str]) -> None:
    if flags:
        raise UsageError(
            f"{', '.join(flags)} and --endpoint", "a server takes the prompt and --max-tokens only"
        )


def _prompt(text: str | None, file: str | None) -> str:
    """The prompt; of a file without its last line end, which an editor put there."""
    if (text is None) == (file is None):
        raise UsageError("give a PROMPT, or --prompt-file", 'retro generate DB "Once upon a time"')
    if file is not None:
        text = _read(file).removesuffix("\n")
    if not (text or "").strip():
        raise UsageError("the prompt is empty", "give some words to continue")
    return str(text)


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 ({error})", "convert it first") from error
    except OSError as error:
        raise InputNotFound(f"{name} cannot be read ({error.strerror})", "name a file") from error
