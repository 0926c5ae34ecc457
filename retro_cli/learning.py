"""``retro train`` and ``retro fit`` as plain calls: from a database to the folder of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from retro_cli import pipeline
from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.config import load_settings
from retro_cli.errors import UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.models.base import DEFAULT_BASE, find_base, goes_by_name, portable_name
from retro_cli.models.config import RetroConfig
from retro_cli.models.saving import WEIGHTS_FILE, fitted_folder
from retro_cli.query.neighbours import NeighbourTable
from retro_cli.query.retrieve import Retriever
from retro_cli.query.table import NeighbourSettings, load_table, table_names
from retro_cli.reading.evidence import NeighbourTokens
from retro_cli.reading.material import (
    Material,
    database_material,
    require_same_cut,
    with_ends,
)
from retro_cli.reading.of_model import LENGTH, reading_of
from retro_cli.reading.of_settings import find_tokenizer
from retro_cli.reading.text_neighbours import TextsToRead
from retro_cli.reading.text_table import TextTable
from retro_cli.store.atomic import file_sha256
from retro_cli.store.layout import Layout
from retro_cli.training.devices import is_first, once
from retro_cli.training.model import end_token, fitted_further, fitted_model, scratch_model
from retro_cli.training.run import Run, RunReport
from retro_cli.training.run import train as run_training
from retro_cli.training.settings import TrainingSettings


@dataclass(frozen=True)
class Lesson:
    """What a model learns from and how.

    texts: files to train on, none for the database's own documents. table: the neighbour table's
    name, "" for one that suits. max_copy: see ``NeighbourSettings``. base: of Llama's
    configuration, added: of RetroConfig, beside what follows from the settings. shape: of
    RetroConfig too, what was asked for by name and not by a preset.
    """

    layout: Layout
    out: Path
    settings: TrainingSettings
    texts: Sequence[str] = ()
    table: str = ""
    max_copy: float = 1.0
    base: dict[str, Any] = field(default_factory=dict)
    added: dict[str, Any] = field(default_factory=dict)
    shape: dict[str, Any] = field(default_factory=dict)
    overwrite: bool = False


def fit(lesson: Lesson, base: str = DEFAULT_BASE, *, allow_download: bool = False,
        progress: Progress = SILENT) -> RunReport:  # fmt: skip
    """RETRO-fitting (Borgeaud et al. 2021, section 4.3): the base stays frozen.

    base: a language model, or one that was fitted: then its added weights are trained on.
    Raises what ``find_base``, ``pipeline.neighbours`` and ``training.run.train`` raise.
    """
    lesson.layout.require()
    fitted = fitted_folder(base)
    if fitted is not None:
        return _fit_further(lesson, *fitted, progress)
    folder = find_base(base, allow_download, progress)
    tokenizer = ChunkTokenizer(folder, cut="exact", size=_length(lesson))
    name = portable_name(base) if goes_by_name(base) else str(folder.resolve())
    make = partial(fitted_model, folder, _added(lesson), name)
    return _run(lesson, tokenizer, make, folder, {"base": name}, progress)


def _fit_further(
    lesson: Lesson, folder: Path, config: RetroConfig, progress: Progress
) -> RunReport:
    if lesson.shape:
        raise UsageError(
            f"{folder.name} has a shape already: {', '.join(lesson.shape)} cannot be chosen",
            "leave it out, or name the language model with --base to fit it anew",
        )
    if lesson.out.resolve() == folder.resolve():
        raise UsageError(f"{folder} is what is gone on with", "name another folder with --out")
    lesson = replace(lesson, added={"chunk_length": config.chunk_length})
    tokenizer, _ = reading_of(folder)
    make = partial(fitted_further, folder, lesson.settings.neighbours)
    before = file_sha256(folder / WEIGHTS_FILE)
    made_from = {"base": config.base_name, "fitted before": before}
    return _run(lesson, tokenizer, make, find_base(config.base_name), made_from, progress, before)


def train(lesson: Lesson, tokenizer: str = "", *, progress: Progress = SILENT) -> RunReport:
    """RETRO from scratch. tokenizer: a file, folder or base model's name; the database's if "".

    Raises what ``pipeline.neighbours`` and ``training.run.train`` raise.
    """
    if not tokenizer:
        path = find_tokenizer(load_settings(lesson.layout))
    elif goes_by_name(tokenizer):
        path = find_base(tokenizer, progress=progress)
    else:
        path = Path(tokenizer).expanduser()
    reader = ChunkTokenizer(path, cut="exact", size=_length(lesson))
    make = partial(scratch_model, reader, lesson.base, _added(lesson))
    return _run(lesson, reader, make, None, {}, progress)


def _length(lesson: Lesson) -> int:
    return int(lesson.added.get("chunk_length", LENGTH))


def _added(lesson: Lesson) -> dict[str, Any]:
    settings = lesson.settings
    own = {"neighbours": settings.neighbours, "seed": settings.seed}
    return {**own, **lesson.added, **lesson.shape}


def _run(
    lesson: Lesson, tokenizer: ChunkTokenizer, make: Any, base: Path | None,
    made_from: dict[str, Any], progress: Progress, further: str = "",
) -> RunReport:  # fmt: skip
    progress = progress if is_first() else SILENT
    name = _look_up(lesson, tokenizer, progress)
    retriever = Retriever(lesson.layout)
    try:
        material = _material(lesson, retriever, name)
        end = end_token(tokenizer)
        if end is not None:
            material = with_ends(material, end)
        evidence = NeighbourTokens(retriever, tokenizer, 2 * _length(lesson))
        if not evidence.stored:
            progress.note(
                "the database was cut with another tokenizer than the model's: tokenising its "
                "neighbours' text again"
            )
        run = Run(
            lesson.out, lesson.settings, make, tokenizer, material, evidence, base,
            {
                **made_from,
                "database": lesson.layout.root.name,
                "generation": retriever.generation.number,
                "texts": [Path(spec).name for spec in lesson.texts],
                "tokens": material.token_count,
            },
            further,
        )  # fmt: skip
        return run_training(run, overwrite=lesson.overwrite, progress=progress)
    finally:
        retriever.close()


def _look_up(lesson: Lesson, tokenizer: ChunkTokenizer, progress: Progress) -> str:
    """Bring the neighbour table in line with the database; its name."""
    k = lesson.settings.neighbours
    wanted = NeighbourSettings(k, lesson.max_copy)
    texts = None
    name = lesson.table or ("default" if k == 2 else f"k{k}")
    if lesson.texts:
        texts = TextsToRead(lesson.texts, tokenizer, _length(lesson))
        name = lesson.table or "training"
    else:
        retriever = Retriever(lesson.layout)
        stored = retriever.manifest.tokenizer_sha256
        retriever.close()
        require_same_cut(load_settings(lesson.layout), stored, tokenizer.sha256, _length(lesson))
    _refuse_to_replace(lesson.layout, name, wanted)
    once(lambda: _write_table(lesson, name, wanted, texts, progress))
    return name


def _refuse_to_replace(layout: Layout, name: str, wanted: NeighbourSettings) -> None:
    """A table that somebody made otherwise is not made anew. Raises UsageError."""
    if name not in table_names(layout):
        return
    there = load_table(layout, name).settings
    if there != wanted:
        raise UsageError(
            f"the neighbour table {name} was made with -k {there.k} --max-copy {there.copies:g}, "
            f"not with -k {wanted.k} --max-copy {wanted.copies:g}",
            "ask for the same, or name another with --table",
        )


def _write_table(
    lesson: Lesson, name: str, wanted: NeighbourSettings, texts: TextsToRead | None,
    progress: Progress,
) -> None:  # fmt: skip
    pipeline.neighbours(lesson.layout, name, wanted, progress, texts=texts)


def _material(lesson: Lesson, retriever: Retriever, name: str) -> Material:
    if lesson.texts:
        return TextTable(lesson.layout, name).material(retriever.own)
    table = NeighbourTable(lesson.layout, name, retriever.own)
    if table.manifest.generation != retriever.generation.number:
        raise UsageError(
            "the database changed while its neighbours were looked up", "run the same command again"
        )
    return database_material(retriever, table, _length(lesson))
