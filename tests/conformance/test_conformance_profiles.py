"""Every packaged profile x every capability, at its own address, signed with its own credential; every quirk on the wire.

All profiles are taken from `load_profiles`, all quirks from the type: one that is new is tried here, or fails here.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gatewayz.providers.profile import CHAT_PATHS, Profile, load_profiles
from gatewayz.providers.quirks import QUIRK_NAMES
from tests.conformance.front import Front, address, fresh_front, key_of, native_of, signed_for, switched_on
from tests.conformance.hear import Upstream
from tests.conformance.house import SETTINGS, cost_usd, model_toml, toml
from tests.conformance.ingress import INGRESSES
from tests.conformance.profile_table import CAPABILITIES
from tests.conformance.quirk_proofs import HARMLESS, ODD_VALUES, PROOFS, Provider
from tests.conformance.rows import PARIS, ROME, TIME, WEATHER
from tests.conformance.talk import Reply, Talk, Usage, said
from tests.conformance.upstreams import UPSTREAMS
from tests.fakes.handle import FakeUpstream
from tests.live import Customer

# Those that answer chats; the services beside them are tried where their dialects are.
PROFILES = {slug: profile for slug, profile in load_profiles().items() if profile.chats}
SIGNED = [profile for profile in PROFILES.values() if signed_for(profile)]
OPENAI = INGRESSES["openai"]
# How a provider of each dialect is heard and scripted; it is asked in Chat Completions, which all of them must serve.
DRIVERS: dict[str, Upstream] = {
    each: UPSTREAMS[each] for each in ("openai", "anthropic", "gemini", "bedrock", "cohere")
} | {
    "openai_responses": UPSTREAMS["responses"],
}
ORDINARY, ODD = "ordinary", "odd"
EACH = pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
QUIRKS = [(slug, name) for slug, profile in PROFILES.items() for name in profile.quirk_reasons]
ODD_QUIRKS = [(f"{ODD}-{dialect}", name) for dialect, values in ODD_VALUES.items() for name in values]
_PATIENCE_S = 30.0


def _service_account() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    members = {"type": "service_account", "project_id": "acme", "private_key_id": "k1", "private_key": pem}
    members |= {"client_email": "gateway@acme.example", "token_uri": "https://oauth2.googleapis.com/token"}
    return json.dumps(members)


SERVICE_ACCOUNT = _service_account()


def _configuration() -> str:
    """Settings, a model for each profile, and for each dialect a provider without quirks and one full of them."""
    texts = [toml("[settings]", **SETTINGS)]
    models = [(slug, native_of(profile)) for slug, profile in PROFILES.items()]
    for dialect in DRIVERS:
        for kind in (ORDINARY, ODD):
            slug = f"{kind}-{dialect}"
            base = f"https://{slug}.example" + ("/v1" if dialect != "bedrock" else "")
            texts.append(toml("[[providers]]", slug=slug, base_url=base, dialect=dialect, api_key=f"key-of-{slug}"))
            models.append((slug, _native(slug)))
        texts += [
            "[providers.quirks]\n",
            *(f"{name} = {_inline(each)}\n" for name, each in ODD_VALUES[dialect].items()),
        ]
    texts += [model_toml(f"profile/{slug}", slug, native) for slug, native in models]
    return "".join(texts)


def _native(slug: str) -> str:
    """A name of a model at a provider without a profile; what Bedrock is told depends on the family."""
    return "anthropic.claude-native-4-5" if slug.endswith("bedrock") else f"native-{slug}"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_inline(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeUpstream]:
    """The fake upstream, which plays every host."""
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def front(fake: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A gateway with every profile switched on."""
    env = {name: value for profile in PROFILES.values() for name, value in switched_on(profile).items()}
    with fresh_front(tmp_path_factory.mktemp("front"), fake, _configuration(), env) as running:
        yield running


@pytest.fixture(scope="module")
def signed_front(fake: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A gateway with the profiles that only a service account can use; it would change how others are used."""
    env = {profile.account.json[0]: SERVICE_ACCOUNT for profile in SIGNED if profile.account is not None}
    config = _configuration() + "".join(toml("[[providers]]", slug=profile.slug) for profile in SIGNED)
    with fresh_front(tmp_path_factory.mktemp("signed"), fake, config, env) as running:
        yield running


@pytest.fixture(scope="module")
def customer(front: Front) -> Customer:
    """An account that can pay."""
    return front.customer(100)


@pytest.fixture(scope="module")
def signed_customer(signed_front: Front) -> Customer:
    """An account that can pay at the other gateway."""
    return signed_front.customer(100)


def _at(request: pytest.FixtureRequest, slug: str) -> tuple[Front, Customer]:
    """The gateway at which this provider is switched on, and an account there."""
    which = "signed_" if slug in {profile.slug for profile in SIGNED} else ""
    return request.getfixturevalue(f"{which}front"), request.getfixturevalue(f"{which}customer")


@pytest.fixture(autouse=True)
def _fresh(fake: FakeUpstream) -> None:
    fake.reset()


def _ask(
    front: Front, customer: Customer, profile: Profile, talk: Talk, reply: Reply, *, stream: bool, **script: Any
) -> httpx.Response:
    """One chat with a provider that is told what to answer."""
    host = urlsplit(address(profile, stream=stream)).netloc
    # One that may not be asked for usage in a stream tells it on its own.
    own = {} if profile.quirks.stream_options else {"usage_when": "own"}
    told = {**DRIVERS[profile.dialect].script(reply), **own, **script}
    front.fake.script(host, told, model=native_of(profile))
    body = OPENAI.write(talk, f"profile/{profile.slug}", stream)
    return customer.call("POST", OPENAI.path, body)


def _heard(front: Front, profile: Profile) -> dict[str, Any]:
    """The one request that the provider got."""
    (entry,) = front.chats()
    assert urlsplit(front.asked[-1]).netloc in entry["path"] and entry["model"] == native_of(profile)
    found: dict[str, Any] = entry
    return found


def _served(
    front: Front, customer: Customer, profile: Profile, talk: Talk, reply: Reply, *, stream: bool, **script: Any
) -> None:
    """The provider hears the talk at its address, signed by its credential; the client gets the reply."""
    driver = DRIVERS[profile.dialect]
    answer = _ask(front, customer, profile, talk, reply, stream=stream, **script)
    assert answer.status_code == 200, answer.text
    entry = _heard(front, profile)
    assert front.asked[-1] == address(profile, stream=stream)
    scheme = f"{profile.auth_scheme} " if profile.auth_scheme else ""
    signature = entry["headers"][profile.auth_header.lower()]
    if signed_for(profile):
        assert re.fullmatch(r"Bearer ya29\.fake-\d+", signature)
    else:
        assert signature == scheme + key_of(profile)
    assert all(entry["headers"][name.lower()] == value for name, value in profile.headers.items())
    credentials = {"authorization", "x-api-key", "api-key", "x-goog-api-key"} - {profile.auth_header.lower()}
    assert not credentials & entry["headers"].keys()
    assert driver.hear(entry["body"]) == talk
    assert OPENAI.read(OPENAI.message(answer)) == driver.says(reply)


def _chat(front: Front, customer: Customer, profile: Profile) -> None:
    _served(
        front, customer, profile, Talk((said("Hello!"),), system="Be brief."), Reply(("Hello there.",)), stream=False
    )


def _stream(front: Front, customer: Customer, profile: Profile) -> None:
    _served(front, customer, profile, Talk((said("Hello!"),), temperature=0.5), Reply(("Hello there.",)), stream=True)


def _tools(front: Front, customer: Customer, profile: Profile) -> None:
    reply = Reply(("Looking.",), calls=(PARIS,), finish="tool_calls")
    for stream in (False, True):
        front.fake.reset()
        _served(front, customer, profile, Talk((said("Weather?"),), tools=(WEATHER,)), reply, stream=stream)


def _parallel(front: Front, customer: Customer, profile: Profile) -> None:
    talk, reply = Talk((said("?"),), tools=(WEATHER, TIME)), Reply(("",), calls=(PARIS, ROME), finish="tool_calls")
    for stream in (False, True):
        front.fake.reset()
        _served(front, customer, profile, talk, reply, stream=stream, interleave=profile.dialect == "openai")


def _errors(front: Front, customer: Customer, profile: Profile) -> None:
    """Whose fault it is decides what the client is told: its own mistakes, never those of the operator's account."""
    for status, told in ((400, 400), (401, 503), (429, 429), (500, 502)):
        front.fake.reset()
        answer = _ask(front, customer, profile, Talk((said("Hello!"),)), Reply(), stream=False, status=status)
        error = answer.json()["error"]
        assert answer.status_code == told, (status, answer.text)
        assert error["message"] and error["code"] and key_of(profile) not in answer.text


def _usage(front: Front, customer: Customer, profile: Profile) -> None:
    for stream in (False, True):
        payer = front.customer(1)
        front.fake.reset()
        reply = Reply(("Hi.",), usage=Usage(1000, 50, cached=600))
        used = DRIVERS[profile.dialect].says(reply).usage
        _served(front, payer, profile, Talk((said("Hello!"),)), reply, stream=stream)
        rows = [row["amount_usd"] for row in payer.transactions() if row["type"] == "api_usage"]
        assert rows == [pytest.approx(-cost_usd(used))]


def _silent_usage(front: Front, customer: Customer, profile: Profile) -> None:
    for stream in (False, True):
        payer = front.customer(1)
        answer = _ask(front, payer, profile, Talk((said("Hello!"),)), Reply(("x" * 400,)), stream=stream, usage=None)
        told = OPENAI.message(answer)["usage"]
        assert told["usage_estimated"] is True and told["completion_tokens"] == 100
        rows = [row["amount_usd"] for row in payer.transactions() if row["type"] == "api_usage"]
        assert rows == [pytest.approx(-(told["prompt_tokens"] * 3 + 100 * 15) / 1e6)]


def _cancel(front: Front, customer: Customer, profile: Profile) -> None:
    host = urlsplit(address(profile, stream=True)).netloc
    told = {**DRIVERS[profile.dialect].script(Reply(("One two three. " * 100,))), "chunk_delay_s": 0.03}
    front.fake.script(host, told, model=native_of(profile))
    body = OPENAI.write(Talk((said("Count."),)), f"profile/{profile.slug}", True)
    with httpx.stream(
        "POST", front.base_url + OPENAI.path, json=body, headers={"Authorization": f"Bearer {customer.key}"}, timeout=30, verify=False
    ) as answer:  # fmt: skip
        next(answer.iter_bytes())
    front.fake.wait_until(host, "closed_early", True, timeout_s=_PATIENCE_S)


CHECKS: dict[str, Callable[[Front, Customer, Profile], None]] = {
    "chat": _chat,
    "stream": _stream,
    "tools": _tools,
    "parallel tools": _parallel,
    "errors": _errors,
    "usage": _usage,
    "silence about usage": _silent_usage,
    "cancel": _cancel,
}


def test_all_capabilities_are_checked() -> None:
    assert list(CHECKS) == list(CAPABILITIES)


@EACH
@pytest.mark.parametrize("capability", CHECKS)
def test_profile(request: pytest.FixtureRequest, profile: Profile, capability: str) -> None:
    CHECKS[capability](*_at(request, profile.slug), profile)


def _provider(front: Front, customer: Customer, slug: str) -> Provider:
    profile = PROFILES.get(slug)
    model = f"profile/{slug}"
    if profile is None:
        return Provider(front, customer, model, f"{slug}.example", _native(slug), slug.partition("-")[2])
    host = urlsplit(address(profile, stream=False)).netloc
    return Provider(front, customer, model, host, native_of(profile), profile.dialect)


@pytest.mark.parametrize(("slug", "name"), QUIRKS + ODD_QUIRKS)
def test_quirk(request: pytest.FixtureRequest, slug: str, name: str) -> None:
    """A provider with the quirk behaves as its value says; one of the same dialect without it does not."""
    front, customer = _at(request, slug)
    at = _provider(front, customer, slug)
    if slug in PROFILES:
        value = getattr(PROFILES[slug].quirks, name)
    else:
        value = ODD_VALUES[at.dialect][name]
    assert PROOFS[name](at, value), f"{slug} is not spoken to as {name} = {value!r} says"
    usual = _provider(front, customer, f"{ORDINARY}-{at.dialect}")
    assert not PROOFS[name](usual, value), f"{name} = {value!r} changes nothing"


def test_every_quirk_has_a_proof() -> None:
    assert PROOFS.keys() == QUIRK_NAMES
    assert {name for values in ODD_VALUES.values() for name in values} == QUIRK_NAMES
    dropped = {name for profile in PROFILES.values() for name in profile.quirks.drop_params}
    assert dropped <= HARMLESS.keys()


def test_every_dialect_of_a_profile_has_a_driver() -> None:
    assert DRIVERS.keys() == CHAT_PATHS.keys() == ODD_VALUES.keys()
    assert {profile.dialect for profile in PROFILES.values()} <= DRIVERS.keys()


def test_no_two_profiles_share_a_host_in_one_gateway() -> None:
    hosts = [(signed_for(profile), urlsplit(profile.base_url).netloc) for profile in PROFILES.values()]
    assert len(hosts) == len(set(hosts))


def test_providers_without_a_profile_are_told_with_the_reason() -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "guides" / "adding-a-provider.md"
    listed = guide.read_text(encoding="utf-8").partition("## Providers without a profile")[2]
    without = dict(re.findall(r"^\| `([\w-]+)` \| (.+) \|$", listed, re.M))
    assert without and all(without.values())
    assert not without.keys() & load_profiles().keys(), "this one has a profile now"


def test_locations_of_a_service_account(fake: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Vertex at each kind of location: its host, its path, and a signature by a token that was issued for it."""
    profile = PROFILES["google-vertex"]
    assert profile.account is not None
    hosts = {
        "global": "aiplatform.googleapis.com",
        "europe-west4": "europe-west4-aiplatform.googleapis.com",
        "eu": "aiplatform.eu.rep.googleapis.com",
        "us": "aiplatform.us.rep.googleapis.com",
    }
    assert set(profile.account.hosts) - {"*"} <= hosts.keys()
    env = {profile.account.json[0]: SERVICE_ACCOUNT, profile.account.location[0]: ",".join(hosts)}
    config = toml("[settings]", **SETTINGS, failover_attempts=len(hosts))
    config += model_toml("profile/google-vertex", "google-vertex", native_of(profile))
    *failing, last = hosts.values()
    for host in failing:
        fake.script(host, {"status": 503})
    with fresh_front(tmp_path_factory.mktemp("vertex"), fake, config, env) as front:
        body = OPENAI.write(Talk((said("Hello!"),)), "profile/google-vertex", True)
        answer = front.customer(1).call("POST", OPENAI.path, body)
        assert OPENAI.read(OPENAI.message(answer)).texts == (f"Hello from {last}",)
        path = f"publishers/google/models/{native_of(profile)}:streamGenerateContent?alt=sse"
        assert front.asked == [
            "https://oauth2.googleapis.com/token",
            *(f"https://{host}/v1/projects/acme/locations/{place}/{path}" for place, host in hosts.items()),
        ]
    token, *calls = [entry for entry in fake.journal() if entry["method"] == "POST"]
    assert token["claims"]["scope"] == profile.account.scope and token["claims"]["iss"] == "gateway@acme.example"
    assert {call["headers"]["authorization"] for call in calls} == {f"Bearer ya29.fake-{token['number']}"}
