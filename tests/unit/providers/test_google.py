"""Google's two doors: addresses by model and location, what switches them on, service accounts and their tokens."""

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from gatewayz.catalog import Model, Offer, PriceSnapshot, build
from gatewayz.infra.http_client import Reply, Timeouts, TransportError
from gatewayz.providers import ConfiguredProvider, Provider, Upstreams, build_providers, load_profiles
from gatewayz.providers.access_tokens import RENEW_BEFORE_S, AccessTokens, TokenRefused
from gatewayz.providers.addresses import count_url, request_url
from gatewayz.providers.service_accounts import LIFE_S, ServiceAccount, assertion, read_account
from gatewayz.routing.plan import Wish, plan

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NOW_S = 1_700_000_000.5
TIMEOUTS = Timeouts(1.0, 2.0)
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def pem(key: Any = KEY) -> str:
    return str(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    )


def key_file(**changed: Any) -> str:
    members = {
        "type": "service_account",
        "project_id": "own-project",
        "private_key_id": "k1",
        "private_key": pem(),
        "client_email": "gw@own-project.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return json.dumps({name: value for name, value in {**members, **changed}.items() if value is not None})


ACCOUNT = read_account(key_file(), SCOPE)
JSON = "GOOGLE_VERTEX_CREDENTIALS_JSON"


def one(env: dict[str, str], *configured: ConfiguredProvider) -> Provider:
    (provider,) = build_providers(load_profiles(), env, configured, simulated=False).all()
    return provider


def reason(env: dict[str, str], *configured: ConfiguredProvider) -> str:
    providers = build_providers(load_profiles(), env, configured, simulated=False)
    return dict(providers.inactive())["google-vertex"]


def test_ai_studio_is_addressed_by_model_and_kind_of_answer() -> None:
    provider = one({"GEMINI_API_KEY": "AIza"})
    assert (provider.slug, provider.dialect, provider.account) == ("google-ai-studio", "gemini", None)
    assert provider.headers == {"content-type": "application/json", "x-goog-api-key": "AIza"}
    base = "https://generativelanguage.googleapis.com/v1beta/models"
    assert request_url(provider.url, "gemini-2.5-flash", stream=False) == f"{base}/gemini-2.5-flash:generateContent"
    streamed = request_url(provider.url, "gemini-2.5-flash", stream=True)
    assert streamed == f"{base}/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert request_url(provider.url, "../x?y#z", stream=False) == f"{base}/..%2Fx%3Fy%23z:generateContent"
    assert count_url(provider, "gemini-2.5-flash") == f"{base}/gemini-2.5-flash:countTokens"


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://h", "http://h/v1beta/models/m:streamGenerateContent?alt=sse"),
        ("http://h/proxy/", "http://h/proxy/v1beta/models/m:streamGenerateContent?alt=sse"),
        ("http://h/v1", "http://h/v1/models/m:streamGenerateContent?alt=sse"),
        ("http://h/v1beta1?key=k", "http://h/v1beta1/models/m:streamGenerateContent?key=k&alt=sse"),
    ],
)
def test_addresses_of_gemini_like_providers(base_url: str, url: str) -> None:
    provider = one({}, ConfiguredProvider("acme", base_url=base_url, dialect="gemini", api_key="k"))
    assert request_url(provider.url, "m", stream=True) == url
    assert provider.headers["x-goog-api-key"] == "k"
    moved = one({"GEMINI_API_KEY": "k", "GOOGLE_GEMINI_BASE_URL": base_url})
    assert request_url(moved.url, "m", stream=True) == url


def test_other_dialects_keep_their_address() -> None:
    claude = one({"ANTHROPIC_API_KEY": "k"})
    assert request_url(claude.url, "m", stream=True) == "https://api.anthropic.com/v1/messages"
    assert count_url(claude) == "https://api.anthropic.com/v1/messages/count_tokens"
    assert count_url(one({"OPENAI_API_KEY": "k"})) is None


def test_vertex_with_a_key_has_neither_project_nor_location() -> None:
    provider = one({"GOOGLE_VERTEX_API_KEY": "k", "GOOGLE_VERTEX_LOCATION": "eu"})
    assert provider.url == ("https://aiplatform.googleapis.com/v1/publishers/google/models/{model}:generateContent")
    assert provider.headers["x-goog-api-key"] == "k" and provider.elsewhere == ()
    moved = one({}, ConfiguredProvider("google-vertex", base_url="http://h/v1", api_key="k"))
    assert moved.url == "http://h/v1/publishers/google/models/{model}:generateContent"


def test_vertex_with_a_service_account_is_at_its_locations() -> None:
    provider = one({JSON: key_file(), "GOOGLE_VERTEX_LOCATION": "europe-west4, global,eu,europe-west4"})
    places = (provider, *provider.elsewhere)
    assert [place.location for place in places] == ["europe-west4", "global", "eu"]
    assert [place.regions for place in places] == [("europe-west4",), ("global",), ("eu",)]
    assert [place.url.partition("/projects/")[0] for place in places] == [
        "https://europe-west4-aiplatform.googleapis.com/v1",
        "https://aiplatform.googleapis.com/v1",
        "https://aiplatform.eu.rep.googleapis.com/v1",
    ]
    assert provider.url.endswith(
        "/projects/own-project/locations/europe-west4/publishers/google/models/{model}:generateContent"
    )
    assert {place.slug for place in places} == {"google-vertex"} and all(place.account == ACCOUNT for place in places)
    assert not {"authorization", "x-goog-api-key"} & provider.headers.keys()
    assert "PRIVATE" not in repr(provider) and "PRIVATE" not in repr(ACCOUNT)


def test_vertex_by_file_project_and_configuration(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(key_file(), encoding="utf-8")
    env = {"GOOGLE_APPLICATION_CREDENTIALS": str(path), "GOOGLE_CLOUD_PROJECT": "other", "GOOGLE_VERTEX_API_KEY": "k"}
    provider = one(env)
    assert "/projects/other/locations/global/" in provider.url and provider.location == "global"
    wanted = ConfiguredProvider("google-vertex", base_url="http://h/{location}/v1/", regions=("a", "b"))
    placed = one(env, wanted)
    assert placed.url.startswith("http://h/a/v1/projects/other/locations/a/")
    assert placed.elsewhere[0].url.startswith("http://h/b/v1/projects/other/locations/b/")
    keyed = one(env, ConfiguredProvider("google-vertex", api_key="mine"))
    assert keyed.account is None and keyed.headers["x-goog-api-key"] == "mine"


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({}, f"no key: set {JSON} or GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_VERTEX_API_KEY"),
        ({JSON: "{"}, f"{JSON}: is not JSON"),
        ({JSON: "[]"}, f"{JSON}: must be a JSON object"),
        ({JSON: key_file(type="authorized_user")}, "type 'authorized_user'; only a service_account can be used"),
        ({JSON: key_file(client_email=None)}, "has no client_email"),
        ({JSON: key_file(private_key=None)}, "has no private_key"),
        ({JSON: key_file(private_key="nonsense")}, "has a private_key that cannot be read"),
        ({JSON: key_file(private_key=pem(ec.generate_private_key(ec.SECP256R1())))}, "that is no RSA key"),
        ({JSON: key_file(token_uri="ftp://x")}, "has a token_uri that is no address"),
        ({JSON: key_file(project_id=None)}, "its address needs GOOGLE_VERTEX_PROJECT or"),
        ({JSON: key_file(), "GOOGLE_VERTEX_LOCATION": "a/b"}, "may hold letters, digits, dots and dashes only"),
        ({"GOOGLE_APPLICATION_CREDENTIALS": "/no/such/file"}, "the file cannot be read: No such file"),
    ],
)
def test_why_vertex_is_not_there(env: dict[str, str], told: str) -> None:
    assert told in reason(env)
    if env:
        assert told in reason(env, ConfiguredProvider("google-vertex", regions=()))


def test_the_claim_is_signed_for_the_issuer() -> None:
    header, claims, signature = assertion(ACCOUNT, NOW_S).split(".")
    read = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, claims)]
    assert read[0] == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert read[1] == {
        "iss": ACCOUNT.email, "scope": SCOPE, "aud": ACCOUNT.token_uri, "iat": 1_700_000_000, "exp": 1_700_000_000 + LIFE_S,
    }  # fmt: skip
    KEY.public_key().verify(
        base64.urlsafe_b64decode(signature + "=="), f"{header}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )


@dataclass
class Said:
    """A reply of the issuer or of a provider."""

    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    closed: bool = False

    async def read(self) -> bytes:
        return self.body

    async def next_chunk(self) -> bytes:
        return b""

    def close(self) -> None:
        self.closed = True


@dataclass
class Issuer:
    """A transport that issues tokens `t1`, `t2`, … , and answers everything else with 200."""

    replies: list[Any] = field(default_factory=list)
    posts: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Reply:
        self.posts.append((url, headers, body))
        await self.gate.wait()
        found = self.replies.pop(0) if self.replies else None
        if isinstance(found, Exception):
            raise found
        return found or Said(200, json.dumps({"access_token": f"t{len(self.posts)}", "expires_in": 3600}).encode())

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Reply:
        raise AssertionError("nothing is fetched")

    async def close(self) -> None:
        pass


@dataclass
class Clock:
    now_s: float = NOW_S

    def __call__(self) -> float:
        return self.now_s


def issuer(*replies: Any) -> Issuer:
    made = Issuer(list(replies))
    made.gate.set()
    return made


async def test_a_token_is_fetched_once_for_all_and_kept() -> None:
    transport, clock = issuer(), Clock()
    transport.gate.clear()
    tokens = AccessTokens(transport, TIMEOUTS, clock)
    asking = [asyncio.ensure_future(tokens.token(ACCOUNT)) for _ in range(5)]
    while not transport.posts:
        await asyncio.sleep(0.001)
    asking[0].cancel()
    transport.gate.set()
    assert await asyncio.gather(*asking[1:]) == ["t1"] * 4, "one who leaves does not take the token from the others"
    assert await tokens.token(ACCOUNT) == "t1" and len(transport.posts) == 1
    url, headers, body = transport.posts[0]
    form = parse_qs(body.decode())
    assert (url, headers["content-type"]) == (ACCOUNT.token_uri, "application/x-www-form-urlencoded")
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"] and len(form["assertion"]) == 1


async def test_a_token_is_renewed_before_its_end_while_it_is_still_used() -> None:
    transport, clock = issuer(), Clock()
    tokens = AccessTokens(transport, TIMEOUTS, clock)
    assert await tokens.token(ACCOUNT) == "t1"
    clock.now_s += 3600 - RENEW_BEFORE_S - 1
    assert await tokens.token(ACCOUNT) == "t1" and len(transport.posts) == 1
    clock.now_s += 2
    assert await tokens.token(ACCOUNT) == "t1", "nobody waits for a renewal"
    while len(transport.posts) < 2 or await tokens.token(ACCOUNT) == "t1":
        await asyncio.sleep(0.001)
    assert await tokens.token(ACCOUNT) == "t2" and len(transport.posts) == 2


async def test_a_renewal_that_fails_is_tried_again_later_and_the_old_token_serves_until_its_end() -> None:
    transport, clock = issuer(None, Said(503), TransportError("away")), Clock()
    tokens = AccessTokens(transport, TIMEOUTS, clock)
    assert await tokens.token(ACCOUNT) == "t1"
    clock.now_s += 3600 - RENEW_BEFORE_S + 1
    for _ in range(50):
        assert await tokens.token(ACCOUNT) == "t1"
        await asyncio.sleep(0.001)
    assert len(transport.posts) == 2, "not at every request"
    clock.now_s += RENEW_BEFORE_S
    with pytest.raises(TransportError):
        await tokens.token(ACCOUNT)
    assert await tokens.token(ACCOUNT) == "t4"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Said(400, b'{"error":"invalid_grant","error_description":"who is gw@own-project"}'), TokenRefused),
        (Said(403, b"<html>"), TokenRefused),
        (Said(500), TransportError),
        (Said(429), TransportError),
        (Said(200, b'{"id_token":"x"}'), TransportError),
        (TransportError("away"), TransportError),
    ],
)
async def test_what_goes_wrong_at_the_issuer(reply: Any, error: type[Exception]) -> None:
    tokens = AccessTokens(issuer(reply), TIMEOUTS, Clock())
    with pytest.raises(error) as caught:
        await tokens.token(ACCOUNT)
    assert "gw@" not in str(caught.value)
    assert await tokens.token(ACCOUNT) == "t2", "the next request asks again"
    assert not isinstance(reply, Said) or reply.closed


def vertex() -> Provider:
    return one({JSON: key_file()})


async def test_requests_are_signed_and_a_refused_token_is_dropped() -> None:
    transport = issuer(None, Said(401), None, Said(200))
    upstreams = Upstreams(transport, None, TIMEOUTS, Clock())
    for status, token in ((401, "t1"), (200, "t3")):
        reply = await upstreams.open(vertex(), vertex().chat_way, b"{}", stream=False, request_id="r", native_id="m")
        url, headers, _ = transport.posts[-1]
        assert reply.status == status and headers["authorization"] == f"Bearer {token}"
        assert url.endswith("/models/m:generateContent")
    assert len(transport.posts) == 4


async def test_without_a_token_the_answer_is_a_401_without_a_call() -> None:
    transport = issuer(Said(400, b'{"error":"invalid_grant"}'))
    reply = await Upstreams(transport, None, TIMEOUTS, Clock()).open(
        vertex(), vertex().chat_way, b"{}", stream=False, request_id="r"
    )
    assert reply.status == 401 and b"UNAUTHENTICATED" in await reply.read() and len(transport.posts) == 1


def test_the_locations_of_a_provider_are_further_attempts() -> None:
    provider = one({JSON: key_file(), "GOOGLE_VERTEX_LOCATION": "a,b"})
    studio = one({"GEMINI_API_KEY": "k"})
    active = {provider.slug: provider, studio.slug: studio}
    model = Model("google/x", "x", "google", "chat", 1000, 100, "text->text", frozenset(), 0)
    price = PriceSnapshot(1, "t", 0, 5, 5)
    offers = [Offer(1, model.id, slug, "gemini-x", price, 1000, 100, frozenset()) for slug in active]
    made = plan(model, offers, active, frozenset(active), Wish(frozenset()), lambda _: False)
    assert [(each.provider.slug, each.provider.location) for each in made.candidates] == [
        ("google-vertex", "a"),
        ("google-vertex", "b"),
        ("google-ai-studio", None),
    ]


@pytest.mark.ac("AC-CC.13.2")
def test_what_vertex_serves_on_other_paths_is_served_by_who_speaks_to_them() -> None:
    price = PriceSnapshot(1, "t", 0, 5, 5)

    def at(native_id: str, **more: Any) -> list[str]:
        model = Model("m/x", "x", "m", "chat", 1000, 100, "text->text", frozenset(), 0)
        offer = Offer(1, model.id, "google-vertex", native_id, price, 1000, 100, frozenset(), **more)
        return [offer.provider for offer in build([model], [offer]).offers_of(model.id)]

    assert at("gemini-2.5-flash") == ["google-vertex"]
    assert at("claude-sonnet-4-5@20250929") == ["google-vertex-anthropic"]
    assert at("meta/llama-3.1-8b-instruct-maas") == [], "nobody here speaks to it"
    assert at("my-tuned-endpoint", source="config") == ["google-vertex"], "what the operator puts there is there"


CLAUDE = "google-vertex-anthropic"


def test_claude_at_vertex_is_there_only_where_it_is_asked_for() -> None:
    providers = build_providers(load_profiles(), {JSON: key_file()}, (), simulated=False)
    assert providers.get(CLAUDE) is None and providers.get("google-vertex") is not None
    assert "[[providers]]" in dict(providers.inactive())[CLAUDE]
    asked = build_providers(load_profiles(), {}, [ConfiguredProvider(CLAUDE)], simulated=False)
    assert f"{JSON} or GOOGLE_APPLICATION_CREDENTIALS" in dict(asked.inactive())[CLAUDE]


def test_claude_at_vertex_is_addressed_by_model_location_and_kind_of_answer() -> None:
    env = {JSON: key_file(), "CLOUD_ML_REGION": "us-east5,global", "GOOGLE_VERTEX_LOCATION": "eu"}
    found = build_providers(load_profiles(), env, [ConfiguredProvider(CLAUDE)], simulated=False).get(CLAUDE)
    assert found is not None and found.dialect == "anthropic" and found.configured
    base = "https://us-east5-aiplatform.googleapis.com/v1/projects/own-project/locations/us-east5/publishers/anthropic/models"
    native = "claude-sonnet-4-5@20250929"
    assert request_url(found.url, native, stream=False) == f"{base}/{native}:rawPredict"
    assert request_url(found.url, native, stream=True) == f"{base}/{native}:streamRawPredict"
    assert count_url(found) == f"{base}/count-tokens:rawPredict"
    (other,) = found.elsewhere
    assert other.url.startswith("https://aiplatform.googleapis.com/v1/projects/own-project/locations/global/")
    assert not found.quirks.model_in_body and found.quirks.add_params == {"anthropic_version": "vertex-2023-10-16"}


async def test_counting_at_vertex_is_signed() -> None:
    transport = issuer()
    (provider,) = (
        each
        for each in build_providers(
            load_profiles(), {JSON: key_file()}, [ConfiguredProvider(CLAUDE)], simulated=False
        ).all()
        if each.slug == CLAUDE
    )
    await Upstreams(transport, None, TIMEOUTS, Clock()).count_tokens(provider, b"{}", request_id="r")
    url, headers, _ = transport.posts[-1]
    assert url.endswith("/count-tokens:rawPredict") and headers["authorization"] == "Bearer t1"


def test_accounts_are_values() -> None:
    assert read_account(key_file(), SCOPE) == ACCOUNT and len({ACCOUNT, read_account(key_file(), SCOPE)}) == 1
    assert isinstance(ACCOUNT, ServiceAccount) and ACCOUNT.project == "own-project"
