"""Options that several commands share mean the same to each of them."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from retro_cli.cli import build, diff, options, run
from retro_cli.config import Settings


class Captured(Exception):
    """Carries what a command passed on."""


def test_every_setting_of_chunks_is_a_setting_of_the_database():
    others = {"precision", "keep_generations"}
    assert set(options.CHUNK_SETTINGS) == {f.name for f in fields(Settings)} - others


@pytest.mark.parametrize(
    ("command", "module", "name", "without"),
    [
        (build.chunk, run, "chunk", set()),
        (
            build.build,
            run,
            "chunk",
            {"id_field", "title_field", "source_field", "encoding", "input_format"},
        ),
        (diff.diff, diff, "_inputs", {"encoder"}),
    ],
)
def test_a_command_passes_on_the_settings_it_was_given(command, module, name, without, monkeypatch):
    def capture(db, inputs, overrides, *others):
        raise Captured(overrides)

    monkeypatch.setattr(module, name, capture)
    taken = [n for n in inspect.signature(command).parameters if n in options.CHUNK_SETTINGS]
    assert set(taken) == set(options.CHUNK_SETTINGS) - without
    given = {name: f"this {name}" for name in taken}
    with pytest.raises(Captured) as captured:
        command(inputs=["corpus"], db=Path("x.db"), **given)
    assert captured.value.args[0] == given
