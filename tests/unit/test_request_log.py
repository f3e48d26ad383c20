"""The line of a request: its time is told to the millisecond, also when the second turns."""

import io
import json

from gatewayz.infra.telemetry import RequestLog


async def test_times_are_told_in_utc_to_the_millisecond() -> None:
    stream = io.BytesIO()
    log = RequestLog(stream, "info", as_json=True)
    for at_us in (1_764_330_617_004_999, 1_764_330_617_999_999, 1_764_330_618_000_000, 1_764_330_617_000_000):
        log.write(at_us, {"request_id": "r"})
    log.flush()
    assert [json.loads(line)["timestamp"] for line in stream.getvalue().splitlines()] == [
        "2025-11-28T11:50:17.004Z",
        "2025-11-28T11:50:17.999Z",
        "2025-11-28T11:50:18.000Z",
        "2025-11-28T11:50:17.000Z",
    ]
