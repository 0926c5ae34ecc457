"""docs/reference.md says what the program says."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import typer

from retro_cli.cli.app import app

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "docs"))
import reference

ROOT = Path(__file__).parent.parent.parent
COMMANDS = dict(reference.commands(typer.main.get_command(app)))


def test_the_page_is_what_the_program_would_write_now():
    stale = "the commands have changed: run python docs/reference.py"
    assert (ROOT / "docs/reference.md").read_text(encoding="utf-8") == reference.page(), stale


def test_every_command_has_its_options_and_two_examples_there():
    page = reference.page()
    for name, command in COMMANDS.items():
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            if not reference._is_shared(parameter):
                assert all(f"`{flag}" in section or f" {flag}" in section for flag in parameter.opts
                           if flag.startswith("-")), (name, parameter.name)  # fmt: skip
        assert section.count("\n$ ") >= 2, name


def test_what_ends_with_3_is_said_of_the_commands_that_do():
    """By the modules, of which each that leaves with such a code has such a command."""
    folder = ROOT / "retro_cli" / "cli"
    leaving = {path.stem for path in folder.glob("*.py") if leaves_with_3(path)}
    told = {COMMANDS[name].callback.__module__.split(".")[-1] for name in reference.PARTLY}
    assert told == leaving


def leaves_with_3(path: Path) -> bool:
    names = {"EXIT_QUARANTINED", "EXIT_WORK_FOUND"}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(tree))
