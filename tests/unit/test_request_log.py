"""The line of a request: its time is told to the millisecond, also when the second turns."""

import io
import json

from gatewayz.infra.telemetry import LogLine, RequestLog


async def test_times_are_told_in_utc_to_the_millisecond() -> None:
    stream = io.BytesIO()
    log = RequestLog(stream, "info", as_json=True)
    for at_us in (1_764_330_617_004_999, 1_764_330_617_999_999, 1_764_330_618_000_000, 1_764_330_617_000_000):
        log.write(at_us, LogLine("request", "info", ""))
    log.flush()
    assert [json.loads(line)["timestamp"] for line in stream.getvalue().splitlines()] == [
        "2025-11-28T11:50:17.004Z",
        "2025-11-28T11:50:17.999Z",
        "2025-11-28T11:50:18.000Z",
        "2025-11-28T11:50:17.000Z",
    ]


class _Line(LogLine):
    request_id: str
    status: int


async def test_a_line_is_json_for_programs_and_words_for_people() -> None:
    told = []
    for as_json in (True, False):
        stream = io.BytesIO()
        log = RequestLog(stream, "info", as_json=as_json)
        log.write(1_764_330_617_004_999, _Line("request", "info", "", "r-1", 200))
        log.flush()
        told.append(stream.getvalue())
    assert json.loads(told[0]) == {
        "event": "request",
        "level": "info",
        "timestamp": "2025-11-28T11:50:17.004Z",
        "request_id": "r-1",
        "status": 200,
    }
    assert told[1] == b"2025-11-28T11:50:17.004Z [info] request request_id=r-1 status=200\n"
