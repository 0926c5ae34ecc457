"""Options and arguments that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retro_cli.errors import UsageError
from retro_cli.store.layout import database_folder, is_remote, local_folder

if TYPE_CHECKING:
    from retro_cli.engine import Where
    from retro_cli.query.search import Search

INPUT = "Input"
CHUNKS = "Chunks"
ENCODER = "Encoder"
RESOURCES = "Resources"
SEARCHING = "Search"


def folder(name: str) -> Path:
    """A folder by its name, which is neither empty nor the URL of another place."""
    try:
        return local_folder(name)
    except UsageError as error:
        raise typer.BadParameter(f"{error.message}; {error.hint}") from error


class Remote(str):
    """The URL of a database, which is opened when the command begins."""

    __slots__ = ()


def database(name: str) -> Path | Remote:
    """A database that is to be read, by its folder or its URL."""
    return Remote(name) if is_remote(name) else folder(name)


def opened(value: Any) -> Any:
    """The folder of a view, for the URL of a database; all else as it is."""
    return database_folder(value) if isinstance(value, Remote) else value


DatabaseArgument = Annotated[
    Path,
    typer.Argument(
        parser=database,
        metavar="DB",
        help="The retrieval database, a folder; or the URL (s3://, ...) of one that is only read.",
        show_default=False,
    ),
]
FolderArgument = Annotated[
    Path,
    typer.Argument(
        parser=folder, metavar="DB", help="The retrieval database, a folder.", show_default=False
    ),
]
DatabaseOption = Annotated[
    Path,
    typer.Option(
        "--db", parser=folder, metavar="DB", help="The retrieval database to create or update."
    ),
]
InputsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Files, folders, globs, URLs (s3://, ...) or - for standard input.",
        show_default=False,
    ),
]
Tokens = Annotated[
    int | None,
    typer.Option(
        min=1, max=8192, help="Tokens a chunk at most. (default: 64)", rich_help_panel=CHUNKS
    ),
]
Cut = Annotated[
    str | None,
    typer.Option(
        help="word: never cut inside a word. exact: every chunk but a document's last has just "
        "that many tokens, as in the paper. (default: word)",
        rich_help_panel=CHUNKS,
    ),
]
TokenizerOption = Annotated[
    str | None,
    typer.Option(
        help="A tokenizer.json, a folder with one, or a base model's name. (default: the "
        "encoder's)",
        rich_help_panel=CHUNKS,
    ),
]
Dedup = Annotated[
    str | None,
    typer.Option(
        help="Merge exact duplicates: none, document or chunk. (default: document)",
        rich_help_panel=CHUNKS,
    ),
]
Prune = Annotated[
    bool,
    typer.Option(
        "--prune", help="Also remove documents that are gone from the input.", rich_help_panel=INPUT
    ),
]
TextField = Annotated[
    str | None, typer.Option(help="The field that holds the text.", rich_help_panel=INPUT)
]
IdField = Annotated[
    str | None, typer.Option(help="The field that holds the id.", rich_help_panel=INPUT)
]
TitleField = Annotated[
    str | None, typer.Option(help="The field that holds the title.", rich_help_panel=INPUT)
]
SourceField = Annotated[
    str | None, typer.Option(help="The field that names the source.", rich_help_panel=INPUT)
]
WithTitle = Annotated[
    bool | None,
    typer.Option(
        "--with-title/--without-title",
        help="Put a record's title before its text. (default: without)",
        rich_help_panel=INPUT,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(help="Of text input. (default: utf-8)", rich_help_panel=INPUT),
]
InputFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Read every input as this format. (default: by content)",
        rich_help_panel=INPUT,
    ),
]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        help="all-MiniLM-L6-v2, wordllama, a sentence-transformers folder or hf:ORG/NAME. "
        "(default: all-MiniLM-L6-v2)",
        rich_help_panel=ENCODER,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="fp32, int8 (faster on a CPU, costs a little quality) or fp16 (on a GPU). "
        "(default: fp16 on a GPU, else fp32)",
        rich_help_panel=ENCODER,
    ),
]
QueryEncoder = Annotated[
    str,
    typer.Option(
        metavar="FOLDER",
        help="One that was trained for queries against these document vectors. (default: the "
        "documents' own encoder)",
        rich_help_panel=ENCODER,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=ENCODER)]
Download = Annotated[
    bool,
    typer.Option(
        "--download", help="Allow fetching an hf: model from the hub.", rich_help_panel=ENCODER
    ),
]
Workers = Annotated[
    int,
    typer.Option(min=0, help="Processes; 0 means a sensible number.", rich_help_panel=RESOURCES),
]
Threads = Annotated[
    int,
    typer.Option(min=0, help="Threads; 0 means the cores.", rich_help_panel=RESOURCES),
]
PartSize = Annotated[
    int,
    typer.Option(
        min=1, metavar="MB", help="Input megabytes in one part.", rich_help_panel=RESOURCES
    ),
]
Recall = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Recall at 10 that nprobe is tuned to. (default: as before, else 0.95)",
        rich_help_panel="Index",
    ),
]
Factory = Annotated[
    str,
    typer.Option(
        help="A Faiss factory string instead of the plan's; auto goes back to it.",
        rich_help_panel="Index",
    ),
]
Stemmer = Annotated[
    str | None,
    typer.Option(
        help="The language whose endings words lose in the lexical index, or none. "
        "(default: as before, else english)",
        rich_help_panel="Index",
    ),
]
Words = Annotated[
    bool | None,
    typer.Option(
        "--words/--no-words",
        help="Whether to keep a lexical index, for bm25 and hybrid. (default: as before, else yes)",
        show_default=False,
        rich_help_panel="Index",
    ),
]
Memory = Annotated[
    float,
    typer.Option(
        min=0.01, metavar="GB", help="Memory that the index may take.", rich_help_panel=RESOURCES
    ),
]


def whole_numbers(flag: str, text: str) -> list[int]:
    """The numbers of "6,9,12". Raises UsageError for anything else."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise UsageError(f"{flag} {text!r}", "whole numbers with commas, as in 6,9,12") from error


@dataclass(frozen=True)
class Chunking:
    """How a corpus is read and cut; the database remembers it. None: as it was, or the default."""

    tokens: Tokens = None
    cut: Cut = None
    tokenizer: TokenizerOption = None
    dedup: Dedup = None
    text_field: TextField = None
    id_field: IdField = None
    title_field: TitleField = None
    source_field: SourceField = None
    with_title: WithTitle = None
    encoding: Encoding = None
    input_format: InputFormat = None


@dataclass(frozen=True)
class Running:
    """Where the parts of a stage run. What comes out is the same."""

    engine: Annotated[
        str,
        typer.Option(
            help="local (this process), processes or ray. (default: local for little work, else "
            "what pays; see retro plan)",
            show_default=False,
            rich_help_panel=RESOURCES,
        ),
    ] = ""
    ray_address: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Of a Ray cluster that shares these files, or auto. (default: RAY_ADDRESS, else "
            "a Ray on this machine)",
            show_default=False,
            rich_help_panel=RESOURCES,
        ),
    ] = ""
    workers: Workers = 0

    def where(self) -> Where:
        from retro_cli.engine import Where

        return Where(self.engine, self.ray_address, self.workers)


@dataclass(frozen=True)
class Searching:
    """How hits are found and ranked."""

    retriever: Annotated[
        str,
        typer.Option(
            help="dense (by meaning), bm25 (by words) or hybrid (by both).",
            rich_help_panel=SEARCHING,
        ),
    ] = "dense"
    fusion: Annotated[
        str,
        typer.Option(
            help="How hybrid joins the two: rrf (reciprocal ranks) or interpolate (scores).",
            rich_help_panel=SEARCHING,
        ),
    ] = "rrf"
    weight: Annotated[
        float,
        typer.Option(
            help="Of the dense score in --fusion interpolate, from 0 to 1.",
            rich_help_panel=SEARCHING,
        ),
    ] = 0.5
    rerank: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="Score the best again: a cross-encoder, or a causal language model by the "
            "likelihood of the query given the chunk. A folder, hf:ORG/NAME, or lm for "
            "SmolLM2-135M-Instruct.",
            show_default=False,
            rich_help_panel=SEARCHING,
        ),
    ] = ""
    mmr: Annotated[
        float | None,
        typer.Option(
            metavar="LAMBDA",
            help="Diverse hits: 1 for relevance alone, less for more novelty.",
            rich_help_panel=SEARCHING,
        ),
    ] = None
    per_document: Annotated[
        int | None,
        typer.Option(min=1, help="Hits of one document at most.", rich_help_panel=SEARCHING),
    ] = None
    level: Annotated[
        str | None,
        typer.Option(
            help="chunk, or doc for each document once. (default: chunk; doc for runs)",
            rich_help_panel=SEARCHING,
        ),
    ] = None
    nprobe: Annotated[
        int | None,
        typer.Option(
            min=1, help="Lists to probe instead of the tuned number.", rich_help_panel=SEARCHING
        ),
    ] = None

    def search(self, level: str) -> Search:
        from retro_cli.query.search import Search

        return Search(
            self.retriever,
            self.fusion,
            self.weight,
            self.rerank,
            self.mmr,
            self.per_document,
            level,
            self.nprobe,
        )
