"""``retro train-encoder`` as a plain call."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retro_cli.config import fingerprint
from retro_cli.embeddings.pairing import BESIDE, pair
from retro_cli.embeddings.resolve import ResolvedEncoder, resolve
from retro_cli.errors import UsageError
from retro_cli.events import SILENT, Progress
from retro_cli.exchange.questions import Question
from retro_cli.models.language import find_device
from retro_cli.models.tower import Tower
from retro_cli.query.retrieve import Retriever
from retro_cli.store.layout import Layout
from retro_cli.teaching.report import DOCUMENTS, CourseReport, answered, what_is_found
from retro_cli.training.course import CourseSettings
from retro_cli.training.dpr import DprLesson
from retro_cli.training.folder import CourseFolder
from retro_cli.training.mining import BM25, mine
from retro_cli.training.tasks import mined_tasks, searchable_passages
from retro_cli.wording import counted


@dataclass(frozen=True)
class EncoderCourse:
    """What an encoder learns from and how. encoder: to begin with; the database's by default.
    hard: negatives of each question that BM25 finds. temperature: the cosines are divided by.
    two_towers: train a query encoder apart from the document encoder."""

    layout: Layout
    questions: Path
    out: Path
    encoder: str = ""
    hard: int = 1
    temperature: float = 0.05
    two_towers: bool = False
    settings: CourseSettings = field(default_factory=CourseSettings)
    device: str = "auto"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf") or self.hard < 0:
            raise UsageError(f"--temperature {self.temperature} --hard {self.hard}", "above 0")


def train_encoder(course: EncoderCourse, progress: Progress = SILENT) -> CourseReport:
    """Raises UsageError (no question has a passage that answers it, another run in the folder),
    TrainingDiverged, DiskFull and what opening the encoder raises."""
    questions = answered(course.questions, progress)
    device = find_device(course.device)
    retriever = Retriever(course.layout)
    try:
        encoder = resolve(course.encoder or retriever.generation.encoder.name)
        folder = CourseFolder(course.out, _encoder_run(course, questions, retriever, encoder))
        if not folder.begin(overwrite=course.overwrite):
            progress.note(f"{course.out} is finished: nothing is left to do")
            return CourseReport(str(course.out), None)
        passages = searchable_passages(retriever)
    finally:
        retriever.close()
    mined = mine(questions, passages, BM25(passages.texts), course.hard)
    if not mined:
        raise UsageError(
            f"no chunk holds an answer to any of the {counted(len(questions), 'question')}",
            "are they questions about this database?",
        )
    if len(mined) < len(questions):
        left = len(questions) - len(mined)
        progress.note(f"{counted(left, 'question')} left out: no chunk holds an answer")
    documents = Tower.open(encoder, device)
    queries = documents.copy() if course.two_towers else documents
    lesson = DprLesson(
        queries, documents, passages.texts, mined_tasks(mined, course.settings), course.temperature
    )

    def save(out: Path) -> dict[str, Any]:
        if course.two_towers:
            made = documents.save(out / DOCUMENTS)
            queries.save(out / BESIDE)
            pair(out / BESIDE, made)
        else:
            documents.save(out)
        made_from = {
            "database": course.layout.root.name,
            "questions": course.questions.name,
            "learned_from": len(mined),
        }
        return {"made_from": made_from}

    outcome = folder.learn(lesson, course.settings, save, "question", progress)
    return CourseReport(str(course.out), outcome, len(mined))


def _encoder_run(
    course: EncoderCourse, questions: list[Question], retriever: Retriever, encoder: ResolvedEncoder
) -> str:
    return fingerprint([
        course.settings.curve_fingerprint(), course.hard, course.temperature, course.two_towers,
        [[each.text, each.answers, each.documents] for each in questions],
        encoder.spec.fingerprint(), what_is_found(retriever),
    ])  # fmt: skip
