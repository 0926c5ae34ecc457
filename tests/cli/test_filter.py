"""retro filter from the command line: what it prints, what it refuses, what it leaves alone."""

from __future__ import annotations

import hashlib
import json
from html.parser import HTMLParser

import pytest
from helpers import process, write_jsonl

WHY = ("--reason", "insults")


@pytest.fixture
def scored(retro, db, tmp_path):
    """The archive with scores by a list of one word."""
    (tmp_path / "list.txt").write_text("storm\nkeeper\n")
    made = retro("filter", "score", db, "--scorer", f"words:{tmp_path / 'list.txt'}", "--as", "w")
    assert made.code == 0, made.err
    return db


@pytest.fixture
def add(retro, db):
    return lambda *args: retro("filter", "add", db, *args, *WHY)


def fingerprint(db):
    files = sorted(path for path in db.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def hits(retro, db, *how):
    return retro("query", db, "a letter about a boat", "-k", 200, "--json", *how).rows[0]["hits"]


# -- the whole way round ---------------------------------------------------------------------


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


def test_human_output_goes_to_stderr_and_data_to_stdout(retro, scored, add):
    assert add("--source", "forum").out == ""
    assert retro("filter", "undo", scored, 1).out == ""
    assert retro("filter", "list", scored).err == ""
    assert retro("filter", "show", scored, 1).err == ""


def test_no_line_of_output_is_longer_than_the_terminal(scored, archive, static_encoder, tmp_path):
    long = {"id": "x", "source": "a/very/long/folder/" * 6, "text": "the storm keeper " * 40}
    write_jsonl(archive / "long.jsonl", [long])
    process("build", archive, "--db", scored)
    environment = {"COLUMNS": "80"}
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
        if lines := [line for line in result.stdout.splitlines() if len(line) > 80]:
            overlong[command[0]] = lines
    assert overlong == {}


# -- json ------------------------------------------------------------------------------------


def test_every_command_prints_json_objects_and_nothing_else(retro, scored):
    score = retro("filter", "score", scored, "--scorer", "words", "--json")
    assert score.rows[0].keys() >= {"scores", "scored", "kept", "seconds"}
    (first, *_) = retro("filter", "sources", scored, "--scores", "w", "--json").rows
    assert first.keys() == {
        "source", "documents", "chunks", "excluded", "mean", "p95", "highest", "over", "worst"
    }  # fmt: skip
    shown = retro("filter", "sources", scored, "--scores", "w", "--show", "--json").rows
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


# -- nothing changes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [("--source", "forum"), ("--match", "."), ("--match", "submarine"),
     ("--only", "--source", "x*"),
     ("--min-toxicity", "0.1", "--scores", "w"), ("--match", "boat", "--once", "--copies", "near")],
)  # fmt: skip
def test_a_dry_run_changes_nothing(retro, scored, said):
    before = fingerprint(scored)
    retro("filter", "add", scored, *said, *WHY, "--dry-run")
    retro("filter", "add", scored, *said, *WHY, "--dry-run", "--json")
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


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "words"),
    [((), "nothing in particular"),
     (("--only",), "nothing in particular"),
     (("--source", "fourm"), "near: forum"),
     (("--doc", "p11"), "near: p1"),
     (("--source", "zzz"), "retro sources"),
     (("--match", "("), "not a regular expression"),
     (("--match", "(?=look)boat"), "RE2"),
     (("--where", "year is odd"), "--where does not understand"),
     (("--match", "submarine"), "takes none of the"),
     (("--match", "."), "takes all"),
     (("--only", "--match", "."), "takes none"),
     (("--only", "--match", "submarine"), "takes all"),
     (("--chunk", "99999"), "there is no chunk 99999"),
     (("--chunk", "-1"), "there is no chunk -1"),
     (("--min-toxicity", "0.5"), "no scores called default"),
     (("--min-toxicity", "1.5"), "min-toxicity"),
     (("--min-toxicity", "nan"), "min-toxicity"),
     (("--match", "boat", "--level", "word"), "choose one of"),
     (("--match", "boat", "--copies", "some"), "choose one of"),
     (("--from-file", "missing.txt"), "missing.txt"),
     (("--source", "forum", "--source", "lettres"), "near: letters")],
)  # fmt: skip
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_rule_that_cannot_be_meant_is_refused_and_nothing_written(retro, db, said, words, more):
    if more and words.startswith("takes"):
        return  # a dry run says so in numbers
    before = fingerprint(db)
    refused = retro("filter", "add", db, *said, *WHY, *more)
    assert refused.code == 2, refused.err
    assert words in " ".join(refused.err.split())
    assert "defect" not in refused.err
    assert fingerprint(db) == before


@pytest.mark.parametrize("reason", [(), ("--reason", ""), ("--reason", "  \n")])
def test_a_rule_needs_a_reason(retro, db, reason):
    refused = retro("filter", "add", db, "--source", "forum", *reason)
    assert (refused.code, "reason" in refused.err) == (2, True)
    assert not (db / "filters").exists()


def test_yes_adds_a_rule_that_takes_nothing_yet_or_everything(retro, db, add):
    assert add("--match", "submarine", "--yes").code == 0
    assert add("--source", "forum", "--source", "letters").code == 0
    assert add("--match", ".", "--yes").code == 0
    assert hits(retro, db) == []
    assert retro("filter", "verify", db).code == 0


@pytest.mark.parametrize("command", [("undo", 1), ("show", 1)])
def test_a_number_that_no_rule_has_is_refused(retro, db, command):
    refused = retro("filter", command[0], db, command[1])
    assert (refused.code, "there are no rules" in refused.err) == (2, True)
    assert retro("filter", command[0], db, 0).code == 2
    assert retro("filter", command[0], db, "one").code == 2


def test_an_undo_of_an_undo_is_refused_and_changes_nothing(retro, db, add):
    add("--source", "forum")
    assert retro("filter", "undo", db, 1).code == 0
    before = fingerprint(db)
    refused = retro("filter", "undo", db, 1)
    assert (refused.code, "was undone before" in refused.err) == (2, True)
    assert fingerprint(db) == before


@pytest.mark.parametrize("command", ["list", "verify", "sources", "score"])
def test_what_is_no_database_is_refused(retro, tmp_path, command):
    assert retro("filter", command, tmp_path / "none.db").code == 2
    (tmp_path / "empty.db").mkdir()
    refused = retro("filter", command, tmp_path / "empty.db")
    assert (refused.code, "defect" in refused.err) == (2, False)
    assert list((tmp_path / "empty.db").iterdir()) == []


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden", "a b"])
def test_a_table_gets_no_name_that_leaves_its_folder(retro, db, name):
    made = retro("filter", "score", db, "--scorer", "words", "--as", name)
    assert made.code == (0 if name == "" else 2), made.err
    assert {path.name for path in db.parent.iterdir()} <= {"a.db", "archive", "cache", "stdin"}


def test_an_unknown_scorer_is_refused_with_the_nearest(retro, db):
    refused = retro("filter", "score", db, "--scorer", "wrods")
    assert (refused.code, "words" in refused.err) == (2, True)


def test_the_hint_of_a_missing_score_names_the_very_table(retro, scored, archive, tmp_path):
    assert retro("filter", "add", scored, "--min-toxicity", "0.1", "--scores", "w", *WHY).code == 0
    (archive / "new.txt").write_text("a new storm")
    retro("chunk", archive, "--db", scored)
    refused = retro("filter", "add", scored, "--source", "forum", *WHY)
    assert refused.code == 2
    (hint,) = [line for line in refused.err.splitlines() if line.startswith("hint:")]
    command = hint.split("retro ")[1].split()
    assert retro(*command).code == 0
    assert retro("filter", "add", scored, "--source", "forum", *WHY).code == 0


# -- names from a file -----------------------------------------------------------------------


def test_a_file_names_sources_documents_and_chunks(retro, db, tmp_path):
    lines = ["# insults", "", "forum", '{"document": "p1"}', '{"chunk": 0}', '{"source": "l*r"}']
    (tmp_path / "names.txt").write_text("\n".join(lines))
    ask = ["filter", "add", db, "--from-file", "names.txt", *WHY, "--json", "--dry-run"]
    refused = retro(*ask)
    assert (refused.code, "l*r" in refused.err) == (2, True)
    (tmp_path / "names.txt").write_text("\n".join(lines[:-1]))
    rule = retro(*ask).rows[0]["rule"]
    assert (rule["sources"], rule["documents"]) == (["forum"], ["p1"])
    assert [passage["chunk"] for passage in rule["passages"]] == [0]


@pytest.mark.parametrize(
    "line",
    ["{", '{"chunk": "x"}', '{"chunk": 1.5}', "{}", '{"paper": "x"}', '{"chunk": null}',
     '{"chunk": 99999}', '{"source": {}}', '{"source": true}', '{"chunk": -1}',
     '{"source": "forum", "document": "p3"}'],
)  # fmt: skip
def test_a_broken_line_of_a_file_is_refused_and_nothing_written(retro, db, tmp_path, line):
    (tmp_path / "names.txt").write_text("forum\n" + line + "\n")
    before = fingerprint(db)
    refused = retro("filter", "add", db, "--from-file", "names.txt", *WHY)
    assert (refused.code, "defect" in refused.err) == (2, False), refused.err
    assert fingerprint(db) == before


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"forum\x00", b"\xffforum"])
def test_a_file_that_is_no_text_is_refused(retro, db, tmp_path, content):
    (tmp_path / "names.txt").write_bytes(content)
    refused = retro("filter", "add", db, "--from-file", "names.txt", *WHY)
    assert (refused.code, "defect" in refused.err) == (2, False), refused.err


def test_a_file_of_an_editor_with_a_byte_order_mark_is_read(retro, db, tmp_path):
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbfforum\r\n")
    assert retro("filter", "add", db, "--from-file", "names.txt", *WHY).code == 0


def test_a_file_that_names_nothing_does_not_widen_the_rule_to_everything(retro, db, tmp_path):
    (tmp_path / "names.txt").write_text("# none today\n\n")
    refused = retro("filter", "add", db, "--from-file", "names.txt", "--match", "letter", *WHY)
    assert refused.code == 2
    assert not (db / "filters").exists()


def test_a_folder_is_no_file_of_names(retro, db, archive):
    refused = retro("filter", "add", db, "--from-file", archive, *WHY)
    assert (refused.code, "defect" in refused.err) == (2, False)


# -- the page --------------------------------------------------------------------------------


class Page(HTMLParser):
    """Checks that every element that is opened is closed, in order."""

    VOID = frozenset({"meta", "br", "hr", "img", "link"})

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.cells: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def test_the_page_is_well_formed_and_escapes_what_a_source_is_called(
    retro, archive, static_encoder, tmp_path
):
    evil = "<script>alert('1')</script>&amp;\"\x1b[2J"
    write_jsonl(archive / "evil.jsonl", [{"id": "x", "source": evil, "text": "the storm"}])
    database = tmp_path / "<b>&.db"
    assert retro("build", archive, "--db", database, "--encoder", static_encoder).code == 0
    assert retro("filter", "score", database, "--scorer", "words").code == 0
    ask = ["filter", "sources", database, "--scores", "words", "--html", "out/page.html"]
    assert retro(*ask).code == 0
    text = (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert not page.tags & {"script", "b"}
    assert "\x1b" not in text
    assert any("<script>alert('1')</script>&amp;" in cell for cell in page.cells)
    assert "http" not in text.replace('lang="', "")


def test_a_page_that_cannot_be_written_is_an_error_and_no_defect(retro, scored, tmp_path):
    (tmp_path / "taken").mkdir()
    for path in ("taken", "a.db/retro.toml/page.html"):
        refused = retro("filter", "sources", scored, "--scores", "w", "--html", path)
        assert refused.code in (1, 2)
        assert "defect" not in refused.err


def test_the_table_shows_what_rules_keep_out_and_the_worst_of_each(retro, scored, add):
    add("--source", "forum")
    rows = {
        r["source"]: r for r in retro("filter", "sources", scored, "--scores", "w", "--json").rows
    }
    assert rows["forum"]["excluded"] == rows["forum"]["chunks"] == 10
    assert rows["letters"]["excluded"] == 0
    out = retro("filter", "sources", scored, "--scores", "w", "--show", "--limit", 2).out
    assert out.count("chunk ") == 2
    assert "more sources" in out


# -- what a terminal could not print ---------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [("--source", "\udcff"), ("--match", "\udcff"), ("--doc", "\udcff"), ("--where", "a = \udcff"),
     ("--match", "boat", "--scores", "\udcff"), ("--match", "boat\x00")],
)  # fmt: skip
def test_bytes_that_are_no_text_are_refused_or_match_nothing(retro, db, said):
    refused = retro("filter", "add", db, *said, *WHY)
    assert "defect" not in refused.err
    assert refused.code in (0, 2)
    assert retro("filter", "list", db).code == 0
    assert retro("index", db).code == 0


def test_a_reason_in_bytes_that_are_no_text_leaves_a_ledger_that_reads(retro, db):
    added = retro("filter", "add", db, "--source", "forum", "--reason", "caf\udce9 \x1b[31m")
    assert "defect" not in added.err
    listed = retro("filter", "list", db)
    assert listed.code == 0
    assert "\x1b" not in listed.out
    assert "\x1b" not in retro("filter", "show", db, 1).out
