"""What the tests of the engines run in workers: importable there too."""

from __future__ import annotations

import os
import time
from pathlib import Path


def square(number: int) -> int:
    return number * number


def where_am_i_until_9(number: int) -> tuple[int, str, str]:
    time.sleep(0.1)
    if number == 9:
        refuse(number)
    return os.getpid(), os.environ.get("OMP_NUM_THREADS", ""), os.environ.get("HF_HUB_OFFLINE", "")


def refuse(number: int) -> int:
    from retro_cli.errors import MissingExtra

    raise MissingExtra("reading PDF files", "pdf")


def die(number: int) -> int:
    if number == 3:
        os._exit(9)
    return number


def die_once(mark: Path, number: int) -> int:
    """Piece 3 ends its process the first time."""
    if number == 3 and not mark.exists():
        mark.touch()
        os._exit(9)
    time.sleep(0.1)
    return number


def tell_and_sleep(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(0.2)
