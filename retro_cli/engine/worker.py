"""What runs on a machine of a cluster: one process that works on one piece after the other."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import retro_cli
from retro_cli.engine.interface import Result, Work
from retro_cli.store.atomic import sign_temporaries

# Their versions shape bytes: the same input gives the same database only with the same ones.
PACKAGES = ("numpy", "pyarrow", "tokenizers", "onnxruntime", "faiss-cpu", "torch", "zstandard")
_END = 1 << 16  # bytes


class Worker:
    """Keeps what a stage's function caches from piece to piece, such as an encoder on a GPU."""

    def __init__(self, folder: str) -> None:
        """folder: the working directory of the run, for names that are relative to it"""
        if os.path.isdir(folder):
            os.chdir(folder)
        sign_temporaries(os.urandom(6).hex())

    def about(self, paths: Sequence[Path]) -> tuple[str, dict[str, str], dict[str, str]]:
        """The machine's name, what is installed there, and what it sees under ``paths``."""
        return socket.gethostname(), installed(), sights(paths)

    def work(
        self, function: Callable[[Work], Result], piece: Work
    ) -> tuple[Result | None, Exception | None, str]:
        """What ``function`` makes of the piece, or its error, whole, and where it came from."""
        try:
            return function(piece), None, ""
        except Exception as error:
            return None, error, f"on {socket.gethostname()}:\n{traceback.format_exc()}"


@cache
def installed() -> dict[str, str]:
    """What has to be the same on every machine, by name."""
    packages = {name: _version(name) for name in PACKAGES}
    code = {"retro": f"{retro_cli.__version__} ({_code()})"}
    return {"python": platform.python_version(), **code, **packages}


def sights(paths: Sequence[Path]) -> dict[str, str]:
    """What is to be seen under each path: equal on two machines that share it."""
    return {str(path): _sight(path) for path in paths}


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """The first thing that is not the same, in words, or ""."""
    for name, value in here.items():
        if there.get(name) != value:
            return f"{name} is {there.get(name) or 'missing'} there and {value or 'missing'} here"
    return ""


def _sight(path: Path) -> str:
    """A file by its size and the bytes at both ends, a folder by its names."""
    try:
        if path.is_dir():
            names = sorted(name for name in os.listdir(path) if not name.startswith("."))
            return f"a folder of {len(names)} ({_digest(os.fsencode(chr(0).join(names)))})"
        size = path.stat().st_size
        with path.open("rb") as file:
            data = file.read(_END)
            file.seek(max(size - _END, 0))
            data += file.read(_END)
        return f"a file of {size} bytes ({_digest(data)})"
    except OSError:
        return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _code() -> str:
    """A digest of the program itself: two checkouts may have one version."""
    folder = Path(retro_cli.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)} {_digest(path.read_bytes())}\n".encode())
    return digest.hexdigest()[:8]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]
