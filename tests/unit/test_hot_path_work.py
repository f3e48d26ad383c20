"""The path of a request does not grow unseen: its work is counted and held to the limits of `bench/work_limits.toml`.

Counting bytecodes and calls gives the same numbers on a busy machine as on an idle one. A change that is meant to cost more
sets new limits with `python scripts/count_work.py --write`, and shows them in its diff.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bench.inprocess import Inside, anthropic_events, openai_events, run_inside
from bench.targets import MESSAGES
from bench.work import Limits, Work, cpu_ratios, limits_text, measure, over, over_time, read_limits, version

KINDS = {
    "plain request", "translated request", "request of 100 KB", "relayed event", "stream", "relayed event, Anthropic",
    "translated event", "translated stream",
}  # fmt: skip


@pytest.fixture(scope="module")
def limits() -> Limits:
    found = read_limits()
    if found is None:
        pytest.skip(f"NO LIMITS FOR PYTHON {version()}: count them with `python scripts/count_work.py --write`")
    return found


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Work]:
    return measure(tmp_path_factory.mktemp("counted"))


@pytest.mark.slow
def test_no_request_does_more_work_than_its_limit(limits: Limits, counted: dict[str, Work]) -> None:
    assert over(counted, limits.work) == [], "if this is meant: python scripts/count_work.py --write"


@pytest.mark.slow
def test_counts_are_the_same_each_time(counted: dict[str, Work], tmp_path: Path) -> None:
    assert counted.keys() == KINDS
    again = measure(tmp_path)
    for kind, work in counted.items():
        assert again[kind].bytecodes == pytest.approx(work.bytecodes, rel=0.005, abs=1), kind
        assert again[kind].calls == pytest.approx(work.calls, rel=0.01, abs=1), kind


@pytest.mark.slow
def test_a_step_that_is_added_is_noticed(counted: dict[str, Work], tmp_path: Path) -> None:
    """A dozen microseconds per request, and one per event."""

    def heavier(app: Any) -> Any:
        async def with_a_step(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
            async def slower(message: Any) -> None:
                _ = [len(name) for name in ("one", "two", "three", "four")]
                await send(message)

            _ = [len(name) for name in ("one", "two", "three", "four") * 25]
            await app(scope, receive, slower)

        return with_a_step

    complaints = over(measure(tmp_path, heavier), counted)
    for kind in KINDS - {"stream", "translated stream", "translated request"}:
        for what in ("bytecodes", "calls"):
            assert any(told.startswith(f"{kind}: ") and what in told for told in complaints), f"{kind}, {what}"


@pytest.mark.slow
def test_no_request_takes_much_more_cpu_time_than_before(limits: Limits, tmp_path: Path) -> None:
    """A share of a fixed piece of work, the least of many: only a machine that slows one and not the other disturbs it."""
    best: dict[str, float] = {}
    for attempt in range(4):
        for kind, ratio in cpu_ratios(tmp_path / str(attempt), rounds=3).items():
            best[kind] = min(best.get(kind, ratio), ratio)
        if not over_time(best, limits.cpu_ratios):
            return
    pytest.fail("\n".join(over_time(best, limits.cpu_ratios)))


def test_what_is_over_its_limit_is_told() -> None:
    limit = {"request": Work(1000, 100)}
    assert over({"request": Work(1050, 105)}, limit) == []
    assert over({"request": Work(900, 90)}, limit) == []
    assert over({"request": Work(1060, 100)}, limit) == ["request: 1,060.0 bytecodes, +6% to the 1,000.0 in the table"]
    assert over({"request": Work(1000, 106)}, limit) == ["request: 106.0 calls, +6% to the 100.0 in the table"]
    assert over({}, limit) == ["request: not measured"]
    assert over({"new": Work(1, 1), **limit}, limit) == ["new: has no limit"]
    assert over_time({"request": 0.44}, {"request": 0.3}) == []
    assert over_time({"request": 0.46}, {"request": 0.3}) != []
    assert over_time({}, {"request": 0.3}) != []


def test_limits_are_written_as_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    written = Limits({"plain request": Work(10.0, 2.5)}, {"plain request": 0.31})
    path.write_text(limits_text(written, {"3.0": {"work": {"plain request": [1, 1]}, "cpu_ratios": {}}}))
    assert read_limits(path) == written
    assert '["3.0".work]' in path.read_text()


def test_the_path_inside_is_the_real_one(tmp_path: Path) -> None:
    """Answers are whole, in the client's dialect, and each is charged."""
    sizes: list[int] = []

    async def act(inside: Inside) -> None:
        asks = [
            inside.ask("chat"), inside.ask("messages"), inside.ask("chat", prompt_bytes=50_000),
            inside.ask("chat", stream=True), inside.ask("messages", stream=True),
            inside.ask("messages", path=MESSAGES, stream=True),
        ]  # fmt: skip
        for ask in asks:
            sizes.append(await ask())
        assert await inside.charges() == len(asks)

    run_inside(tmp_path, act, still=True)
    assert min(sizes[3:]) > 64 * 80  # streams carry every word


@pytest.mark.parametrize("events", [openai_events, anthropic_events])
def test_a_longer_stream_has_so_many_events_more(events: Callable[[int], list[bytes]]) -> None:
    assert len(events(96)) - len(events(32)) == 64
    assert all(event.endswith(b"\n\n") for event in events(3))
