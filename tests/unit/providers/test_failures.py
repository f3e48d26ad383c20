"""The classifier against what providers really say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.core.stream import StreamError
from gatewayz.dialects.error_text import read_error
from gatewayz.infra.http_client import Broken, ConnectFailed, TransportTimeout
from gatewayz.providers.failure_rules import RULES, STATUS_RULES, FailureKind, Rule, word
from gatewayz.providers.failures import Failure, classify
from tests.unit.providers.failure_examples import EXAMPLES

K = FailureKind


def _ids(example: tuple[FailureKind, int | None, str]) -> str:
    return f"{example[1]}-{example[0].value}-{example[2][:40]}"


@pytest.mark.parametrize(("kind", "status", "body"), EXAMPLES, ids=[_ids(each) for each in EXAMPLES])
def test_each_example_is_what_it_is(kind: FailureKind, status: int | None, body: str) -> None:
    assert classify(status, read_error(body.encode()), {}, None).kind is kind


@pytest.mark.parametrize("rule", RULES, ids=[f"{rule.kind.value}: {rule.reason[:40]}" for rule in RULES])
def test_each_rule_decides_an_example(rule: Rule) -> None:
    """No rule is dead: shadowed by one before it, or without anything that it was written for."""
    assert any(_deciding(status, body) is rule for _, status, body in EXAMPLES)


@pytest.mark.parametrize("status", STATUS_RULES)
def test_each_status_rule_decides_when_nothing_else_is_known(status: int) -> None:
    assert classify(status, None, {}, None).kind is STATUS_RULES[status][0]
    assert classify(status, StreamError("words that nobody knows"), {}, None).kind is STATUS_RULES[status][0]


@pytest.mark.parametrize("word_of_rule", sorted({each for rule in RULES for each in rule.words}))
def test_words_stand_in_the_spelling_in_which_they_are_compared(word_of_rule: str) -> None:
    assert word(word_of_rule) == word_of_rule


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, K.CALLER), (413, K.CALLER), (422, K.CALLER), (401, K.CREDENTIALS), (403, K.CREDENTIALS), (402, K.CREDIT),
     (404, K.MODEL_GONE), (408, K.TIMEOUT), (504, K.TIMEOUT), (429, K.BUSY), (500, K.FAULT), (502, K.FAULT),
     (503, K.OVERLOADED), (529, K.OVERLOADED)],
)  # fmt: skip
@pytest.mark.parametrize("body", [b"", b"{}", b"nonsense", b'{"error": {"message": "Scripted"}}', b"\xff\xfe"])
def test_the_table_of_the_specification(status: int, kind: FailureKind, body: bytes) -> None:
    assert classify(status, read_error(body), {}, None).kind is kind


def test_exceptions_of_the_transport() -> None:
    assert classify(None, None, {}, TransportTimeout("slow")).kind is K.TIMEOUT
    assert classify(None, None, {}, ConnectFailed("refused")).kind is K.CONNECTION
    assert classify(None, None, {}, Broken("cut")).kind is K.CONNECTION
    assert classify(None, None, {}, Broken("cut")).status is None


def test_whatever_happens_after_the_first_content_is_a_broken_answer() -> None:
    overloaded = read_error(b'{"error":{"type":"overloaded_error","message":"Overloaded"}}')
    assert classify(None, overloaded, {}, None, started=True).kind is K.MID_STREAM
    assert classify(None, None, {}, Broken("cut"), started=True).kind is K.MID_STREAM


def test_the_status_inside_a_200_counts() -> None:
    error = read_error(b'{"error":{"code":429,"message":"slow down"}}')
    assert classify(200, error, {}, None) == classify(None, error, {}, None)
    assert classify(200, error, {}, None).status == 429


@pytest.mark.parametrize(
    "echoed",
    [
        "incorrect api key",
        "invalid api key",
        "API key not valid",
        "your credit balance is too low",
        "insufficient balance",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan",
    ],
)
def test_a_caller_cannot_make_a_provider_look_sick_with_words_of_its_own(echoed: str) -> None:
    """Providers quote the request in a 400; that must stay the caller's fault, or a caller could open breakers."""
    body = json.dumps(
        {"error": {"message": f"Invalid value for 'tool_choice': '{echoed}'", "type": "invalid_request_error"}}
    )
    assert classify(400, read_error(body.encode()), {}, None).kind is K.CALLER


def test_only_the_callers_own_trouble_is_told_to_the_caller() -> None:
    for _, status, body in EXAMPLES:
        failure = classify(status, read_error(body.encode()), {}, None)
        if failure.kind not in (K.CALLER, K.CONTEXT_LENGTH, K.CONTENT_POLICY):
            assert failure.safe_message is None and failure.param is None


def test_the_log_reason_holds_codes_but_no_sentence_of_the_provider() -> None:
    failure = classify(
        401, read_error(b'{"error":{"message":"Incorrect key sk-abc123","code":"invalid_api_key"}}'), {}, None
    )
    assert "invalid_api_key" in failure.reason and "401" in failure.reason
    assert "sk-abc123" not in failure.reason


def test_a_request_larger_than_a_minutes_tokens_is_explained_without_our_limits() -> None:
    body = next(body for _, status, body in EXAMPLES if status == 413 and "TPM" in body)
    failure = classify(413, read_error(body.encode()), {}, None)
    assert failure.status == 413 and failure.safe_message is not None
    assert "6000" not in failure.safe_message and "org" not in failure.safe_message


def test_param_and_sentence_of_the_provider_behind_a_relaying_one() -> None:
    failure = classify(400, read_error(EXAMPLES[-1][2].encode()), {}, None)
    assert (failure.param, failure.safe_message) == ("temperature", "Invalid value for 'temperature'.")


def test_when_to_come_back() -> None:
    busy = read_error(b'{"error":{"message":"slow down"}}')
    assert classify(429, busy, {"Retry-After": "7"}, None).retry_after_s == 7
    assert classify(503, busy, {"retry-after": "3"}, None).retry_after_s == 3
    assert classify(429, busy, {}, None).retry_after_s is None
    assert classify(400, busy, {"retry-after": "3"}, None).retry_after_s is None


@given(
    st.none() | st.integers(100, 999),
    st.builds(StreamError, st.text(), st.none() | st.text(), st.none() | st.text(), st.none() | st.integers(100, 599)),
    st.dictionaries(st.sampled_from(["retry-after", "Date", "retry-after-ms", "x-ratelimit-reset-tokens"]), st.text()),
)
def test_nothing_makes_it_raise(status: int | None, error: StreamError, headers: dict[str, str]) -> None:
    failure = classify(status, error, headers, None, now_s=1.7e9)
    assert isinstance(failure, Failure)
    assert failure.retry_after_s is None or 0 <= failure.retry_after_s <= 86_400


def _deciding(status: int | None, body: str) -> Rule | None:
    """The rule that decides, found without the classifier's own search."""
    error = read_error(body.encode())
    if error.message.startswith("Provider returned error: {"):
        return None
    known = status if status is not None else error.status
    words = frozenset(word(text) for text in (error.code, error.kind) if text)
    return next((rule for rule in RULES if rule.fits(known, words, error.message)), None)


@pytest.mark.parametrize(
    ("status", "named", "kind"),
    [
        (429, "ThrottlingException", FailureKind.BUSY),
        (400, "ServiceQuotaExceededException:http://internal.amazon.com/coral/", FailureKind.BUSY),
        (429, "ModelNotReadyException", FailureKind.OVERLOADED),
        (403, "AccessDeniedException:http://internal.amazon.com/coral/", FailureKind.CREDENTIALS),
        (400, "ValidationException", FailureKind.CALLER),
        (424, "ModelErrorException", FailureKind.FAULT),
        (404, "ResourceNotFoundException", FailureKind.MODEL_GONE),
    ],
)
def test_aws_names_the_exception_in_a_header(status: int, named: str, kind: FailureKind) -> None:
    message = "Too many tokens, please wait." if status == 429 else "It cannot be done."
    failure = classify(status, StreamError(message), {"x-amzn-errortype": named}, None)
    assert failure.kind is kind and failure.status == status
