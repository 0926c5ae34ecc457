"""The commands of a page's ``console`` blocks, and whether they say what the page says.

A line that begins with ``$ `` is a command; what follows is what it says, remarks before data.
``...`` stands for any characters of a line, and a line of it alone for any lines.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from helpers import Result

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """line: of the command, from 1."""

    command: str
    output: str
    line: int


def steps(page: str) -> list[Step]:
    """The commands of all blocks, in order."""
    found = []
    for block in _BLOCK.finditer(page):
        first = page.count("\n", 0, block.start(1)) + 1
        text = block[1]
        starts = [match.start() for match in re.finditer(r"^\$ ", text, re.MULTILINE)]
        for begin, end in zip(starts, [*starts[1:], len(text)], strict=True):
            command, _, output = text[begin:end].partition("\n")
            found.append(Step(command[2:], output, first + text.count("\n", 0, begin)))
    return found


def matches(expected: str, said: str) -> bool:
    """Whether a command said what a page says it does."""
    lines = [re.escape(line).replace(r"\.\.\.", ".*?") + "\n" for line in expected.splitlines()]
    pattern = "".join(r"(?:.*\n)*?" if line == ".*?\n" else line for line in lines)
    whole = "\n".join(line.rstrip() for line in said.splitlines())
    return re.fullmatch(pattern, whole + "\n" if whole else "") is not None


class Console:
    """Runs commands one after the other, ``retro`` in this process and others in a shell."""

    def __init__(self, retro: Callable[..., Result], folder: Path) -> None:
        self._retro, self._folder = retro, folder
        self.code = 0

    def run(self, command: str) -> str:
        """What a command says, remarks before data."""
        words = shlex.split(command, comments=True)
        if words[0] != "retro":
            return self._shell(command)
        ended = self._retro(*words[1:])
        self.code = ended.code
        return ended.err + ended.out

    def _shell(self, command: str) -> str:
        before = f"(exit {self.code})\n"  # what $? is
        done = subprocess.run(
            ["bash", "-c", before + command],
            cwd=self._folder, capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip
        self.code = done.returncode
        return done.stderr + done.stdout

    def check(self, step: Step, page: str) -> None:
        """Run a step; an assertion fails that shows both sides if it says anything else."""
        said = self.run(step.command)
        assert matches(step.output, said), (
            f"{page}, line {step.line}: $ {step.command}\n--- says\n{said}--- not\n{step.output}"
        )
