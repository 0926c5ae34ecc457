"""Inputs that are deleted, moved or not there today: removed when asked, never by accident."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from helpers import fingerprint

from retro_cli.database import Database


@pytest.fixture
def folders(tmp_path):
    """Two folders with two files each."""
    for name in ("c", "d"):
        (tmp_path / name).mkdir()
        for number in range(2):
            (tmp_path / name / f"{number}.txt").write_text(f"the boat {name} {number}")
    return tmp_path


@pytest.fixture
def build(retro, folders, static_encoder):
    def run(*args):
        return retro("build", *args, "--db", "db", "--encoder", static_encoder)

    assert run("c", "d").code == 0
    return run


def documents():
    with Database.open("db") as database:
        return {hit.document for hit in database.query("the boat", k=50)}


C, D = {"c/0.txt", "c/1.txt"}, {"d/0.txt", "d/1.txt"}
KEPT = "kept what is gone from the input"


def test_what_the_run_does_not_name_is_not_called_gone(build):
    assert KEPT not in build("d").err
    assert KEPT not in build("d", "--prune").err
    os.unlink("d/0.txt")
    said = build("d").err
    assert f"{KEPT} (1 file, 0 records); --prune removes it" in said
    assert KEPT not in build("d", "--prune").err
    assert documents() == C | {"d/1.txt"}


def test_a_verbose_run_says_how_to_remove_what_it_does_not_name(build):
    assert "2 files of the database lie elsewhere" in build("d", "--verbose").err
    assert "lie elsewhere" not in build("c", "d", "--verbose").err


@pytest.mark.parametrize("how", ["moved", "emptied", "glob"])
def test_a_folder_that_is_gone_is_pruned_when_it_is_named(build, retro, how):
    if how == "moved":
        shutil.move("c", "e")
    else:
        for name in C:
            os.unlink(name)
    named = "c/*.txt" if how == "glob" else "c"
    assert build(named, "d").code == 2
    assert retro("status", "db", "--check").code == 3
    assert "--prune" in retro("status", "db").out
    assert retro("diff", "db", named, "d", "--prune", "--json").rows[-1]["docs_removed"] == 2
    assert build(named, "d", "--prune").code == 0
    assert documents() == D
    assert retro("status", "db", "--check").code == 0
    assert build(named, "d", "--prune").code == 2


def test_a_deleted_file_is_pruned_when_it_is_named(build, retro):
    os.unlink("c/1.txt")
    assert build("c/0.txt", "c/1.txt").code == 2
    assert build("c/0.txt", "c/1.txt", "--prune").code == 0
    assert documents() == {"c/0.txt"} | D
    assert retro("status", "db", "--check").code == 0


def test_the_only_input_may_be_one_that_is_gone(build):
    shutil.rmtree("c")
    assert build("c", "--prune").code == 0
    assert documents() == D


@pytest.mark.parametrize("name", ["nowhere", "nowhere/*.txt", "c/nowhere.txt", "c/*.md", "empty"])
def test_what_the_database_never_knew_is_still_not_found(build, name):
    os.mkdir("empty")
    assert build(name, "--prune").code == 2
    assert build("d", name, "--prune").code == 2
    assert documents() == C | D


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_mount_that_is_not_there_does_not_empty_the_database(build, retro, how):
    for name in "cd":
        shutil.rmtree(name)
        if how == "empty":
            os.mkdir(name)
    before = fingerprint(Path("db"))
    for command in (["build", "c", "d", "--db", "db"], ["diff", "db", "c", "d"]):
        for more in ([], ["--tokens", 8]):
            refused = retro(*command, "--prune", *more)
            assert refused.code == 2
            assert "nothing would be left of 4 documents" in refused.err
    assert fingerprint(Path("db")) == before


def test_nor_do_files_of_which_nothing_can_be_read(build):
    for name in "cd":
        shutil.rmtree(name)
    os.mkdir("c")
    with open("c/new.jsonl", "w") as file:
        file.write("{nonsense\n")
    assert "nothing would be left of 4 documents" in build("c", "d", "--prune").err
    assert documents() == C | D


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_folder_that_may_not_be_looked_into_is_not_gone(build):
    os.makedirs("shut/in")
    shutil.copy("c/0.txt", "shut/in")
    build("shut/in")
    os.chmod("shut", 0)
    try:
        assert build("shut/in", "d", "--prune").code == 2
    finally:
        os.chmod("shut", 0o755)


def test_a_dangling_link_is_there_until_it_is_removed(build, retro):
    os.symlink("nowhere", "c/dangling.txt")
    assert build("c", "d").code == 3
    assert retro("status", "db", "--check").code == 0
    assert retro("diff", "db", "c", "d", "--check").code == 0
    Path("c/nowhere").write_text("the storm")
    assert "1 input file changed and 0 are gone" in retro("status", "db").out
    os.unlink("c/dangling.txt")
    assert "1 is gone" in retro("status", "db").out


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_a_file_whose_name_is_not_utf8_is_found_again(build, retro):
    odd = b"c/caf\xe9.txt"
    with open(odd, "w") as file:
        file.write("the storm")
    Path(r"c/caf\xe8.txt").write_text("this name is spelt so")
    assert build("c", "d").code == 0
    assert retro("status", "db", "--check").code == 0
    os.unlink(odd)
    assert "0 input files changed and 1 is gone" in retro("status", "db").out
