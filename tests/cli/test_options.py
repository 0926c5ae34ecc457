"""Options that several commands share mean the same to each of them."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import typer
from helpers import fingerprint
from typer.testing import CliRunner

from retro_cli.cli import build, diff, options, run
from retro_cli.cli.app import app
from retro_cli.cli.command import command
from retro_cli.cli.train_options import Learning
from retro_cli.config import Settings
from retro_cli.database import Database
from retro_cli.errors import UsageError
from retro_cli.training.settings import SCRATCH_PRESETS

FLAGS = {
    "tokens": ("--tokens", "32"),
    "cut": ("--cut", "exact"),
    "tokenizer": ("--tokenizer", "tok.json"),
    "dedup": ("--dedup", "chunk"),
    "text_field": ("--text-field", "body"),
    "id_field": ("--id-field", "key"),
    "title_field": ("--title-field", "head"),
    "source_field": ("--source-field", "site"),
    "with_title": ("--with-title",),
    "encoding": ("--encoding", "latin-1"),
    "input_format": ("--format", "jsonl"),
}
VALUES = {name: (flag[1] if len(flag) > 1 else True) for name, flag in FLAGS.items()}
VALUES["tokens"] = 32


def test_every_setting_of_chunks_is_a_setting_of_the_database() -> None:
    others = {"precision", "keep_generations", "encoder", "stemmer", "words"}
    names = {field.name for field in fields(options.Chunking)}
    assert names == {field.name for field in fields(Settings)} - others
    assert names == FLAGS.keys()


@pytest.mark.parametrize(
    ("words", "module", "name", "more"),
    [
        (["chunk", "corpus", "--db", "x.db"], run, "chunk", {"encoder": "wordllama"}),
        (["build", "corpus", "--db", "x.db"], run, "chunk", {"encoder": "wordllama"}),
        (["diff", "x.db", "corpus"], diff, "_inputs", {}),
    ],
)
def test_a_command_passes_on_the_settings_it_was_given(
    words: list[str],
    module: Any,
    name: str,
    more: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed: list[dict[str, Any]] = []

    def capture(db: Any, inputs: Any, overrides: dict[str, Any], *others: Any) -> Any:
        passed.append(overrides)
        raise typer.Exit(7)

    monkeypatch.setattr(module, name, capture)
    given = [word for flag in FLAGS.values() for word in flag]
    given += [word for option, value in more.items() for word in (f"--{option}", value)]
    assert CliRunner().invoke(app, [*words, *given]).exit_code == 7
    assert CliRunner().invoke(app, words).exit_code == 7
    assert passed == [{**VALUES, **more}, dict.fromkeys({**VALUES, **more})]


def test_chunk_and_build_read_the_same_input() -> None:
    hints = [set(each.__annotations__) for each in (build.chunk, build.build)]
    assert all("chunking" in names and "encoder" in names for names in hints)


def test_a_dataclass_of_options_has_their_flags_defaults_and_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = typer.Typer()
    seen: list[dict[str, Any]] = []

    def learn(db: options.DatabaseArgument, *, seen_last: str = "", chosen: Learning) -> None:
        seen.append({"db": str(db), "seen_last": seen_last, **asdict(chosen)})

    command(small, "learn", [], "Model")(learn)
    command(small, "other", [], "Model")(lambda: None)
    result = CliRunner().invoke(small, ["learn", "x.db", "--steps", "3", "-k", "4"])
    assert result.exit_code == 0, result.output
    assert seen[-1] == {"db": "x.db", "seen_last": "", **asdict(Learning(steps=3, k=4))}
    monkeypatch.setenv("RETRO_STEPS", "9")
    CliRunner().invoke(small, ["learn", "x.db"])
    assert seen[-1]["steps"] == 9


def test_what_a_lesson_leaves_out_stays_as_the_preset_has_it() -> None:
    preset = SCRATCH_PRESETS["tiny"]
    assert preset.training.changed(**Learning().run()) == preset.training
    assert Learning().added() == {}
    chosen = Learning(k=5, echoes=0.5, cca_layers="2,3", encoder_heads=2)
    changed = preset.training.changed(**chosen.run())
    assert (changed.neighbours, changed.echoes) == (5, 0.5)
    assert chosen.added() == {"cca_layers": [2, 3], "encoder_heads": 2}


def commands(group: Any) -> list[Any]:
    """All commands below a group."""
    inner = [each for each in group.commands.values() if hasattr(each, "commands")]
    outer = [each for each in group.commands.values() if not hasattr(each, "commands")]
    return [*outer, *(command for each in inner for command in commands(each))]


def reads(each: typer.core.TyperCommand, parameter: Any) -> bool:
    """Whether a database may be elsewhere: it is an argument, and no command of push and pull."""
    return parameter.param_type_name == "argument" and each.name not in ("push", "pull")


def test_no_command_takes_an_empty_name_or_a_url_for_a_folder() -> None:
    """An unset variable of a script is an empty name, and Python's Path("") the current folder."""
    seen = 0
    for each in commands(typer.main.get_command(app)):
        for parameter in each.params:
            if parameter.name in ("db", "corpus"):
                context = each.make_context(each.name, [], resilient_parsing=True)
                assert str(parameter.type_cast_value(context, "x.db")) == "x.db"
                with pytest.raises(typer.BadParameter, match="empty"):
                    parameter.type_cast_value(context, "")
                if not reads(each, parameter):
                    with pytest.raises(typer.BadParameter, match="s3://a/b is a URL"):
                        parameter.type_cast_value(context, "s3://a/b")
                assert parameter.type_cast_value(context, "file:///a/b") == Path("/a/b")
                seen += 1
    assert seen > 20


@pytest.mark.parametrize(
    "words",
    [
        ["chunk", "", "--db", "x.db"],
        ["chunk", "a.txt", "", "--db", "x.db", "--prune"],
        ["build", "a.txt", "--db", ""],
        ["status", ""],
        ["diff", "x.db", ""],
        ["demo", "--db", ""],
    ],
)
def test_an_empty_name_is_a_usage_error(retro, tmp_path, static_encoder, words) -> None:
    (tmp_path / "a.txt").write_text("the boat")
    ask = ["chunk", "a.txt", "--db", "x.db", "--encoder", static_encoder]
    assert retro(*ask).code == 0
    before = fingerprint(tmp_path)
    refused = retro(*words)
    assert refused.code == 2
    assert "empty" in refused.err
    assert fingerprint(tmp_path) == before


def test_an_engine_that_there_is_not_is_refused_also_where_nothing_is_to_do(retro, db) -> None:
    for words in (["embed", db], ["index", db], ["plan", "1M"]):
        refused = retro(*words, "--engine", "mars")
        assert refused.code == 2
        assert "no engine 'mars'" in refused.err


@pytest.mark.parametrize("url", ["memory://x", "s3://bucket/a.db", "file://host/a"])
def test_a_database_elsewhere_is_refused_and_leaves_nothing(retro, tmp_path, url) -> None:
    (tmp_path / "a.txt").write_text("the boat")
    for words in (
        ["chunk", "a.txt", "--db", url],
        ["pull", "memory://x/y", url],
        ["build", "a.txt", "--db", url],
    ):
        refused = retro(*words)
        assert refused.code == 2
        assert f"{url} is a URL" in " ".join(refused.err.replace("│", " ").split())
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_url_names_a_folder(retro, db) -> None:
    assert retro("status", f"file://{db}").out == retro("status", db).out
    with Database.open(f"file://{db}") as database:
        assert database.query("the boat")


@pytest.mark.parametrize("name", ["s3://bucket/a.db", Path("s3://bucket/a.db")])
def test_python_is_refused_to_build_a_database_elsewhere_too(name) -> None:
    with pytest.raises(UsageError, match="is a URL"):
        Database.build(name, ["a.txt"])
    with pytest.raises(UsageError, match="is a URL"):
        Database.open(Path(name))  # which lost a slash
    assert not Path("s3:").exists()
