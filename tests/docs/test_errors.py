"""docs/errors.md has a section for every error, with an example that comes out as it says."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from console_blocks import Console, steps
from helpers import process
from safetensors.numpy import load_file, save_file

from retro_cli import errors, status
from retro_cli.store.lock import writer_lock

PAGE = Path(__file__).parent.parent.parent / "docs" / "errors.md"
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"),
                           re.MULTILINE | re.DOTALL))  # fmt: skip


def tree(kind: type[errors.RetroError]) -> Iterator[type[errors.RetroError]]:
    """An error of ``errors.py`` and all below it."""
    if kind.__module__ == errors.__name__:
        yield kind
    for each in kind.__subclasses__():
        yield from tree(each)


KINDS = list(tree(errors.RetroError))


@pytest.fixture(scope="module")
def built(tmp_path_factory, static_encoder) -> Path:
    """A folder with a small corpus, its database and the encoder."""
    root = tmp_path_factory.mktemp("errors")
    (root / "archive").mkdir()
    (root / "archive" / "light.txt").write_text("the keeper of the light saw the boat. " * 4)
    shutil.copytree(static_encoder, root / "encoder")
    made = process("build", "archive", "--db", "wiki.db", "--encoder", "encoder", "-q", cwd=root)
    assert made.returncode == 0, made.stderr
    return root


class World:
    """Where an example runs: what it needs to go wrong."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, until_the_end: ExitStack):
        self.root, self.db = root, root / "wiki.db"
        self.monkeypatch, self.until_the_end = monkeypatch, until_the_end

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def raises(self, module: object, name: str, error: Exception) -> None:
        def fail(*args: object, **options: object) -> None:
            raise error

        self.monkeypatch.setattr(module, name, fail)


def other_weights(world: World) -> None:
    path = world.root / "encoder" / "model.safetensors"
    weights = {name: array + np.float32(1) for name, array in load_file(path).items()}
    save_file(weights, str(path))


def without_pypdf(world: World) -> None:
    (world.root / "paper.pdf").write_bytes(b"%PDF-1.7\n")
    found = importlib.util.find_spec
    world.monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == "pypdf" else found(name)
    )


def truncated(world: World) -> None:
    path = world.db / "index" / "gen-000001.json"
    path.write_bytes(path.read_bytes()[:700])


def locked(world: World) -> None:
    world.until_the_end.enter_context(writer_lock(world.db, "embed"))


def full(world: World) -> None:
    (world.root / "answers.jsonl").symlink_to("/dev/full")


def diverges(world: World) -> None:
    from retro_cli import learning
    from retro_cli.training.loop import diverged

    error = diverged(411, float("nan"), float("nan"), Path("model/checkpoints/000400"))
    world.raises(learning, "train", error)


def without_a_server(world: World) -> None:
    world.monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        world.monkeypatch.setenv(name, "nobody")
    world.monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


PREPARED: dict[str, Callable[[World], None]] = {
    "RetroError": lambda world: world.raises(
        status, "status", ZeroDivisionError("division by zero")
    ),
    "ConfigError": lambda world: world.edit("wiki.db/retro.toml", "tokens = 64", 'tokens = "many"'),
    "EncoderMismatch": other_weights,
    "DatabaseTooNew": lambda world: world.edit("wiki.db/retro.toml", "format = 1", "format = 9"),
    "MissingExtra": without_pypdf,
    "IntegrityError": truncated,
    "LockedError": locked,
    "DiskFull": full,
    "TrainingDiverged": diverges,
    "RemoteError": without_a_server,
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_section_with_its_code_and_an_example_that_runs(
    kind, built, retro, monkeypatch, tmp_path
):
    name = kind.__name__
    assert name in SECTIONS, f"docs/errors.md has no section {name}"
    section = SECTIONS[name]
    assert f"Exit code {kind.exit_code}." in section
    assert "*What to do:*" in section
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("wiki.db/**/*"):  # where the encoder is now
        if path.name.startswith(("retro.toml", "gen-", "manifest.json")):
            path.write_text(path.read_text().replace(str(built), str(tmp_path)))
    console = Console(retro, tmp_path)
    with ExitStack() as until_the_end:
        PREPARED.get(name, lambda _: None)(World(tmp_path, monkeypatch, until_the_end))
        (step,) = steps(section)
        console.check(step, PAGE.name)
        assert console.code == kind.exit_code
        told = json.loads(console.run(f"{step.command} --json").splitlines()[-1])
    assert (told["error"], told["exit_code"]) == (name, kind.exit_code)


def test_no_section_is_left_of_an_error_that_is_no_more():
    names = [kind.__name__ for kind in KINDS]
    assert list(SECTIONS) == sorted(names, key=list(SECTIONS).index)
    listed = re.findall(r"\[(\w+)\]\(#(\w+)\) \| (\d+) \|", PAGE.read_text(encoding="utf-8"))
    assert {(n, a, int(c)) for n, a, c in listed} == {
        (kind.__name__, kind.__name__.lower(), kind.exit_code) for kind in KINDS
    }
