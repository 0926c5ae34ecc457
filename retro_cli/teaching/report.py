"""What courses share: the questions that can be learned from, and what is said at the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from retro_cli.config import fingerprint
from retro_cli.events import Progress
from retro_cli.exchange.questions import Question, all_questions, with_answers
from retro_cli.query.retrieve import Retriever
from retro_cli.training.collapse import Spread
from retro_cli.training.course import Outcome
from retro_cli.wording import counted

DOCUMENTS = "document-encoder"  # its folder, where it was trained beside a query encoder


@dataclass(frozen=True)
class CourseReport:
    """``outcome`` is None where the run was over before. questions: that were learned from.
    retrieval: of the last look-ups, if there were any; collapsed: whether they hardly differ."""

    out: str
    outcome: Outcome | None
    questions: int = 0
    retrieval: Spread | None = None
    collapsed: bool = False


def answered(path: Path, progress: Progress) -> list[Question]:
    """The questions of a file that have answers. Raises UsageError if none has."""
    every = all_questions(str(path))
    found = with_answers(every, str(path))
    if len(found) < len(every):
        left = len(every) - len(found)
        progress.note(f"{path}: {counted(left, 'question')} without an answer left out")
    return found


def what_is_found(retriever: Retriever) -> str:
    """What a generation finds: its segments, vectors and masks, and how it is searched."""
    made = retriever.generation
    files = [made.chunks.to_json(), made.dead.to_json(), *(s.to_json() for s in made.segments)]
    return fingerprint([files, made.vectors, made.nprobe, made.candidates])
