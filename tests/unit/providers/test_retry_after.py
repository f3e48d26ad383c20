"""When a provider wants to be asked again."""

import pytest

from gatewayz.providers.retry_after import retry_after_s

NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({"Retry-After": "20"}, 20),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "1", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT", "date": "Tue, 14 Nov 2023 22:13:45 GMT"}, 5),
        ({"retry-after": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0),
        ({"retry-after": "999999"}, 86_400),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "0"}, 360),
        ({"x-ratelimit-reset-tokens": "20ms", "x-ratelimit-reset-requests": "1s"}, 0.02),
        (
            {
                "x-ratelimit-reset-tokens": "2m59.56s", "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "3",
            },
            179.56,
        ),
        ({"x-ratelimit-reset-requests-day": "33011.38", "x-ratelimit-remaining-requests-day": "0"}, 33011.38),
        ({"X-RateLimit-Reset": str(int((NOW_S + 12) * 1000))}, 12),
        ({"x-ratelimit-reset": str(int(NOW_S + 40))}, 40),
        ({"anthropic-ratelimit-tokens-reset": "2023-11-14T22:13:30Z", "anthropic-ratelimit-tokens-remaining": "0"}, 10),
        ({"ratelimitbysize-reset": "9"}, 9),
        ({"x-ratelimit-limit-requests": "60"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_headers(headers: dict[str, str], expected_s: float | None) -> None:
    found = retry_after_s(headers, "", NOW_S)
    assert found == (pytest.approx(expected_s) if expected_s is not None else None)


@pytest.mark.parametrize(
    ("message", "expected_s"),
    [
        ("Rate limit reached. Please try again in 7m34.5s. Need more?", 454.5),
        ("Please try again in 20s.", 20),
        ("Please try again in 350ms.", 0.35),
        ("Please retry in 34.07s.", 34.07),
        ("Retry after 3 seconds", 3),
        ("Please try again later", None),
    ],
)
def test_sentences(message: str, expected_s: float | None) -> None:
    found = retry_after_s({}, message, None)
    assert found == (pytest.approx(expected_s) if expected_s is not None else None)


def test_points_in_time_need_a_clock() -> None:
    assert retry_after_s({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}) is None
    assert retry_after_s({"x-ratelimit-reset": "1700000040"}) is None
