"""The datastore stage: living chunks -> a key for each of their tokens, and an index of the keys.

Plan, work, commit, as the other stages: only chunks without keys get some, in pieces that the
journal notes one by one, and the manifest is replaced in one rename.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retro_cli.chunks.live import searchable
from retro_cli.config import fingerprint
from retro_cli.datastore.index import IndexKeys
from retro_cli.datastore.manifest import DatastoreManifest, KeyPart, load_manifest
from retro_cli.datastore.parts import Bits, Tokens, open_keys
from retro_cli.datastore.plan import Piece, pieces, slices
from retro_cli.datastore.work import make_part
from retro_cli.errors import IntegrityError
from retro_cli.events import SILENT, Progress
from retro_cli.query.retrieve import Retriever
from retro_cli.store.atomic import sweep_temporaries
from retro_cli.store.files import Verified
from retro_cli.store.journal import Journal
from retro_cli.store.tables import read_columns
from retro_cli.wording import counted

if TYPE_CHECKING:
    from retro_cli.datastore.maker import KeyModel

JOURNAL = "journal.jsonl"
_OURS = ("keys-", "tokens-", "template-", "segment-")


@dataclass(frozen=True)
class DatastoreReport:
    """What a run did and what there is now. tokens_total: those that may be found."""

    chunks_done: int
    tokens_done: int
    tokens_total: int
    model: str
    window: int
    factory: str
    nprobe: int
    recall: float
    notes: tuple[str, ...] = ()


def datastore(
    retriever: Retriever, model: KeyModel, progress: Progress = SILENT
) -> DatastoreReport:
    """Bring the keys in line with the chunks that may be found. The caller holds the lock."""
    folder = retriever.layout.datastore
    folder.mkdir(exist_ok=True)
    sweep_temporaries(folder)
    run = _Run(retriever, model, folder, progress)
    return run.execute()


def readable_rows(retriever: Retriever) -> tuple[Bits, Bits]:
    """(next_id,) rows whose text a key may be made from, and those that need keys: merged rows are
    found by the row that stands for them."""
    wanted = searchable(retriever.own, retriever.aliases)
    return retriever.own | wanted, wanted


def rows_without_keys(wanted: Bits, tokens: Tokens) -> Bits:
    """(next_id,) the wanted chunks of which there are no keys."""
    there = tokens.chunks()
    missing = wanted.copy()
    missing[there[there < len(missing)]] = False
    return missing


class _Run:
    """One run between plan and commit."""

    def __init__(
        self, retriever: Retriever, model: KeyModel, folder: Path, progress: Progress
    ) -> None:
        self.retriever, self.model, self.folder = retriever, model, folder
        self.progress = progress
        self.verified = Verified(folder)
        self.journal = Journal(folder / JOURNAL)
        self.notes: list[str] = []
        manifest = retriever.manifest
        same = manifest.tokenizer_sha256 == model.tokenizer.sha256
        self.stored_bytes = manifest.token_bytes if same else 0

    def execute(self) -> DatastoreReport:
        before = self._before()
        readable, wanted = readable_rows(self.retriever)
        missing = rows_without_keys(wanted, Tokens(self.folder, before))
        made = self._work(list(self._planned(readable, missing)))
        after = self._placed(before, made)
        tokens = Tokens(self.folder, after)
        chunks = np.ones(self.retriever.manifest.next_id, dtype=bool)
        live = tokens.of_chunks(chunks)
        keys = IndexKeys(
            self.folder, open_keys(self.folder, after), live, self.journal, self.verified
        )
        after = replace(after, index=keys.made(before.index, self.progress))
        if load_manifest(self.folder) != after:
            after.save(self.folder)
        self.journal.discard()
        sweep_datastore(self.folder)
        self.verified.save({file.name for file in after.files()})
        index = after.index
        return DatastoreReport(
            chunks_done=int(missing.sum()),
            tokens_done=sum(part.tokens for part in made),
            tokens_total=int(tokens.of_chunks(wanted).sum()),
            model=self.model.maker.name,
            window=self.model.maker.window,
            factory=index.factory if index else "",
            nprobe=index.nprobe if index else 0,
            recall=index.recall if index else 1.0,
            notes=tuple(self.notes),
        )

    def _before(self) -> DatastoreManifest:
        """What there is and can be kept."""
        maker = self.model.maker
        try:
            found = load_manifest(self.folder)
        except IntegrityError as error:
            self._note(f"{error.message}: making every key again")
            found = None
        if found is None:
            return DatastoreManifest(maker)
        if found.maker != maker:
            what = "model" if not found.maker.fits(maker) else "window"
            self._note(f"another {what} than before ({found.maker.name}): making every key again")
            return DatastoreManifest(maker, next_token=found.next_token)
        return replace(found, parts=tuple(part for part in found.parts if self._sound(part)))

    def _sound(self, part: KeyPart) -> bool:
        for file in (part.keys, part.rows):
            if problem := self.verified.problem(file):
                self._note(f"{problem}: making its keys again")
                return False
        return True

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.progress.note(text)

    def _planned(self, readable: Bits, missing: Bits) -> Iterator[Piece]:
        chunks = self.retriever.layout.chunks
        for part in self.retriever.manifest.parts:
            span = np.s_[part.base : part.base + part.rows]
            if missing[span].any():
                doc = read_columns(chunks / part.chunks_file, ["doc"])["doc"].to_numpy()
                yield from pieces(part, slices(doc, readable[span], missing[span]))

    def _work(self, planned: list[Piece]) -> list[KeyPart]:
        maker = self.model.maker
        if planned and not self.stored_bytes:
            self.progress.note(
                "the database was cut with another tokenizer than the model's: tokenising its "
                "text again"
            )
        keys = [piece.identity(fingerprint([maker.sha256, maker.window])) for piece in planned]
        done = {key: part for key in keys if (part := self._finished(key))}
        if done:
            whole = counted(len(planned), "piece")
            self.progress.note(f"resuming: {len(done)} of {whole} finished before")
        self.progress.started("keys", sum(piece.rows for piece in planned), "chunks")
        for key, piece in zip(keys, planned, strict=True):
            if key in done:
                self.progress.advanced("keys", piece.rows)
                continue
            done[key] = make_part(
                self.retriever.layout.chunks / piece.part.chunks_file,
                self.folder, key[:12], piece, self.model, self.stored_bytes,
                lambda rows: self.progress.advanced("keys", rows),
            )  # fmt: skip
            for file in (done[key].keys, done[key].rows):
                self.verified.trust(file)
            self.journal.append(key, done[key].to_json())
        self.progress.finished("keys")
        return [done[key] for key in keys]

    def _finished(self, key: str) -> KeyPart | None:
        """A piece that a run before finished, if its files are still what they were."""
        record = self.journal.get(key)
        try:
            part = KeyPart.from_json(record) if record else None
        except (KeyError, TypeError):  # an entry of the index, whose keys are others
            return None
        files = (part.keys, part.rows) if part else ()
        return None if any(self.verified.problem(file) for file in files) else part

    def _placed(self, before: DatastoreManifest, made: list[KeyPart]) -> DatastoreManifest:
        """The new parts behind the old ones, in the order of the plan."""
        parts, place = list(before.parts), before.next_token
        for part in made:
            parts.append(replace(part, base=place))
            place += part.tokens
        return replace(before, parts=tuple(parts), next_token=place)


def sweep_datastore(folder: Path) -> None:
    """Remove what the manifest does not name, unless a killed run will want it. Readers have opened
    what they read."""
    manifest = load_manifest(folder)
    if (folder / JOURNAL).exists():
        return
    named = {file.name for file in manifest.files()} if manifest else set()
    for path in sorted(folder.glob("*")):
        if path.name.startswith(_OURS) and path.name not in named:
            path.unlink()
