"""The command line as its users meet it: in this process for speed, as a process for truth."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from helpers import Result


@pytest.fixture
def retro(capfd, monkeypatch, tmp_path):
    """Run ``retro ARGS`` in this process, through the same ``main`` as the installed command."""
    from retro_cli.cli.app import main

    monkeypatch.chdir(tmp_path)

    def run(*args: object, stdin: bytes | None = None) -> Result:
        monkeypatch.setattr(sys, "argv", ["retro", *map(str, args)])
        if stdin is not None:
            (tmp_path / "stdin").write_bytes(stdin)
            monkeypatch.setattr(sys, "stdin", (tmp_path / "stdin").open(encoding="utf-8"))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Result(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def db(retro, archive, static_encoder, tmp_path) -> Path:
    """The archive, built with the tiny static encoder."""
    path = tmp_path / "a.db"
    built = retro("build", archive, "--db", path, "--encoder", static_encoder, "--tokens", 16)
    assert built.code == 0, built.err
    return path
