"""Where parts run must not change what comes out."""

from __future__ import annotations

import os

import pytest

from retro_cli.engine import run_parts
from retro_cli.errors import MissingExtra, RetroError


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    raise MissingExtra("reading PDF files", "pdf")


def die(number: int) -> int:
    if number == 3:
        os._exit(9)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_every_piece_comes_back_once_with_its_position(workers):
    found = dict(run_parts(square, list(range(20)), workers))
    assert found == {number: number * number for number in range(20)}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_worker_arrives_whole(workers):
    with pytest.raises(MissingExtra) as caught:
        list(run_parts(refuse, [1, 2], workers))
    assert caught.value.message == "reading PDF files needs the extra 'pdf'"
    assert "retro-cli[pdf]" in caught.value.hint


def test_a_worker_that_dies_is_an_error_not_a_hang():
    with pytest.raises(RetroError, match="a worker process died"):
        list(run_parts(die, list(range(8)), 2))
