"""A course stops and goes on as if it had not; its folder holds one run."""

from __future__ import annotations

import json
import math

import pytest
import torch
from fact_helpers import lesson
from realm_helpers import realm_lesson

from retro_cli.errors import IntegrityError, TrainingDiverged, UsageError
from retro_cli.training.checkpoint import Checkpoints
from retro_cli.training.course import Course, CourseSettings, places
from retro_cli.training.folder import CourseFolder
from retro_cli.training.metrics import read_metrics

SETTINGS = CourseSettings(steps=9, batch=4, learning_rate=1e-2, warmup=2, save_every=4)
LESSONS = {
    "rag-token": lambda folder: lesson(folder, "rag-token", batch=4),
    "rag-sequence": lambda folder: lesson(folder, "rag-sequence", batch=4),
    "realm": lambda folder: realm_lesson(folder, SETTINGS, every=2),
}


class Stops(Exception):
    pass


def course(folder, learning, settings=SETTINGS):
    return Course(
        learning, settings, Checkpoints(folder / "checkpoints", "run"), folder / "metrics.jsonl"
    )


def curve(folder):
    return [
        {name: value for name, value in line.items() if name != "seconds"}
        for line in read_metrics(folder / "metrics.jsonl")
    ]


@pytest.mark.parametrize(
    ("name", "stop"), [("rag-token", 3), ("rag-sequence", 6), ("realm", 5), ("realm", 9)]
)
def test_a_course_that_stopped_has_the_same_curve_and_ends_with_the_same_weights(
    name, stop, tmp_path, monkeypatch
):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    learned = LESSONS[name](whole)
    course(whole, learned).run()
    with monkeypatch.context() as patch:
        record = Course._record

        def stopping(self, step, *rest):
            record(self, step, *rest)
            if step + 1 == stop:
                raise Stops

        patch.setattr(Course, "_record", stopping)
        with pytest.raises(Stops):
            course(broken, LESSONS[name](broken)).run()
    again = LESSONS[name](tmp_path / "again")
    outcome = course(broken, again).run()
    assert outcome.steps_now == SETTINGS.steps - 4 * ((stop - 1) // 4)
    assert curve(broken) == curve(whole)
    for name, weight in learned.trained().items():
        assert torch.equal(weight, again.trained()[name]), name


def test_every_pass_takes_every_question_once_in_another_order():
    laps = [
        [place for step in range(lap * 5, lap * 5 + 5) for place in places(3, 20, 4, step)]
        for lap in range(3)
    ]
    assert all(sorted(lap) == list(range(20)) for lap in laps)
    assert laps[0] != laps[1] != laps[2]
    assert sorted(places(0, 3, 8, 0)[:3]) == [0, 1, 2]


def test_a_loss_that_is_no_number_stops_the_course_and_names_the_last_good_checkpoint(tmp_path):
    learning = lesson(tmp_path, batch=4)
    loss = learning.loss

    def broken(step):
        found, said = loss(step)
        return (found * math.nan if step == 6 else found), said

    learning.loss = broken
    with pytest.raises(TrainingDiverged, match=r"step 7\b.*step-0000004"):
        course(tmp_path, learning).run()


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"batch": 0}, {"save_every": 0}, {"learning_rate": 1.5}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(UsageError):
        SETTINGS.changed(**wrong)


def test_a_folder_holds_one_run_from_its_beginning_to_its_record(tmp_path):
    folder = CourseFolder(tmp_path / "out", "one")
    assert folder.begin()
    outcome = folder.learn(
        lesson(tmp_path, batch=4), SETTINGS, lambda out: {"said": out.name}, "token"
    )
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["said"] == "out"
    assert record["last_loss"] == outcome.losses[-1]
    assert (tmp_path / "out" / "loss.svg").read_text().startswith("<svg")
    assert not (tmp_path / "out" / "checkpoints").exists()
    assert not folder.begin()
    with pytest.raises(UsageError, match="another training run"):
        CourseFolder(tmp_path / "out", "two").begin()
    assert CourseFolder(tmp_path / "out", "two").begin(overwrite=True)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_with_somebodys_model_is_left_alone_even_if_it_may_be_overwritten(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds a model already"):
            CourseFolder(tmp_path, "run").begin(overwrite=overwrite)
    assert (tmp_path / "config.json").read_text() == "{}"


def test_a_damaged_checkpoint_is_not_resumed_from(tmp_path):
    course(tmp_path, lesson(tmp_path, batch=4)).run()
    last = Checkpoints(tmp_path / "checkpoints", "run").last()
    data = bytearray((last / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (last / "weights.safetensors").write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match="damaged"):
        course(tmp_path, lesson(tmp_path / "again", batch=4))
