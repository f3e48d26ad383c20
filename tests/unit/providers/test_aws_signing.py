"""Signatures against AWS's published vectors; what is signed, and what never is."""

import re

import pytest

from gatewayz.providers.aws_signing import AwsKeys, signed_headers

NOW_S = 1440938160.0  # 2015-08-30T12:36:00Z, of all vectors
KEYS = AwsKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "service", "us-east-1")
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/"
    "qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38x"
    "Vqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
HOST = "https://example.amazonaws.com"
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def signature(headers: dict[str, str]) -> tuple[str, str]:
    """(names of signed headers, signature)."""
    found = re.search(r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$", headers["authorization"])
    assert found is not None
    return found[1], found[2]


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "names", "expected"),
    [
        ("GET", "/", {}, b"", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", {}, b"", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("GET", "/ሴ", {}, b"", "host;x-amz-date", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        (
            "GET", "/?Param2=value2&Param1=value1", {}, b"", "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "GET", f"/?{UNRESERVED}={UNRESERVED}", {}, b"", "host;x-amz-date",
            "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
        ),
        (
            "POST", "/", FORM, b"Param1=value1", "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
    ids=["get-vanilla", "post-vanilla", "get-utf8", "query-order", "query-unreserved", "post-form"],
)  # fmt: skip
def test_published_vectors(
    method: str, target: str, headers: dict[str, str], body: bytes, names: str, expected: str
) -> None:
    signed = signed_headers(KEYS, method, HOST + target, headers, body, NOW_S)
    assert signature(signed) == (names, expected)
    assert signed["x-amz-date"] == "20150830T123600Z"
    assert signed["authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
    )


def test_published_vector_of_temporary_keys() -> None:
    keys = AwsKeys("AKIDEXAMPLE", KEYS.secret_key, "service", "us-east-1", TOKEN)
    signed = signed_headers(keys, "POST", HOST + "/", {}, b"", NOW_S)
    assert signature(signed) == (
        "host;x-amz-date;x-amz-security-token",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    )
    assert signed["x-amz-security-token"] == TOKEN


def test_a_colon_in_the_path_is_signed_as_escaped_and_an_escape_once_more() -> None:
    """As AWS reads the path on the wire; the values are those of botocore 1.44.8 for the same requests."""
    paths = {
        "/model/a.b-v1:0/converse": "a8957a6a1694e127c37e3406bb46f54c10ec7c0fdc575062c0167821fb2b7787",
        "/model/a.b-v1%3A0/converse": "2529185f4f4fe726cdac635ffcd190c32cbf23d850cf4aa96812b72b54e1a32d",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fx/converse-stream": (
            "8cc7bdebe788258231614170d68bb20920e37c640615bb3620ca848cce9aaae4"
        ),
    }
    for path, expected in paths.items():
        assert signature(signed_headers(KEYS, "POST", HOST + path, {}, b"{}", NOW_S))[1] == expected


def test_what_proxies_may_change_is_not_signed_and_an_old_signature_is_replaced() -> None:
    headers = {"Authorization": "old", "accept": "a", "x-request-id": "r", "content-type": "application/json"}
    signed = signed_headers(KEYS, "POST", HOST + "/", headers, b"{}", NOW_S)
    again = signed_headers(KEYS, "POST", HOST + "/", {**signed, "accept": "b", "x-request-id": "s"}, b"{}", NOW_S)
    assert signature(signed) == signature(again) and signature(signed)[0] == "content-type;host;x-amz-date"
    assert [name for name in signed if name.lower() == "authorization"] == ["authorization"]
    assert {name: signed[name] for name in ("accept", "x-request-id")} == {"accept": "a", "x-request-id": "r"}


def test_body_time_region_and_port_change_the_signature() -> None:
    def of(url: str = HOST + "/", body: bytes = b"{}", now_s: float = NOW_S, keys: AwsKeys = KEYS) -> str:
        return signature(signed_headers(keys, "POST", url, {}, body, now_s))[1]

    elsewhere = AwsKeys(KEYS.access_key, KEYS.secret_key, "service", "eu-central-1")
    ways = {of(), of(body=b"[]"), of(now_s=NOW_S + 1), of(keys=elsewhere), of(HOST + ":8443/")}
    assert len(ways) == 5
    assert of(HOST + ":443/") == of()


def test_secrets_are_not_shown() -> None:
    shown = repr(AwsKeys("AKIDEXAMPLE", "the-secret", "service", "us-east-1", "the-token"))
    assert "the-secret" not in shown and "the-token" not in shown
