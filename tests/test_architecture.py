"""The direction of the layout: nobody imports a later room, and only ``cli`` draws."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "retro_cli"

# Each room may import itself and the rooms before it.
ORDER = [
    ("errors", "events", "wording"),
    ("store",),
    ("config",),
    ("engine",),
    ("corpus",),
    ("chunks",),
    ("embeddings",),
    ("filters",),
    ("lexical",),
    ("index",),
    ("query",),
    ("exchange",),
    ("models",),
    ("reading",),
    ("datastore",),
    ("readers",),
    ("training", "evaluate", "generate", "asking"),
    ("upkeep",),
    ("choosing",),
    ("database", "pipeline", "status", "verify", "planning", "export", "reporting"),
    ("learning", "teaching"),
    ("serving",),
    ("cli",),
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
ONLY_CLI = {"typer", "rich", "click"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_imports_a_later_room(path):
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    assert room in RANK, f"{room} has no place in the order"
    for name in imported(path):
        if name.startswith("retro_cli."):
            other = name.split(".")[1]
            if other in RANK:
                assert RANK[other] <= RANK[room], f"{room} looks ahead at {other}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_draws(path):
    if room_of(path) != "cli":
        drawing = {name.split(".")[0] for name in imported(path)} & ONLY_CLI
        assert not drawing


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_pickled_evaluated_or_trusted(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not {name.split(".")[0] for name in imported(path)} & {"pickle", "marshal", "dill"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec")
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
