"""Amazon Bedrock: recorded bytes behind both clients, signatures, regions one after the other, and streams that break."""

import base64
import json
import re
from calendar import timegm
from collections.abc import Iterator
from pathlib import Path
from time import strptime
from typing import Any

import pytest

from gatewayz.providers.aws_signing import AwsKeys, signed_headers
from tests.acceptance import spine
from tests.acceptance.spine import ask, text_of
from tests.aws_frames import delta, event, events
from tests.dialects.dialect_samples import ABSENT, folder
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

MODEL, NATIVE = "acme/rock", "anthropic.claude-sonnet-4-5-20250929-v1:0"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret-of-aws",
    "AWS_SESSION_TOKEN": "token-of-aws",
}
REGIONS = ("eu-central-1", "us-east-1", "ap-northeast-1")
WAYS = pytest.mark.parametrize(
    ("dialect", "stream"), [(dialect, stream) for dialect in ("openai", "anthropic") for stream in (False, True)]
)
CLIENTS = pytest.mark.parametrize("dialect", ["openai", "anthropic"])
RECORDINGS = [
    path
    for path in sorted((folder() / "bedrock").glob("bedrock-converse*.json"))
    if json.loads(path.read_bytes())["response"]["status"] == 200
]
RECORDED = (
    pytest.mark.parametrize("path", RECORDINGS, ids=[path.stem for path in RECORDINGS])
    if RECORDINGS
    else pytest.mark.skip(reason=ABSENT)
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """Bedrock, with a persona for each region."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway that signs for an account of AWS, in three regions."""
    config = spine.settings_toml(rate_limit_retries=0)
    config += (
        f'[[providers]]\nslug = "bedrock"\nbase_url = "{upstream.url("{region}")}"\nregions = {json.dumps(REGIONS)}\n'
    )
    model = spine.model_toml(MODEL, ("bedrock",), price=(3, 15), supports_reasoning=True)
    config += model.replace('native_id = "native-bedrock"', f'native_id = "{NATIVE}"')
    with LiveGateway(tmp_path_factory.mktemp("bedrock"), config, env=KEYS) as live:
        yield live


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    """An account that can pay."""
    return gateway.customer(50)


@pytest.fixture(autouse=True)
def _fresh(upstream: FakeUpstream) -> None:
    upstream.reset()


@pytest.mark.ac("AC-9.1.4")
@WAYS
def test_each_request_is_signed_for_what_is_on_the_wire(
    customer: Customer, upstream: FakeUpstream, dialect: str, stream: bool
) -> None:
    upstream.script(REGIONS[0], {"keep_body": True})
    answer = ask(customer, dialect, MODEL, stream=stream)
    assert answer.status_code == 200 and text_of(dialect, answer) == f"Hello from {REGIONS[0]}"
    (entry,) = upstream.journal()
    end = "converse-stream" if stream else "converse"
    assert entry["path"] == f"/p/{REGIONS[0]}/model/eu.{NATIVE}/{end}"
    headers = entry["headers"]
    moment = headers["x-amz-date"]
    keys = AwsKeys("AKIDEXAMPLE", "secret-of-aws", "bedrock", REGIONS[0], "token-of-aws")
    signed = {name: headers[name] for name in ("content-type", "x-amz-date", "x-amz-security-token")}
    url = f"http://{headers['host']}{entry['path']}"
    again = signed_headers(keys, "POST", url, signed, entry["text"].encode(), _seconds(moment))
    assert again["authorization"] == headers["authorization"]
    assert re.fullmatch(r"\d{8}T\d{6}Z", moment) and headers["x-amz-security-token"] == "token-of-aws"


def _seconds(moment: str) -> float:
    return float(timegm(strptime(moment, "%Y%m%dT%H%M%SZ")))


@pytest.mark.ac("AC-2.4.1")
@WAYS
@pytest.mark.parametrize(
    ("status", "named"),
    [(429, "ThrottlingException"), (503, "ServiceUnavailableException"), (400, "ServiceQuotaExceededException")],
)
def test_the_next_region_serves_what_one_has_no_room_for(
    customer: Customer, upstream: FakeUpstream, dialect: str, stream: bool, status: int, named: str
) -> None:
    trouble = {"status": status, "headers": {"x-amzn-ErrorType": f"{named}:http://internal.amazon.com/coral/"}}
    for region in REGIONS[:2]:
        upstream.script(region, trouble)
    answer = ask(customer, dialect, MODEL, stream=stream)
    assert answer.status_code == 200 and text_of(dialect, answer) == f"Hello from {REGIONS[2]}"
    entries = upstream.journal()
    assert [entry["persona"] for entry in entries] == list(REGIONS)
    for entry, area in zip(entries, ("eu", "us", "jp"), strict=True):
        assert f"/model/{area}.{NATIVE}/" in entry["path"]
        assert f"/{entry['persona']}/bedrock/aws4_request" in entry["headers"]["authorization"]


@pytest.mark.ac("AC-CC.13.1")
@CLIENTS
@RECORDED
def test_recorded_answers_reach_the_clients(
    customer: Customer, upstream: FakeUpstream, dialect: str, path: Path
) -> None:
    case = json.loads(path.read_bytes())
    reply, stream = case["response"], case["api"] == "bedrock-converse-stream"
    if stream:
        kind = {"Content-Type": "application/vnd.amazon.eventstream"}
        upstream.script(REGIONS[0], {"body_base64": reply["body_base64"], "headers": kind, "split": 700})
    else:
        upstream.script(REGIONS[0], {"body": reply["body_text"]})
    answer = ask(customer, dialect, MODEL, stream=stream)
    assert answer.status_code == 200, answer.text
    if stream:
        assert answer.text.rstrip().endswith("[DONE]" if dialect == "openai" else '"message_stop"}')
        assert text_of(dialect, answer).strip() or "tool" in answer.text
        return
    content = json.loads(reply["body_text"])["output"]["message"]["content"]
    texts = [block["text"] for block in content if "text" in block]
    texts += [each["text"] for block in content for each in block.get("citationsContent", {}).get("content", [])]
    assert all(text in _all_text(answer.json()) for text in texts)


def _all_text(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(_all_text(each) for each in value.values())
    if isinstance(value, list):
        return "".join(_all_text(each) for each in value)
    return value if isinstance(value, str) else ""


def _broken_streams() -> dict[str, bytes]:
    good = events(*(delta({"text": text}) for text in ("One ", "two ", "three ")))
    end = events(("messageStop", {"stopReason": "end_turn"}), ("metadata", {"usage": {}}))
    changed = bytearray(good + end)
    changed[len(good) + 40] ^= 1
    return {
        "a changed byte": bytes(changed),
        "cut within a frame": (good + end)[: len(good) + 20],
        "an exception": good + event("modelStreamErrorException", {"message": "It failed."}, kind="exception"),
        "no reason": good,
    }


@pytest.mark.ac("AC-9.1.10")
@CLIENTS
@pytest.mark.parametrize("body", _broken_streams().values(), ids=list(_broken_streams()))
def test_a_broken_stream_is_told_as_such_and_costs_nothing(
    gateway: LiveGateway, upstream: FakeUpstream, dialect: str, body: bytes
) -> None:
    payer = gateway.customer(1)
    upstream.script(REGIONS[0], {"body_base64": base64.b64encode(body).decode()})
    answer = ask(payer, dialect, MODEL, stream=True)
    assert answer.status_code == 200 and "three" in answer.text
    assert '"provider_error"' in answer.text and "message_stop" not in answer.text
    sums = [row["amount_usd"] for row in payer.transactions() if row["type"] in ("hold", "refund", "api_usage")]
    assert sum(sums) == pytest.approx(0)


def test_no_secret_is_logged(gateway: LiveGateway, customer: Customer, upstream: FakeUpstream) -> None:
    for region in REGIONS:
        upstream.script(region, {"status": 403, "headers": {"x-amzn-ErrorType": "InvalidSignatureException"}})
    answer = ask(customer, "openai", MODEL)
    assert answer.status_code == 503
    told = gateway.log_path.read_text(encoding="utf-8") + answer.text
    assert "invalidsignatureexception" in told
    assert not any(secret in told for secret in ("secret-of-aws", "token-of-aws", "AWS4-HMAC", "AKIDEXAMPLE"))
