"""Bedrock: who signs, where it is called, in which regions, and under which name a model is called there."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from gatewayz.infra.http_client import Reply, Timeouts
from gatewayz.providers import ConfiguredProvider, Provider, Simulated, Upstreams, build_providers, load_profiles
from gatewayz.providers.aws_signing import signed_headers
from gatewayz.providers.inference_profiles import name_in

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "the-secret-of-aws"}
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
NOW_S = 1_764_000_000.0
SIM = Simulated(lambda: 0.0, pause_s=0)


def built(env: dict[str, str], *configured: ConfiguredProvider) -> Any:
    providers = build_providers(load_profiles(), env, configured, simulated=False)
    return providers.get("bedrock") or dict(providers.inactive())["bedrock"]


class Recorder:
    """A transport that keeps what it is asked to send."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Reply:
        self.posts.append((url, dict(headers), body))
        return SIM.answer(b"", stream=False, request_id="x")

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Reply:
        raise AssertionError(url)

    async def close(self) -> None:
        pass


async def sent(provider: Provider, native_id: str = CLAUDE, *, stream: bool = False, body: bytes = b"{}") -> Any:
    transport = Recorder()
    upstreams = Upstreams(transport, None, Timeouts(1.0, 2.0), lambda: NOW_S)
    await upstreams.open(provider, provider.chat_way, body, stream=stream, request_id="r", native_id=native_id)
    (post,) = transport.posts
    return post


def test_without_keys_or_region_the_reason_says_what_to_set() -> None:
    assert built({}) == "no key: set AWS_BEARER_TOKEN_BEDROCK or AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY"
    assert built({"AWS_ACCESS_KEY_ID": "a", "AWS_REGION": "eu-west-1"}) == "no key: set AWS_SECRET_ACCESS_KEY, too"
    assert built({"AWS_SECRET_ACCESS_KEY": "a", "AWS_REGION": "eu-west-1"}) == "no key: set AWS_ACCESS_KEY_ID, too"
    assert built(KEYS) == "its address needs AWS_REGION or AWS_DEFAULT_REGION"
    assert "may hold letters" in built({**KEYS, "AWS_REGION": "eu west"})
    assert "no header" in built({**KEYS, "AWS_REGION": "eu-west-1", "AWS_SESSION_TOKEN": "a\nb"})


async def test_the_keys_of_an_account_sign_what_is_sent() -> None:
    provider = built({**KEYS, "AWS_REGION": "eu-central-1", "AWS_SESSION_TOKEN": "the-token"})
    assert "the-secret" not in repr(provider) and "the-token" not in repr(provider)
    url, headers, body = await sent(provider, stream=True)
    assert url == f"https://bedrock-runtime.eu-central-1.amazonaws.com/model/eu.{CLAUDE}/converse-stream"
    assert headers["x-amz-security-token"] == "the-token" and headers["x-amz-date"] == "20251124T160000Z"
    assert headers["authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20251124/eu-central-1/bedrock/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
    )
    assert headers == signed_headers(provider.aws, "POST", url, headers, body, NOW_S)
    assert headers["Accept"].startswith("application/vnd.amazon.eventstream")


async def test_a_large_body_is_signed_in_the_same_way() -> None:
    provider = built({**KEYS, "AWS_REGION": "us-east-1"})
    url, headers, body = await sent(provider, body=json.dumps("x" * 300_000).encode())
    assert headers == signed_headers(provider.aws, "POST", url, headers, body, NOW_S)


async def test_a_key_of_bedrock_is_sent_as_it_is_and_wins_over_the_keys_of_an_account() -> None:
    provider = built({**KEYS, "AWS_BEARER_TOKEN_BEDROCK": "bedrock-key", "AWS_DEFAULT_REGION": "us-west-2"})
    url, headers, _ = await sent(provider)
    assert url == f"https://bedrock-runtime.us-west-2.amazonaws.com/model/us.{CLAUDE}/converse"
    assert headers["authorization"] == "Bearer bedrock-key" and "x-amz-date" not in headers


async def test_several_regions_are_locations_in_their_order_each_with_its_signature() -> None:
    provider = built({**KEYS, "AWS_REGION": "eu-central-1, us-east-1,ap-northeast-1,eu-central-1"})
    places = (provider, *provider.elsewhere)
    assert [place.location for place in places] == ["eu-central-1", "us-east-1", "ap-northeast-1"]
    assert [place.regions for place in places] == [("eu-central-1",), ("us-east-1",), ("ap-northeast-1",)]
    for place, area in zip(places, ("eu", "us", "jp"), strict=True):
        url, headers, _ = await sent(place)
        assert url == f"https://bedrock-runtime.{place.location}.amazonaws.com/model/{area}.{CLAUDE}/converse"
        assert f"/{place.location}/bedrock/aws4_request" in headers["authorization"]


def test_the_configuration_names_regions_keys_and_address() -> None:
    provider = built(KEYS, ConfiguredProvider("bedrock", regions=("eu-west-1", "eu-north-1"), priority=5))
    assert (provider.location, provider.priority, provider.configured) == ("eu-west-1", 5, True)
    assert [place.location for place in provider.elsewhere] == ["eu-north-1"] and provider.elsewhere[0].aws is not None
    keyed = built({**KEYS, "AWS_REGION": "eu-west-1"}, ConfiguredProvider("bedrock", api_key="own"))
    assert keyed.headers["authorization"] == "Bearer own" and keyed.aws is None
    endpoint = "https://vpce-1.bedrock-runtime.{region}.vpce.amazonaws.com"
    moved = built(KEYS, ConfiguredProvider("bedrock", base_url=endpoint, regions=("eu-west-1", "us-east-1")))
    assert [place.url for place in (moved, *moved.elsewhere)] == [
        endpoint.replace("{region}", region) + "/model/{model}/converse" for region in ("eu-west-1", "us-east-1")
    ]
    fixed = built({**KEYS, "AWS_REGION": "eu-west-1,us-east-1", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "https://proxy/x/"})
    assert fixed.url == "https://proxy/x/model/{model}/converse" and fixed.elsewhere == ()
    assert "must be an address" in built({**KEYS, "AWS_REGION": "a", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "proxy"})


async def test_an_address_of_a_resource_is_one_part_of_the_path() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab12"
    url, _, _ = await sent(built({**KEYS, "AWS_REGION": "us-east-1"}), arn)
    assert url.endswith("/model/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile%2Fab12/converse")


@pytest.mark.parametrize(
    ("native_id", "region", "name"),
    [
        (CLAUDE, "us-east-2", f"us.{CLAUDE}"),
        (CLAUDE, "eu-west-3", f"eu.{CLAUDE}"),
        (CLAUDE, "eu-west-2", CLAUDE),  # London is not of the EU
        (CLAUDE, "ap-northeast-3", f"jp.{CLAUDE}"),
        (CLAUDE, "ap-southeast-2", f"au.{CLAUDE}"),
        (CLAUDE, "ap-south-1", CLAUDE),  # only served from anywhere, which nobody asked for
        (CLAUDE, "us-gov-west-1", f"us-gov.{CLAUDE}"),
        (f"global.{CLAUDE}", "eu-west-1", f"global.{CLAUDE}"),
        (f"us.{CLAUDE}", "eu-west-1", f"us.{CLAUDE}"),
        ("anthropic.claude-opus-5", "eu-north-1", "eu.anthropic.claude-opus-5"),
        ("anthropic.claude-opus-4-8", "ap-southeast-4", "au.anthropic.claude-opus-4-8"),
        ("anthropic.claude-sonnet-4-20250514-v1:0", "ap-south-1", "apac.anthropic.claude-sonnet-4-20250514-v1:0"),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", "us-west-2", "us.anthropic.claude-3-7-sonnet-20250219-v1:0"),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "us-west-2", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "eu-west-1", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("amazon.nova-lite-v1:0", "eu-west-1", "eu.amazon.nova-lite-v1:0"),
        ("amazon.nova-premier-v1:0", "eu-west-1", "amazon.nova-premier-v1:0"),
        ("amazon.nova-premier-v1:0", "us-east-1", "us.amazon.nova-premier-v1:0"),
        ("meta.llama3-3-70b-instruct-v1:0", "us-east-1", "us.meta.llama3-3-70b-instruct-v1:0"),
        ("meta.llama3-2-1b-instruct-v1:0", "eu-west-1", "eu.meta.llama3-2-1b-instruct-v1:0"),
        ("meta.llama3-8b-instruct-v1:0", "us-east-1", "meta.llama3-8b-instruct-v1:0"),
        ("deepseek.r1-v1:0", "us-east-1", "us.deepseek.r1-v1:0"),
        ("deepseek.v3-v1:0", "us-west-2", "deepseek.v3-v1:0"),
        ("openai.gpt-oss-120b-1:0", "us-west-2", "openai.gpt-oss-120b-1:0"),
        ("my-own-profile", "us-west-2", "my-own-profile"),
    ],
)
def test_the_name_of_a_model_in_a_region(native_id: str, region: str, name: str) -> None:
    assert name_in(native_id, region) == name
