"""Lanes and streams: order, bounds, time, and clients that hang up."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest

from retro_cli.errors import UsageError
from retro_cli.serving.failures import Busy, TooSlow
from retro_cli.serving.lanes import Lane
from retro_cli.serving.streams import Streamed


class Standing:
    """In place of a database."""

    def __init__(self):
        self.renewed = 0
        self.closed = False

    def renew(self):
        self.renewed += 1

    def close(self):
        self.closed = True


@pytest.fixture
def database():
    return Standing()


@pytest.fixture
def lane(database):
    made = Lane("test", lambda: database, waiting=2, seconds=0.3)
    yield made
    made.close()


def test_work_is_done_one_piece_after_the_other_on_the_newest_generation(lane, database):
    inside, most = 0, 0

    def work(_):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        inside -= 1

    async def both():
        await asyncio.gather(lane.run(work), lane.run(work))

    asyncio.run(both())
    assert most == 1
    assert database.renewed == 2


def test_more_than_may_wait_are_refused_and_a_place_that_is_free_is_given_again(lane):
    go = threading.Event()

    async def three():
        waiting = [asyncio.create_task(lane.run(lambda _: go.wait(5))) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await lane.run(lambda _: None)
        go.set()
        await asyncio.gather(*waiting)
        return await lane.run(lambda _: "free")

    assert asyncio.run(three()) == "free"


def test_who_has_waited_too_long_is_told_and_what_was_not_begun_never_is(lane):
    go, begun = threading.Event(), []

    async def slow():
        first = asyncio.create_task(lane.run(lambda _: go.wait(5)))
        await asyncio.sleep(0.01)
        with pytest.raises(TooSlow):
            await lane.run(begun.append)
        go.set()
        with pytest.raises(TooSlow):
            await first

    asyncio.run(slow())
    lane.close()
    assert begun == []


def test_a_closed_lane_closes_its_database(lane, database):
    asyncio.run(lane.run(lambda _: None))
    lane.close()
    assert database.closed


# -- streams -----------------------------------------------------------------------------------


def drained(lane, work):
    async def every():
        return [json.loads(line) async for line in Streamed(lane, work).lines()]

    return asyncio.run(every())


def test_values_come_as_lines_in_their_order(lane):
    def work(_, tell, stop):
        for n in range(100):
            stop.check()
            tell({"event": "token", "n": n})

    assert [said["n"] for said in drained(lane, work)] == list(range(100))


def test_what_goes_wrong_is_the_last_line(lane):
    def wrong(_, tell, stop):
        tell({"event": "token"})
        raise UsageError("no", "do something else")

    error = {"event": "error", "error": "no", "hint": "do something else"}
    assert drained(lane, wrong) == [{"event": "token"}, error]


def test_of_a_defect_a_client_hears_no_details(lane, caplog):
    def wrong(_, tell, stop):
        raise ZeroDivisionError("/secret/place")

    (said,) = drained(lane, wrong)
    assert "secret" not in json.dumps(said)
    assert "/secret/place" in caplog.text


def test_work_ends_when_its_time_is_up(lane):
    def endless(_, tell, stop):
        while True:
            stop.check()
            time.sleep(0.01)

    (said,) = drained(lane, endless)
    assert "0.3 seconds" in said["error"]


def test_work_ends_when_nobody_listens_any_more_and_the_lane_is_free(lane):
    counted = []

    def endless(_, tell, stop):
        while True:
            stop.check()
            counted.append(1)
            tell({"event": "token"})
            time.sleep(0.001)

    async def leave():
        lines = Streamed(lane, endless).lines()
        await anext(lines)
        await lines.aclose()
        return await lane.run(lambda _: len(counted))

    after = asyncio.run(leave())
    time.sleep(0.05)
    assert len(counted) == after


def test_a_stream_that_finds_no_place_is_refused_before_it_begins(lane):
    go = threading.Event()

    async def full():
        waiting = [asyncio.create_task(lane.run(lambda _: go.wait(5))) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            Streamed(lane, lambda *_: None)
        go.set()
        await asyncio.gather(*waiting)

    asyncio.run(full())
