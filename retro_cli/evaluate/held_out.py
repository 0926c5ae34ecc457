"""From files of text to what is evaluated: cut, looked up, and without what the database holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.config import fingerprint, load_settings
from retro_cli.errors import ConfigError, IntegrityError, NotBuiltYet
from retro_cli.evaluate.contamination import NearCopy, database_documents, near_copies
from retro_cli.evaluate.text import EvaluationText
from retro_cli.events import SILENT, Progress
from retro_cli.index.catalogue import current_generation
from retro_cli.query.retrieve import Retriever
from retro_cli.query.table import NeighbourSettings, load_table
from retro_cli.reading.of_settings import find_tokenizer
from retro_cli.reading.text_neighbours import TextsToRead, find_text_neighbours
from retro_cli.reading.text_table import TextTable
from retro_cli.reading.texts import Text
from retro_cli.store.atomic import disk_errors
from retro_cli.store.layout import Layout
from retro_cli.store.lock import writer_lock


def neighbour_table(
    layout: Layout, texts: TextsToRead, known: Sequence[Text], k: int, progress: Progress = SILENT
) -> TextTable:
    """The neighbours of the texts' chunks: looked up before, or now, in a table ``eval-...``.

    known: the texts themselves; other texts, or another way to cut them, make another table. One
    of an older generation is made anew. Raises what ``find_text_neighbours`` does, LockedError.
    """
    load_settings(layout)
    parts = [[text.name, text.hash.hex()] for text in known]
    key = fingerprint([parts, texts.tokenizer.sha256, texts.length])
    name = f"eval-{key[:12]}"
    settings = NeighbourSettings(k)
    if not _stands(layout, name, settings):
        with disk_errors(layout.root), writer_lock(layout.root, "eval"):
            find_text_neighbours(layout, name, settings, texts, progress)
    return TextTable(layout, name)


def _stands(layout: Layout, name: str, settings: NeighbourSettings) -> bool:
    """Whether a table is that of the generation that queries open now."""
    generation = current_generation(layout.index)
    try:
        made = load_table(layout, name)
    except (NotBuiltYet, IntegrityError):
        return False
    there = all((layout.neighbours / name / file.name).is_file() for file in made.parts.values())
    current = generation is not None and made.generation == generation.number
    return current and made.settings == settings and there


def evaluation_text(
    table: TextTable,
    own: npt.NDArray[np.bool_],
    texts: Sequence[Text],
    tokenizer: ChunkTokenizer,
) -> EvaluationText:
    """own: (next_id,) rows that may be shown now. texts: those of the table, in order.

    A document without tokens has no chunk.
    """
    return EvaluationText(
        tokens=table.tokens,
        document=table.document.astype(np.int64),
        sizes=table.end - table.start,
        leads=np.array([lead_bytes(one.text, tokenizer) for one in texts], dtype=np.int64),
        names=tuple(one.name for one in texts),
        vectors=table.vectors,
        neighbours=table.shown(own)[0],
    )


def lead_bytes(text: str, tokenizer: ChunkTokenizer) -> int:
    """The bytes (UTF-8) of a text's first token and of what stands before the second."""
    starts: list[int] = []
    for words in tokenizer.windows(text):
        starts += words.starts[:2].tolist()
        if len(starts) > 1:
            return len(text[: starts[1]].encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-8", "surrogatepass"))


def copies_in_database(retriever: Retriever, texts: Sequence[Text]) -> list[NearCopy]:
    """The texts that the database holds, or nearly; compared in the database's own tokens."""
    tokenizer = _database_tokenizer(retriever).raw
    encoded = tokenizer.encode_batch_fast([text.text for text in texts], add_special_tokens=False)
    tokens = [np.array(encoding.ids, dtype=np.int64) for encoding in encoded]
    return near_copies(tokens, database_documents(retriever))


def _database_tokenizer(retriever: Retriever) -> ChunkTokenizer:
    settings = load_settings(retriever.layout)
    tokenizer = ChunkTokenizer(find_tokenizer(settings, weights=False))
    if tokenizer.sha256 != retriever.manifest.tokenizer_sha256:
        raise ConfigError(
            f"{tokenizer.path} is not the tokenizer that cut the database",
            "--decontaminate compares in the database's own tokens",
        )
    return tokenizer
