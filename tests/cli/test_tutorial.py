"""docs/tutorial.md, run as it stands, and the README's short form of it."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from console_blocks import Console, Step, steps

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "tutorial.md"
INSULT = "brainless clown who counts sheep with a crayon"


def six_commands() -> list[list[str]]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    part = text.split("<!-- tutorial:begin -->")[1].split("<!-- tutorial:end -->")[0]
    lines = re.findall(r"^\$ (.*)$", part, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def tutorial() -> list[Step]:
    return steps(PAGE.read_text(encoding="utf-8"))


def test_the_readme_has_six_commands_and_the_tutorial_has_them_in_this_order():
    commands = six_commands()
    assert [words[0] for words in commands] == ["retro"] * 6
    assert not {"&&", ";", "|"} & {word for words in commands for word in words}
    rest = iter(shlex.split(step.command, comments=True) for step in tutorial())
    for words in commands:
        mine = ["island.db" if word == "demo.db" else word for word in words]
        # The page shows the first of the worst sources, the README three.
        assert any(words_alike(mine, theirs) for theirs in rest), words


def words_alike(some: list[str], others: list[str]) -> bool:
    return [w for w in some if not w.isdigit()] == [w for w in others if not w.isdigit()]


def test_every_command_of_the_tutorial_says_what_the_page_says(retro, tmp_path, monkeypatch):
    """And the source that is taken out answers exactly as long as no rule holds."""
    monkeypatch.delenv("COLUMNS", raising=False)
    shutil.copytree(ROOT / "sample_corpus", tmp_path / "sample_corpus")
    console = Console(retro, tmp_path)
    answers = []
    for step in tutorial():
        console.check(step, PAGE.name)
        if step.command.startswith(("retro filter", "retro compact")):
            hits = retro("query", "island.db", INSULT, "-k", 20, "--json").rows[0]["hits"]
            answers.append(any(hit["source"] == "the-gutter" for hit in hits))
    # find, add, verify, undo, add, purge, and the undo that is refused
    assert answers == [True, False, False, True, False, False, False]
    assert retro("filter", "verify", "island.db").code == 0
    assert retro("export", "island.db", "left.jsonl", "--with-filtered").code == 0
    left = Path("left.jsonl").read_text(encoding="utf-8")
    assert "the-gutter" not in left
    assert INSULT not in left
    assert "dumber than a quill sheep" not in left
