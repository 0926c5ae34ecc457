"""The README's tutorial, run as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

README = Path(__file__).parent.parent.parent / "README.md"
SAMPLE = README.parent / "sample_corpus" / "archive"
INSULT = "brainless clown who counts sheep with a crayon"
SAID = "dumber than a quill sheep"  # in the worst chunk of all


def tutorial() -> list[list[str]]:
    text = README.read_text(encoding="utf-8")
    part = text.split("<!-- tutorial:begin -->")[1].split("<!-- tutorial:end -->")[0]
    lines = re.findall(r"^\$ (.*)$", part, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def test_the_tutorial_is_six_commands():
    commands = tutorial()
    assert [words[0] for words in commands] == ["retro"] * 6
    assert not {"&&", ";", "|"} & {word for words in commands for word in words}


def test_the_toxic_source_is_found_shown_removed_proved_gone_restored_and_purged(retro):
    assert retro("build", SAMPLE, "--db", "demo.db", "-q").code == 0
    said: list[str] = []
    answers = []
    for words in tutorial():
        done = retro(*words[1:])
        assert done.code == 0, done.err
        said.append(done.err + done.out)
        hits = retro("query", "demo.db", INSULT, "-k", 20, "--json").rows[0]["hits"]
        answers.append(any(hit["source"] == "the-gutter" for hit in hits))
    found, removed, proved, restored, again, purged = said
    assert "602 chunks" in found
    worst, chunk, *text = found.splitlines()[2:]
    assert "the-gutter" in worst
    assert re.match(r"    chunk \d+:", chunk)
    assert SAID in text[0]
    assert "rule 1 takes" in removed
    assert "none of a removed chunk" in proved
    assert "rule 1 is undone" in restored
    assert "rule 2 takes" in again
    assert "gone for good" in purged
    assert answers == [True, False, False, True, False, False]
    assert retro("filter", "verify", "demo.db").code == 0
    assert retro("filter", "undo", "demo.db", 2).code == 2
    assert retro("export", "demo.db", "left.jsonl", "--with-filtered").code == 0
    left = Path("left.jsonl").read_text(encoding="utf-8")
    assert "the-gutter" not in left
    assert SAID not in left
