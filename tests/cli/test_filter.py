"""retro filter: the whole way round, what it prints, and what looking leaves alone."""

from __future__ import annotations

import json
import re

import pytest
from helpers import fingerprint, process, write_jsonl

WHY = ("--reason", "insults")


def hits(retro, db, *how):
    return retro("query", db, "a letter about a boat", "-k", 200, "--json", *how).rows[0]["hits"]


def test_a_source_is_found_shown_removed_proved_gone_and_restored(retro, scored):
    found = retro("filter", "sources", scored, "--scores", "w", "--json")
    assert found.code == 0
    worst = found.rows[0]["source"]
    added = retro("filter", "add", scored, "--source", worst, *WHY)
    assert added.code == 0
    assert f"retro filter undo {scored} 1" in added.err
    assert worst not in {hit["source"] for hit in hits(retro, scored)}
    assert retro("filter", "verify", scored).code == 0
    assert retro("filter", "undo", scored, 1).code == 0
    assert worst in {hit["source"] for hit in hits(retro, scored)}


def test_the_tables_name_their_columns_and_end_with_a_histogram(retro, scored, add):
    assert add("--source", "forum").code == 0
    shown = retro("filter", "sources", scored, "--scores", "w", "--threshold", 0.5).out.splitlines()
    assert shown[0].split() == ["docs", "chunks", "out", "mean", "p95", "max", "over", "source"]
    rows = retro("filter", "sources", scored, "--scores", "w", "--json").rows
    forum = next(line for line in shown if line.endswith("forum"))
    entry = next(row for row in rows if row["source"] == "forum")
    assert forum.split()[:3] == [str(entry[key]) for key in ("documents", "chunks", "excluded")]
    bars = shown[shown.index("scores of all chunks") + 1 :]
    assert [line.split()[0] for line in bars] == [f"{step / 20:.2f}" for step in range(20)]
    counts = [int(line.split()[2]) for line in bars if "█" in line]
    assert sum(counts) == sum(row["chunks"] for row in rows)
    longest = max(bars, key=lambda line: line.count("█"))
    assert int(longest.split()[2]) == max(counts)


def test_the_page_holds_every_source_and_the_histogram(retro, scored, tmp_path):
    rows = retro("filter", "sources", scored, "--scores", "w", "--json").rows
    page = tmp_path / "page.html"
    assert retro("filter", "sources", scored, "--scores", "w", "--html", page).code == 0
    written = page.read_text()
    assert all(f"<td>{row['source']}</td><td>{row['documents']:,}</td>" in written for row in rows)
    bars = re.findall(r'height="([0-9.]+)"><title>([0-9.]+): ([0-9,]+)</title>', written)
    counts = [int(count.replace(",", "")) for *_, count in bars]
    assert sum(counts) == sum(row["chunks"] for row in rows)
    heights = [float(height) for height, *_ in bars]
    for height, count in zip(heights, counts, strict=True):
        assert height == pytest.approx(count * max(heights) / max(counts), abs=0.1)


def test_documents_have_scores_with_counts_too(retro, scored):
    sources = retro("filter", "sources", scored, "--scores", "w", "--json").rows
    by = ("--scores", "w", "--by", "document")
    found = retro("filter", "sources", scored, *by, "--json").rows
    assert [row["highest"] for row in found] == sorted((r["highest"] for r in found), reverse=True)
    for source in sources:
        mine = [row for row in found if row["source"] == source["source"]]
        assert len(mine) == source["documents"]
        assert sum(row["chunks"] for row in mine) == source["chunks"]
        assert max(row["highest"] for row in mine) == source["highest"]
    shown = retro("filter", "sources", scored, *by, "--limit", 2, "--show").out.splitlines()
    assert shown[0].split() == ["chunks", "out", "mean", "p95", "max", "over", "document"]
    assert shown[1].endswith(found[0]["document"])
    assert shown[-1] == f"and {len(found) - 2} more documents"
    text = retro("filter", "sources", scored, *by, "--limit", 1, "--show", "--json").rows[0]["text"]
    assert text in " ".join(" ".join(shown).split())


@pytest.mark.parametrize("how", [("--by", "word"), ("--by", "document", "--html", "x.html")])
def test_what_no_table_is_by_is_refused(retro, scored, how):
    assert retro("filter", "sources", scored, "--scores", "w", *how).code == 2


def test_scores_without_a_threshold_are_refused(retro, scored):
    refused = retro("filter", "add", scored, "--source", "forum", "--scores", "w", *WHY)
    assert refused.code == 2
    assert "--min-toxicity" in refused.err


def test_human_output_goes_to_stderr_and_data_to_stdout(retro, scored, add):
    assert add("--source", "forum").out == ""
    assert retro("filter", "undo", scored, 1).out == ""
    assert retro("filter", "list", scored).err == ""
    assert retro("filter", "show", scored, 1).err == ""


@pytest.mark.parametrize("columns", [40, 80])
def test_no_line_of_output_is_longer_than_the_terminal(scored, archive, tmp_path, columns):
    long = {"id": "x", "source": "a/very/long/folder/" * 6, "text": "the storm keeper " * 40}
    write_jsonl(archive / "long.jsonl", [long])
    process("build", archive, "--db", scored)
    environment = {"COLUMNS": str(columns)}
    words = " ".join(["because", "they", "insult", "whole", "groups", "of", "people"] * 3)
    commands = [
        ("score", scored, "--scorer", f"words:{tmp_path / 'list.txt'}", "--as", "w"),
        ("sources", scored, "--scores", "w", "--show"),
        ("add", scored, "--source", "a/very/*", "--dry-run", "--reason", words),
        ("add", scored, "--source", "a/very/*", "--source", "forum",
         "--match", "keeper" * 20 + "|o",
         "--min-toxicity", "0.0", "--scores", "w", "--copies", "near", "--reason", words),
        ("list", scored),
        ("show", scored, "1"),
        ("verify", scored),
        ("undo", scored, "1"),
    ]  # fmt: skip
    overlong = {}
    for command in commands:
        result = process("filter", *command, env=environment)
        assert result.returncode == 0, result.stderr
        if lines := [line for line in result.stdout.splitlines() if len(line) > columns]:
            overlong[command[0]] = lines
    assert overlong == {}


def test_every_command_prints_json_objects_and_nothing_else(retro, scored):
    score = retro("filter", "score", scored, "--scorer", "words", "--json")
    assert score.rows[0].keys() >= {"scores", "scored", "kept", "seconds"}
    (first, *_) = retro("filter", "sources", scored, "--scores", "w", "--json").rows
    assert first.keys() == {
        "source", "documents", "chunks", "excluded", "mean", "p95", "highest", "over", "worst"
    }  # fmt: skip
    shown = retro("filter", "sources", scored, "--scores", "w", "--show", "--json").rows
    assert shown
    assert all(row["text"] for row in shown)
    dry = retro("filter", "add", scored, "--source", "forum", *WHY, "--dry-run", "--json").rows
    assert dry[0]["dry_run"] is True
    assert (dry[0]["chunks"], dry[0]["rule"]["sources"]) == (10, ["forum"])
    assert dry[0]["examples"][0]["source"] == "forum"
    added = retro("filter", "add", scored, "--source", "forum", *WHY, "--json").rows[0]
    assert added["rule"]["number"] == 1
    assert (added["chunks"], added["sources"], added["generation"]) == (10, 1, 2)
    assert added["examples"] == dry[0]["examples"]  # the same shape everywhere
    (rule,) = retro("filter", "list", scored, "--json").rows
    assert (rule["number"], rule["state"], rule["reason"]) == (1, "active", "insults")
    show = retro("filter", "show", scored, 1, "--json").rows[0]
    assert (show["takes_chunks"], len(show["examples"])) == (10, 3)
    proof = retro("filter", "verify", scored, "--json").rows[0]
    assert (proof["rules"], proof["removed"], proof["leaks"]) == ([1], 10, [])
    undone = retro("filter", "undo", scored, 1, "--json").rows[0]
    assert undone == {"undone": 1, "chunks_back": 10, "generation": 3}
    for command in (("list", scored), ("verify", scored), ("sources", scored, "--scores", "w")):
        assert retro("filter", *command, "--json").err == ""


def test_errors_are_json_too(retro, db):
    refused = retro("filter", "undo", db, 3, "--json")
    assert json.loads(refused.err)["exit_code"] == refused.code == 2


def test_list_says_that_there_are_no_rules(retro, db):
    assert "no rules" in retro("filter", "list", db).err
    assert retro("filter", "list", db, "--json").out == ""
    assert "no rule is in force" in retro("filter", "verify", db).out


@pytest.mark.parametrize(
    ("said", "code"),
    [(("--source", "forum"), 0), (("--match", "."), 0), (("--match", "submarine"), 0),
     (("--only", "--source", "x*"), 2),  # there is no such source
     (("--min-toxicity", "0.1", "--scores", "w"), 0),
     (("--match", "boat", "--once", "--copies", "near"), 0)],
)  # fmt: skip
def test_a_dry_run_changes_nothing(retro, scored, said, code):
    before = fingerprint(scored)
    assert retro("filter", "add", scored, *said, *WHY, "--dry-run").code == code
    assert retro("filter", "add", scored, *said, *WHY, "--dry-run", "--json").code == code
    assert fingerprint(scored) == before


def test_looking_changes_nothing(retro, scored, add, tmp_path):
    add("--source", "forum")
    before = fingerprint(scored)
    for command in (("list",), ("show", 1), ("verify",), ("sources", "--scores", "w")):
        assert retro("filter", command[0], scored, *command[1:]).code == 0
    assert fingerprint(scored) == before


def test_a_dry_run_says_what_the_rule_then_takes(retro, db):
    said = ("--match", "storm", "--copies", "near")
    dry = retro("filter", "add", db, *said, *WHY, "--dry-run", "--json").rows[0]
    done = retro("filter", "add", db, *said, *WHY, "--json").rows[0]
    for name in ("chunks", "documents", "sources", "chunks_before", "already"):
        assert dry[name] == done[name]
    assert dry["examples"] == done["examples"]


def test_scoring_twice_scores_nothing_the_second_time(retro, scored, tmp_path):
    ask = ("filter", "score", scored, "--scorer", f"words:{tmp_path / 'list.txt'}", "--as", "w")
    again = retro(*ask, "--json").rows[0]
    assert again["scored"] == 0
    assert again["kept"] > 0
