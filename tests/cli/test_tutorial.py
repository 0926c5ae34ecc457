"""The README's tutorial, run as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

README = Path(__file__).parent.parent.parent / "README.md"
SAMPLE = README.parent / "sample_corpus" / "archive"
INSULT = "brainless clown who counts sheep with a crayon"


def tutorial() -> list[list[str]]:
    text = README.read_text(encoding="utf-8")
    part = text.split("<!-- tutorial:begin -->")[1].split("<!-- tutorial:end -->")[0]
    lines = re.findall(r"^\$ (.*)$", part, re.MULTILINE)
    return [shlex.split(c, comments=True) for line in lines for c in line.split("&&")]


def test_the_toxic_source_is_found_shown_removed_proved_gone_restored_and_purged(retro):
    assert retro("build", SAMPLE, "--db", "demo.db", "-q").code == 0
    found: dict[str, str] = {}
    answers = []
    for words in tutorial():
        assert words[0] == "retro"
        done = retro(*words[1:])
        assert done.code == 0, done.err
        found[" ".join(words[1:3])] = done.out + done.err
        hits = retro("query", "demo.db", INSULT, "-k", 20, "--json").rows[0]["hits"]
        answers.append(any(hit["source"] == "the-gutter" for hit in hits))
    assert "602 chunks" in found["filter score"]
    assert "the-gutter" in found["filter sources"].splitlines()[1]
    assert "none of a removed chunk" in found["filter verify"]
    assert answers == [True, True, False, False, True, False, False]
    assert retro("filter", "verify", "demo.db").code == 0
    assert retro("filter", "undo", "demo.db", 2).code == 2
