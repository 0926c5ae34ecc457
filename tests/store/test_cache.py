"""What is made once is whole or not there, however many make it and whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from retro_cli.errors import ConfigError, LockedError
from retro_cli.store.cache import cache_folder, folder_bytes, made_once, removed

MAKER = """
import os, signal, sys, time
from pathlib import Path
from retro_cli.store.cache import made_once

def make(folder):
    (folder / "first").write_text("1")
    with open(sys.argv[2], "a") as made:
        made.write("x")
    if sys.argv[3] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(sys.argv[3]) if sys.argv[3] != "stay" else 0)
    (folder / "second").write_text("2")

found = made_once(Path(sys.argv[1]), make)
if sys.argv[3] == "stay":
    print("here", flush=True)
    sys.stdin.read()
assert sorted(os.listdir(found)) == ["first", "second"]
"""


def maker(target: Path, how: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, target, target.parent.parent / "log", how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def whole(folder: Path) -> None:
    (folder / "file").write_text("all of it")


def test_the_cache_lies_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("RETRO_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("RETRO_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "retro"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "retro"


def test_what_is_there_is_not_made_again(tmp_path):
    target = tmp_path / "cache" / "thing"
    made_once(target, whole)
    made_once(target, lambda folder: pytest.fail("made twice"))
    assert (target / "file").read_text() == "all of it"


def test_what_fails_leaves_nothing(tmp_path):
    target = tmp_path / "cache" / "thing"

    def failing(folder: Path) -> None:
        whole(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made_once(target, failing)
    assert [path.name for path in target.parent.iterdir()] == ["thing.lock"]
    assert (made_once(target, whole) / "file").is_file()


def test_a_killed_maker_leaves_nothing_half_and_the_next_one_tidies_up(tmp_path):
    target = tmp_path / "cache" / "thing"
    assert maker(target, "die").wait(60) == -signal.SIGKILL
    assert not target.exists()
    assert len(os.listdir(target.parent)) == 2
    assert maker(target, "0").wait(60) == 0
    assert sorted(os.listdir(target.parent)) == ["thing", "thing.lock"]


def test_makers_at_once_make_it_once(tmp_path):
    target = tmp_path / "cache" / "thing"
    makers = [maker(target, "0.3") for _ in range(4)]
    assert [each.wait(60) for each in makers] == [0] * 4
    assert (tmp_path / "log").read_text() == "x"


def test_without_locks_the_faster_one_wins(tmp_path, monkeypatch):
    monkeypatch.setattr("retro_cli.store.cache._locked", lambda descriptor, how: False)
    monkeypatch.setattr("retro_cli.store.cache._waited_for", lambda target, descriptor: False)
    target = tmp_path / "cache" / "thing"

    def overtaken(folder: Path) -> None:
        whole(folder)
        target.mkdir()
        (target / "file").write_text("the other's")

    assert (made_once(target, overtaken) / "file").read_text() == "the other's"
    assert sorted(os.listdir(target.parent)) == ["thing", "thing.lock"]


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written") as told:
        made_once(tmp_path / "file" / "thing", whole)
    assert "RETRO_CACHE" in told.value.hint


def test_what_is_in_use_stays_and_what_is_not_can_go(tmp_path):
    target = tmp_path / "cache" / "thing"
    users = [maker(target, "stay") for _ in range(2)]
    assert [user.stdout.readline() for user in users] == [b"here\n"] * 2
    with pytest.raises(LockedError, match="thing is in use"):
        removed(target)
    users[0].communicate()
    with pytest.raises(LockedError):
        removed(target)
    users[1].kill()  # a lock dies with its process
    users[1].communicate()
    assert removed(target) == 2
    assert [path.name for path in target.parent.iterdir()] == ["thing.lock"]
    assert removed(target) == 0
    assert maker(target, "0").wait(60) == 0
    assert (tmp_path / "log").read_text() == "xx"


def test_a_user_that_comes_while_it_is_removed_makes_it_again(tmp_path, monkeypatch):
    target = tmp_path / "cache" / "thing"
    target.mkdir(parents=True)
    comers = []
    size = folder_bytes

    def slowly(folder):
        comers.append(maker(target, "0"))
        time.sleep(1)
        return size(folder)

    monkeypatch.setattr("retro_cli.store.cache.folder_bytes", slowly)
    assert removed(target) == 0
    assert comers[0].wait(60) == 0
    assert sorted(os.listdir(target)) == ["first", "second"]


def test_bytes_count_a_file_once_however_many_links_lead_to_it(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").symlink_to("a")
    assert folder_bytes(tmp_path) == 5
