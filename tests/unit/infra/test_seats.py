"""Seats of workers: each worker is a process of its own here, since a lock is a process's."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatewayz.infra.seats import Seats

# Does what it is told, a word a line, and says what came of it.
_WORKER = """
import json, sys, threading
from pathlib import Path
from gatewayz.infra.seats import Seats

seats = Seats(Path(sys.argv[1]), int(sys.argv[2]))
def say(what):
    print(json.dumps(what), flush=True)
say("ready")
for line in sys.stdin:
    word, _, number = line.strip().partition(" ")
    match word:
        case "take": say(seats.take())
        case "wait": seats.wait(lambda: say("seated")); say("waits")
        case "leave": seats.leave(); say(seats.is_seated)
        case "add": seats.add(int(number)); say(seats.has_room)
        case "room": say(seats.has_room)
"""
_WAIT_S = 20.0


class Worker:
    def __init__(self, path: Path, seats: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(path), str(seats)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.hear() == "ready"

    def hear(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def __call__(self, words: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        return self.hear()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(_WAIT_S)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


class Crew:
    """Workers at the same seats."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._all: list[Worker] = []

    def hire(self, seats: int) -> Worker:
        self._all.append(Worker(self._path, seats))
        return self._all[-1]

    def dismiss(self) -> None:
        for worker in self._all:
            worker.kill()


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    crew = Crew(tmp_path / "seats")
    yield crew
    crew.dismiss()


def test_there_are_no_more_seats_than_there_are(crew: Crew) -> None:
    first, second, third = (crew.hire(2) for _ in range(3))
    assert [first("take"), second("take"), third("take")] == [True, True, False]
    assert first("take") is True  # it keeps the one that it has
    assert third("take") is False
    second("leave")
    assert third("take") is True
    assert second("take") is False


@pytest.mark.parametrize("end", ["kill", "leave"])
def test_who_waits_sits_down_when_another_ends(crew: Crew, end: str) -> None:
    first, waiting = crew.hire(1), crew.hire(1)
    assert first("take") is True
    assert waiting("wait") == "waits"
    began = time.monotonic()
    if end == "kill":
        first.kill()
    else:
        first("leave")
    assert waiting.hear() == "seated"
    assert time.monotonic() - began < _WAIT_S
    assert waiting("take") is True
    if end == "leave":
        assert first("take") is False


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_those_who_wait_take_whichever_seat_is_free(crew: Crew, order: tuple[int, ...]) -> None:
    seated = [crew.hire(2) for _ in range(2)]
    assert [worker("take") for worker in seated] == [True, True]
    waiting = [crew.hire(2) for _ in range(2)]
    assert [worker("wait") for worker in waiting] == ["waits", "waits"]
    for place in order:
        seated[place].kill()
    assert [worker.hear() for worker in waiting] == ["seated", "seated"]


def test_who_waits_first_may_die_as_well(crew: Crew) -> None:
    seated, first, second = (crew.hire(1) for _ in range(3))
    assert seated("take") is True
    assert first("wait") == "waits"
    time.sleep(0.2)  # until its thread is the first of the queue
    assert second("wait") == "waits"
    first.kill()
    seated.kill()
    assert second.hear() == "seated"


def test_who_has_more_connections_than_others_leaves_them_the_next(crew: Crew) -> None:
    first, second = crew.hire(2), crew.hire(2)
    assert first("room") is False  # nobody without a seat takes any
    assert first("take") and first("add 3") is True  # nobody else is there
    assert second("take") and second("room") is True
    assert first("room") is False
    assert second("add 3") is True and first("room") is True
    assert second("add 1") is False and first("room") is True
    assert first("add -3") is True and second("room") is False


def test_among_many_connections_a_few_more_are_no_difference(crew: Crew) -> None:
    first, second = crew.hire(2), crew.hire(2)
    assert first("take") and second("take")
    assert second("add 1599") is False  # a seat that is held counts one more
    assert first("add 1699") is True and first("add 1") is False


def test_what_the_dead_have_left_does_not_count_for_who_comes_after(crew: Crew) -> None:
    first, second = crew.hire(2), crew.hire(2)
    assert first("take") and second("take")
    first("add 5"), second("add 2")
    second("leave")
    assert first("room") is True  # an empty seat waits for nobody
    assert second("take") and second("room") is True and first("room") is False
    assert second("add 5") is True and second("add 1") is False


def test_at_least_one_seat(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Seats(tmp_path / "seats", 0)
    with pytest.raises(FileNotFoundError):
        Seats(tmp_path / "nowhere" / "seats", 1)
