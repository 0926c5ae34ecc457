"""``retro train-reader`` as a plain call."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retro_cli.config import fingerprint
from retro_cli.embeddings.hashes import model_sha256
from retro_cli.embeddings.pairing import BESIDE, check_pair, pair
from retro_cli.embeddings.resolve import ResolvedEncoder, resolve
from retro_cli.errors import UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.exchange.questions import Question
from retro_cli.models.language import CAUSAL, MASKED, SEQ2SEQ, LanguageModel, open_language_model
from retro_cli.models.tower import Tower
from retro_cli.query.retrieve import Retriever
from retro_cli.readers.inputs import Form, longest_input
from retro_cli.store.layout import Layout
from retro_cli.teaching.report import DOCUMENTS, CourseReport, answered, what_is_found
from retro_cli.training.collapse import Window
from retro_cli.training.course import CourseSettings, Outcome
from retro_cli.training.folder import CourseFolder
from retro_cli.training.model import save_language_model
from retro_cli.training.rag import SEQUENCE, TOKEN, RagLesson
from retro_cli.training.realm import Blanks, RealmLesson
from retro_cli.training.refresh import FreshIndex
from retro_cli.training.shelf import DatabaseShelf
from retro_cli.training.tasks import (
    answer_tasks,
    chunk_clozes,
    cloze_tasks,
    question_clozes,
    searchable_passages,
)

REALM = "realm"
OBJECTIVES = {TOKEN: (SEQ2SEQ, CAUSAL), SEQUENCE: (SEQ2SEQ, CAUSAL), REALM: (MASKED,)}
_BUDGET = 512  # tokens of what a masked model reads at once


@dataclass(frozen=True)
class ReaderCourse:
    """What a reader learns from and how.

    questions: None, for REALM, masks the database's own chunks. model: a name or folder. k:
    documents a question, besides REALM's null document. doc_temperature: of p(z | x).
    refresh: steps between refreshes of REALM's index. query_encoder: one to go on from; the
    database's by default.
    """

    layout: Layout
    questions: Path | None
    model: str
    out: Path
    objective: str = TOKEN
    k: int = 5
    doc_temperature: float = 0.05
    refresh: int = 100
    settings: CourseSettings = field(default_factory=CourseSettings)
    query_encoder: str = ""
    device: str = "auto"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            known = ", ".join(OBJECTIVES)
            raise UsageError(f"--objective {self.objective}", f"choose one of {known}")
        if self.questions is None and self.objective != REALM:
            raise UsageError(
                f"--objective {self.objective} learns from questions", "name some with --questions"
            )
        if not 0 < self.doc_temperature < float("inf"):
            raise UsageError(f"a document temperature of {self.doc_temperature}", "above 0")
        if self.k < 1 or self.refresh < 1:
            raise UsageError(f"-k {self.k} --refresh {self.refresh}", "at least 1 each")


def train_reader(course: ReaderCourse, progress: Progress = SILENT) -> CourseReport:
    """Raises UsageError (a model of the wrong kind, questions without answers, another run in the
    folder), EncoderMismatch, TrainingDiverged, DiskFull and what opening the model raises."""
    questions = [] if course.questions is None else answered(course.questions, progress)
    kinds = OBJECTIVES[course.objective]
    model = open_language_model(
        course.model, kinds, course.device, reader=f"--objective {course.objective}"
    )
    model.network.float()
    retriever = Retriever(course.layout)
    try:
        encoder = _encoder(retriever, course)
        folder = CourseFolder(course.out, _reader_run(course, questions, model, retriever, encoder))
        if not folder.begin(overwrite=course.overwrite):
            progress.note(f"{course.out} is finished: nothing is left to do")
            return CourseReport(str(course.out), None)
        if course.objective == REALM:
            return _realm(course, questions, model, retriever, encoder, folder, progress)
        return _rag(course, questions, model, retriever, encoder, folder, progress)
    finally:
        retriever.close()


def _encoder(retriever: Retriever, course: ReaderCourse) -> ResolvedEncoder:
    documents = retriever.generation.encoder
    resolved = resolve(course.query_encoder or documents.name)
    check_pair(resolved, documents)
    if course.objective == REALM and resolved.spec.fingerprint() != documents.fingerprint():
        raise UsageError("realm trains both encoders from one", "leave --query-encoder out")
    return resolved


def _reader_run(
    course: ReaderCourse, questions: list[Question], model: LanguageModel, retriever: Retriever,
    encoder: ResolvedEncoder,
) -> str:  # fmt: skip
    return fingerprint([
        course.settings.curve_fingerprint(), course.objective, course.k, course.doc_temperature,
        course.refresh if course.objective == REALM else 0,
        [[each.text, each.answers] for each in questions],
        [model_sha256(f, every_byte=False) for f in sorted(model.folder.glob("*.safetensors"))],
        encoder.spec.fingerprint(), what_is_found(retriever),
    ])  # fmt: skip


def _rag(
    course: ReaderCourse, questions: list[Question], model: LanguageModel, retriever: Retriever,
    encoder: ResolvedEncoder, folder: CourseFolder, progress: Progress,
) -> CourseReport:  # fmt: skip
    tower = Tower.open(encoder, str(model.network.device))
    shelf = DatabaseShelf(retriever)
    window = Window(documents=shelf.documents, inputs=len(questions), progress=progress)
    lesson = RagLesson(
        course.objective, model.network, model.kind, tower, shelf,
        answer_tasks(questions, model, course.settings), Form.of(model).read,
        k=course.k, temperature=course.doc_temperature, window=window,
    )  # fmt: skip

    def save(out: Path) -> dict[str, Any]:
        tower.save(out / BESIDE)
        pair(out / BESIDE, retriever.generation.encoder)
        save_language_model(model.network, model.folder, out)
        return _record(course, retriever, window)

    outcome = folder.learn(lesson, course.settings, save, "token of the answers", progress)
    return _report(course, outcome, len(questions), window, progress)


def _realm(
    course: ReaderCourse, questions: list[Question], model: LanguageModel, retriever: Retriever,
    encoder: ResolvedEncoder, folder: CourseFolder, progress: Progress,
) -> CourseReport:  # fmt: skip
    device = str(model.network.device)
    documents = Tower.open(encoder, device)
    chunks = searchable_passages(retriever)
    texts = question_clozes(questions) if questions else chunk_clozes(chunks)
    if not texts:
        raise UsageError(
            "no chunk has a date, a number or a name to mask", "name questions with --questions"
        )
    vectors = DatabaseShelf(retriever).vectors(chunks.ids.tolist())
    index = FreshIndex(chunks.ids, chunks.texts, vectors, documents, course.refresh)
    window = Window(documents=len(chunks.ids) + 1, inputs=len(texts), progress=progress)
    budget = min(longest_input(model) or _BUDGET, _BUDGET)
    queries = documents.copy()
    lesson = RealmLesson(
        model.network, Blanks(model.tokenizer, budget), queries, index,
        cloze_tasks(texts, course.settings), k=course.k, temperature=course.doc_temperature,
        window=window,
    )  # fmt: skip

    def save(out: Path) -> dict[str, Any]:
        made = documents.save(out / DOCUMENTS)
        queries.save(out / BESIDE)
        pair(out / BESIDE, made)
        save_language_model(model.network, model.folder, out)
        return {**_record(course, retriever, window), "refreshed": index.refreshed}

    try:
        outcome = folder.learn(lesson, course.settings, save, "masked token", progress)
    finally:
        index.close()
    return _report(course, outcome, len(texts), window, progress)


def _record(course: ReaderCourse, retriever: Retriever, window: Window) -> dict[str, Any]:
    """What the reader that opens the folder has to know, and what was learned from."""
    reader = {
        "objective": course.objective, "k": course.k, "doc_temperature": course.doc_temperature,
    }  # fmt: skip
    made_from = {
        "database": course.layout.root.name,
        "generation": retriever.generation.number,
        "questions": course.questions.name if course.questions else "",
        "model": Path(course.model).name,
    }
    return {"reader": reader, "made_from": made_from, "collapsed": window.collapsed}


def _report(
    course: ReaderCourse, outcome: Outcome, questions: int, window: Window, progress: Progress
) -> CourseReport:
    spread = window.spread() if len(window.ids) else None
    if window.collapsed and spread is not None:
        progress.warn(
            f"retrieval has collapsed: {spread.words()}; the reader has learned to do without. "
            "Try a lower --learning-rate, or another --doc-temperature"
        )
    return CourseReport(str(course.out), outcome, questions, spread, window.collapsed)
