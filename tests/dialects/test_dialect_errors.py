"""Errors in both envelopes, and the reading of anybody's error bodies."""

import json

import pytest
from dialect_samples import ANTHROPIC, OPENAI
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.core import errors
from gatewayz.core.errors import GatewayError, PaymentRequired
from gatewayz.core.stream import StreamError

ALL = [
    (errors.InvalidRequest, 400, "invalid_request_error", "invalid_request_error"),
    (errors.TooLarge, 413, "invalid_request_error", "request_too_large"),
    (errors.UnsupportedFormat, 415, "invalid_request_error", "invalid_request_error"),
    (errors.InvalidFields, 422, "invalid_request_error", "invalid_request_error"),
    (errors.Unauthenticated, 401, "authentication_error", "authentication_error"),
    (errors.PaymentRequired, 402, "insufficient_credits", "billing_error"),
    (errors.Forbidden, 403, "permission_error", "permission_error"),
    (errors.NotFound, 404, "not_found_error", "not_found_error"),
    (errors.MethodNotAllowed, 405, "invalid_request_error", "invalid_request_error"),
    (errors.Conflict, 409, "conflict_error", "invalid_request_error"),
    (errors.RateLimited, 429, "rate_limit_error", "rate_limit_error"),
    (errors.InternalError, 500, "api_error", "api_error"),
    (errors.ProviderTrouble, 502, "provider_error", "api_error"),
    (errors.Unavailable, 503, "overloaded_error", "overloaded_error"),
    (errors.TimedOut, 504, "timeout_error", "timeout_error"),
]


def every(kind: type[GatewayError]) -> set[type[GatewayError]]:
    return {kind}.union(*(every(child) for child in kind.__subclasses__()))


def test_the_table_names_every_error() -> None:
    ours = {kind for kind in every(GatewayError) if kind.__module__ == errors.__name__}
    assert ours - {GatewayError} == {row[0] for row in ALL}


@pytest.mark.parametrize(("kind", "status", "openai", "anthropic"), ALL, ids=[row[0].__name__ for row in ALL])
def test_every_error_in_both_envelopes(kind: type[GatewayError], status: int, openai: str, anthropic: str) -> None:
    error = kind("What is wrong.", code="some_code", param="field")
    assert kind.status == status
    plain = {"message": "What is wrong.", "type": openai, "code": "some_code", "param": "field", "request_id": "req_1"}
    assert json.loads(OPENAI.render_error(error, "req_1")) == {"error": plain}
    inner = {"type": anthropic, "message": "What is wrong.", "code": "some_code", "param": "field"}
    whole = {"type": "error", "error": inner, "request_id": "req_1"}
    assert json.loads(ANTHROPIC.render_error(error, "req_1")) == whole


def test_extras_details_and_suggestions_are_carried_and_never_replace_the_regular_members() -> None:
    error = PaymentRequired(
        "Too little.",
        suggestions=["lower max_tokens"],
        details={"check": 1},
        extra={"balance_usd": "0.01", "message": "no", "type": "no"},
    )
    for body in (OPENAI.render_error(error, "r"), ANTHROPIC.render_error(error, "r")):
        inner = json.loads(body)["error"]
        assert inner["message"] == "Too little."
        assert inner["type"] in ("insufficient_credits", "billing_error")
        assert (inner["balance_usd"], inner["details"]) == ("0.01", {"check": 1})
        assert inner["suggestions"] == ["lower max_tokens"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":{"message":"m","type":"t","code":"c"}}', StreamError("m", "t", "c")),
        (b'{"error":{"message":"m","code":429}}', StreamError("m", None, "429", 429)),
        (b'{"error":{"message":"m","status":"UNAVAILABLE","code":503}}', StreamError("m", "UNAVAILABLE", "503", 503)),
        (b'[{"error":{"message":"m","status":"NOT_FOUND","code":404}}]', StreamError("m", "NOT_FOUND", "404", 404)),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}', StreamError("m", "overloaded_error")),
        (b'{"error":"m","code":"c"}', StreamError("m", None, "c")),
        (b'{"detail":"m"}', StreamError("m")),
        (b'{"detail":[{"msg":"m"}]}', StreamError('[{"msg":"m"}]')),
        (b'{"message":"m","type":"t"}', StreamError("m", "t")),
        (b'{"object":"error","message":"m","code":40301}', StreamError("m", None, "40301")),
        (b'{"error":{"message":"e","metadata":{"raw":"why"}}}', StreamError("e: why")),
        (b'{"error":{"message":"m","status_code":400}}', StreamError("m", None, None, 400)),
        (b'{"error":{}}', StreamError('{"error":{}}')),
        (b'"m"', StreamError("m")),
        (b"upstream\n connect error", StreamError("upstream connect error")),
        (b"<html><style>a{}</style><h1>502</h1>\n<p>Bad  gateway</p></html>", StreamError("502 Bad gateway")),
        (b"", StreamError("")),
        (b"\xff\xfe", StreamError("\ufffd\ufffd")),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_error_bodies_of_any_shape_are_read(dialect, body: bytes, error: StreamError) -> None:
    assert dialect.read_error(body) == error


def test_an_error_inside_a_choice_is_found() -> None:
    error = {"code": 502, "message": "Upstream is away", "metadata": {"provider_name": "x"}}
    choice = {"index": 0, "message": {"content": ""}, "finish_reason": "error", "error": error}
    body = json.dumps({"id": "gen", "choices": [choice]}).encode()
    with pytest.raises(ValueError):
        OPENAI.read_answer(body)
    assert OPENAI.read_error(body) == StreamError("Upstream is away", code="502", status=502)


@given(st.binary(max_size=200))
def test_no_error_body_raises(body: bytes) -> None:
    assert OPENAI.read_error(body) == ANTHROPIC.read_error(body)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "message", "code", "type", "status", "detail"]), inner, max_size=3
            )
        ),
    )
)
def test_no_json_raises(value: object) -> None:
    found = OPENAI.read_error(json.dumps(value).encode())
    assert isinstance(found.message, str)


def test_a_long_body_is_cut() -> None:
    assert len(OPENAI.read_error(b'{"error":{"message":"' + b"m" * 9_000 + b'"}}').message) == 2_000
