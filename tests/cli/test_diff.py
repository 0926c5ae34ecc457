"""retro diff: the same numbers as the run that follows, and nothing touched."""

from __future__ import annotations

import json
import shutil

import pytest
from helpers import everything, process, write_jsonl

from retro_cli.store.lock import writer_lock


def edit(archive):
    """One file of each kind: new, changed, missing; and records of each kind."""
    (archive / "notes" / "0.md").unlink()
    (archive / "notes" / "1.md").rename(archive / "notes" / "moved.md")
    (archive / "light.txt").write_text("the keeper moved to the island")
    posts = [json.loads(line) for line in (archive / "posts.jsonl").read_text().splitlines()]
    posts[3]["text"] = "a storm"
    write_jsonl(
        archive / "posts.jsonl", [*posts[4:], {"id": "n", "text": "a new boat"}, *posts[1:4]]
    )


@pytest.fixture
def two(retro, db, archive):
    """The archive before and after the edits, as generations 1 and 2."""
    edit(archive)
    assert retro("build", archive, "--db", db, "--prune").code == 0
    return db


def test_a_diff_gives_the_numbers_of_the_run_that_follows(retro, db, archive):
    edit(archive)
    for more in ([], ["--prune"]):
        total = retro("diff", db, archive, "--json", *more).rows[-1]
        report = retro("chunk", archive, "--db", db, "--json", *more).rows[0]
        for name in ("files_new", "files_changed", "files_unchanged", "docs_written"):
            assert total[name] == report[name], name
        for name in ("docs_replaced", "docs_removed", "docs_vanished"):
            assert total[name] == report[name], name
        assert total["docs_after"] == report["live_docs"]


def test_a_diff_touches_nothing_not_even_a_time(retro, db, archive, tmp_path):
    edit(archive)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    (db / "chunks" / ".verified.json").unlink()
    before = everything(tmp_path)
    for more in ([], ["--prune"], ["--json"], ["--tokens", 4, "--prune"]):
        assert retro("diff", db, archive, *more).code == 0
    assert retro("diff", db, 1, 1).code == 0
    assert everything(tmp_path) == before


def test_standard_input_is_compared_without_a_trace(retro, static_encoder, tmp_path):
    lines = "".join(json.dumps({"id": f"d{n}", "text": f"boat {n}"}) + "\n" for n in range(3))
    ask = ["chunk", "-", "--db", "s.db", "--encoder", static_encoder]
    assert retro(*ask, stdin=lines.encode()).code == 0
    before = everything(tmp_path / "s.db")
    same = retro("diff", "s.db", "-", "--check", stdin=lines.encode())
    assert same.code == 0, same.err
    other = lines.replace("boat 1", "ship 1").encode()
    assert retro("diff", "s.db", "-", "--json", stdin=other).rows[-1]["docs_replaced"] == 1
    assert everything(tmp_path / "s.db") == before


def test_a_diff_needs_no_lock(retro, db, archive):
    with writer_lock(db, "chunk"):
        assert retro("diff", db, archive, "--check").code == 0


def test_check_exits_three_only_if_something_would_change(retro, db, archive):
    same = retro("diff", db, archive, "--check")
    assert same.code == 0
    assert "would change nothing" in same.out
    edit(archive)
    assert retro("diff", db, archive).code == 0
    assert retro("diff", db, archive, "--check").code == 3
    retro("chunk", archive, "--db", db)
    kept = retro("diff", db, archive, "--check")
    assert kept.code == 0
    assert "--prune would remove 3 documents" in kept.out
    assert retro("diff", db, archive, "--check", "--prune").code == 3


def test_json_is_a_line_for_each_file_and_then_the_total(retro, db, archive):
    edit(archive)
    *files, total = retro("diff", db, archive, "--json", "--limit", 1).rows
    states = {row["file"].removeprefix(f"{archive}/"): row["state"] for row in files}
    assert states == {
        "light.txt": "changed",
        "posts.jsonl": "changed",
        "notes/0.md": "missing",
        "notes/1.md": "missing",
        "notes/moved.md": "new",
    }
    assert total["total"] is True
    assert (total["files_new"], total["files_changed"], total["files_missing"]) == (1, 2, 2)
    posts = next(row for row in files if row["file"].endswith("posts.jsonl"))
    counts = {name: posts[name] for name in ("added", "replaced", "unchanged", "vanished")}
    assert counts == {"added": 1, "replaced": 1, "unchanged": 8, "vanished": 1}


@pytest.mark.parametrize("columns", [40, 80])
def test_the_table_is_short_and_fits_the_terminal(db, archive, columns):
    edit(archive)
    (archive / ("long " * 30 + ".txt")).write_text("the boat")
    done = process("diff", db, archive, "--limit", 2, env={"COLUMNS": str(columns)})
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert "and 4 more" in lines
    assert lines.index("and 4 more") == (3 if columns == 80 else 6)


def test_control_characters_of_a_name_never_reach_the_terminal(retro, db, archive):
    (archive / "evil\x1b[2J.txt").write_text("the boat")
    assert "\x1b" not in retro("diff", db, archive).out


def test_other_settings_are_said_to_cut_everything_again(retro, db, archive):
    found = retro("diff", db, archive, "--tokens", 8)
    assert "cut every document again" in " ".join(found.out.split())
    assert "18 now in place of 18 before" in found.out
    (archive / "light.txt").unlink()
    assert retro("diff", db, archive, "--tokens", 8).code == 2


def test_a_database_without_chunks_finds_all_files_new(retro, db, archive):
    shutil.rmtree(db / "chunks")
    total = retro("diff", db, archive, "--json").rows[-1]
    assert (total["files_new"], total["docs_added"], total["docs_before"]) == (9, 18, 0)
    assert not (db / "chunks").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.db", "archive"], "is not a retrieval database"),
        (["a.db", "nowhere"], "no such file or folder: nowhere"),
        (["a.db", "1", "2"], "there are: 1"),
        (["a.db", "0", "1"], "no generation 0"),
        (["a.db", "1", "9999999999999999999999"], "no generation 9999999999999999999999"),
        (["a.db", "7"], "no such file or folder: 7"),
        (["a.db", "archive", "--tokens", "4", "--cut", "never"], "cut 'never' is not known"),
    ],
)
def test_bad_input_is_refused_with_a_hint(retro, db, arguments, words):
    result = retro("diff", *arguments)
    assert result.code == 2
    assert words in result.err
    assert "hint:" in result.err
    assert "Traceback" not in result.err


def test_a_number_alone_is_the_name_of_a_file(retro, db, tmp_path):
    (tmp_path / "7").write_text("the boat")
    (row, total) = retro("diff", db, "7", "--json").rows
    assert (row["file"], row["added"], total["files_not_named"]) == ("7", 1, 9)


def test_two_generations_differ_by_what_was_edited(retro, two):
    (found,) = retro("diff", two, 1, 2, "--json").rows
    names = {word: set(found[word]["names"]) for word in ("added", "removed", "replaced")}
    assert {name.rpartition("/")[2] for name in names["added"]} == {"n", "moved.md"}
    assert {name.rpartition("/")[2] for name in names["removed"]} == {"0.md", "1.md", "p0"}
    assert {name.rpartition("/")[2] for name in names["replaced"]} == {"light.txt", "p3"}
    assert found["before"]["documents"] - 1 == found["after"]["documents"] == 17
    change = sum(source["added"] - source["removed"] for source in found["sources"])
    assert change == found["after"]["chunks"] - found["before"]["chunks"]
    assert found["index"] == []  # the same plan, and one segment in both


@pytest.mark.parametrize("columns", [40, 80])
def test_the_table_of_generations_fits_the_terminal(two, columns):
    done = process("diff", two, 1, 2, "--limit", 1, env={"COLUMNS": str(columns)})
    assert max(map(len, done.stdout.splitlines())) <= columns
    assert "removed  3 documents" in done.stdout
    assert "and 2 more" in done.stdout


def test_check_compares_generations_too(retro, two):
    assert retro("diff", two, 2, 2, "--check").code == 0
    assert retro("diff", two, 1, 2, "--check").code == 3


def test_what_a_rule_takes_is_removed_between_generations(retro, db):
    assert retro("filter", "add", db, "--source", "forum", "--reason", "a test").code == 0
    (found,) = retro("diff", db, 1, 2, "--json").rows
    assert set(found["removed"]["names"]) == {"p0", "p2", "p4", "p6", "p8"}
    assert found["after"]["documents"] == found["before"]["documents"] - 5
    assert [source["source"] for source in found["sources"]] == ["forum"]
    assert {"name": "rules", "before": 0, "after": 1} in found["index"]
    assert set(retro("diff", db, 2, 1, "--json").rows[0]["added"]["names"]) == set(
        found["removed"]["names"]
    )
