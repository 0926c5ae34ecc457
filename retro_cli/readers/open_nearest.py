"""Opens the readers that look up single tokens, with the model and the keys that they need."""

from __future__ import annotations

from pathlib import Path

from retro_cli.chunks.tokenizer import ChunkTokenizer
from retro_cli.datastore.maker import key_model, model_fingerprint, require_maker
from retro_cli.datastore.manifest import load_manifest
from retro_cli.datastore.reader import Datastore
from retro_cli.errors import NotBuiltYet, UsageError
from retro_cli.models.base import DEFAULT_BASE
from retro_cli.models.language import CAUSAL, open_language_model
from retro_cli.models.memory_saving import load_config, load_memorizing
from retro_cli.readers.knn_lm import KnnLmReader
from retro_cli.readers.memorizing import MemorizingReader
from retro_cli.readers.neighbourhood import StoredKeys
from retro_cli.readers.open import OpenReader, ReaderOptions
from retro_cli.readers.votes import AUTO, DATASTORE, LOCAL
from retro_cli.wording import counted

HIT_TOKENS = 128  # of a chunk with its continuation


def open_knn_lm(options: ReaderOptions) -> OpenReader:
    """Raises UsageError for a model that gives no keys, EncoderMismatch for another model than the
    datastore's, NotBuiltYet for a datastore that is asked for and not there."""
    wanted, opened_now = options.votes.keys, options.database
    database = None if opened_now is None else opened_now()
    manifest = None
    if database is not None and wanted != LOCAL:
        manifest = load_manifest(database.layout.datastore)
        if manifest is None and wanted == DATASTORE:
            root = database.layout.root
            raise NotBuiltYet(f"{root} has no datastore", f"run: retro datastore {root}")
    before = manifest.maker.name if manifest is not None else DEFAULT_BASE
    name = options.model or before
    opened = open_language_model(name, (CAUSAL,), options.device, reader="knn-lm")
    model = key_model(opened, name)
    datastore, notes = None, []
    if manifest is not None and database is not None and opened_now is not None:
        if wanted == AUTO and not manifest.maker.fits(model.maker):
            notes.append(
                f"the datastore was made with {manifest.maker.name}: making keys of the chunks "
                "that are found instead"
            )
        else:
            require_maker(manifest.maker, model.maker)
            datastore = Datastore(database)
    if datastore is not None and datastore.missing:
        have = counted(datastore.missing, "chunk has", "chunks have")
        notes.append(f"{have} no keys yet and cannot vote: run retro datastore again")
    stored = None
    if datastore is not None and opened_now is not None:
        stored = StoredKeys(datastore, lambda: Datastore(opened_now()))
    reader = KnnLmReader(
        opened, options.votes, stored, before=model.before, k=options.k,
        stride=options.stride, record=options.record,
    )  # fmt: skip
    if datastore is not None:
        return OpenReader(reader, notes=tuple(notes))
    return OpenReader(reader, model.tokenizer, HIT_TOKENS, as_documents=True, notes=tuple(notes))


def open_memorizing(options: ReaderOptions) -> OpenReader:
    """Raises UsageError without a model that ``retro train-memory`` made, or for another base than
    that it was trained around."""
    if options.model is None:
        raise UsageError(
            "the reader memorizing needs a model with a trained memory",
            "make one with retro train-memory, and name its folder with --model",
        )
    folder = Path(options.model).expanduser()
    config = load_config(folder)
    name = str(options.base or config.base)
    opened = open_language_model(name, (CAUSAL,), options.device, reader="memorizing")
    if model_fingerprint(opened.folder) != config.base_sha256:
        raise UsageError(
            f"the memory in {folder} was trained around another base than {name}",
            f"it belongs to {config.base}; name where that is now with --base",
        )
    model = load_memorizing(opened.network, config, folder)
    reader = MemorizingReader(
        model, opened.tokenizer, k=options.k, stride=options.stride, record=options.record
    )
    tokenizer = ChunkTokenizer(opened.folder, cut="exact", size=64)
    return OpenReader(reader, tokenizer, HIT_TOKENS, as_documents=True)
