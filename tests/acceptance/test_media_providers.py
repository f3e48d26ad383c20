"""Every provider whose profile offers a service beside chats is asked for it at its own address, in its own form."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from gatewayz.core.services import KIND_OF
from gatewayz.providers.profile import Profile, load_profiles
from tests.acceptance import spine
from tests.acceptance.media_house import form, paid, sound
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

# Providers of whom a test cannot say where they are by a base URL alone.
_ELSEWHERE = frozenset({"google-vertex"})
OFFERED = [
    (profile.slug, service)
    for profile in load_profiles().values()
    if profile.slug not in _ELSEWHERE
    for service in profile.ways
]
PRICES = {
    "chat": {"price_prompt_usd_per_mtok": 1, "price_completion_usd_per_mtok": 1},
    "embedding": {"price_prompt_usd_per_mtok": 1},
    "moderation": {"price_prompt_usd_per_mtok": 1},
    "rerank": {"price_search_usd": 0.001},
    "image": {"price_image_usd": 0.01},
    "audio_transcription": {"price_audio_usd_per_second": 0.001},
    "audio_speech": {"price_usd_per_million_characters": 10},
}
WAV = sound(1)
MODERATION = "openai/omni-moderation-latest"
# Models of the packaged catalog, who serves them, and nano-USD of the request below at the packaged price.
PACKAGED = [
    ("embeddings", "openai/text-embedding-3-small", "openai", 10 * 20),
    ("embeddings", "mistralai/codestral-embed", "mistral", 10 * 150),
    ("rerank", "cohere/rerank-v3.5", "cohere", 2_000_000),
    ("image_generations", "openai/dall-e-3", "openai", 40_000_000),
    ("image_generations", "openai/gpt-image-2", "openai", 5_000 + 30_000 * 6_240),
    ("image_generations", "google/imagen-4.0-generate-001", "google-ai-studio", 40_000_000),
    ("transcriptions", "openai/whisper-1", "openai", 100_000),
    ("speech", "openai/tts-1", "openai", 15_000),
    ("speech", "openai/tts-1-hd", "openai", 30_000),
    ("moderations", MODERATION, "openai", 0),
]
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "responses": ("/v1/responses", {"input": "a"}),
    "compact": ("/v1/responses/compact", {"input": "a"}),
    "embeddings": ("/v1/embeddings", {"input": ["a", "b"]}),
    "moderations": ("/v1/moderations", {"input": "a"}),
    "rerank": ("/v1/rerank", {"query": "a", "documents": ["a", "b"]}),
    "image_generations": ("/v1/images/generations", {"prompt": "a"}),
    "image_edits": ("/v1/images/edits", {"prompt": "a", "image": b"\x89PNG"}),
    "image_variations": ("/v1/images/variations", {"image": b"\x89PNG"}),
    "transcriptions": ("/v1/audio/transcriptions", {"file": WAV}),
    "translations": ("/v1/audio/translations", {"file": WAV}),
    "speech": ("/v1/audio/speech", {"input": "a", "voice": "b"}),
}
_MEMBERS = {
    "responses": "output", "compact": "output",
    "embeddings": "data", "moderations": "results", "rerank": "results", "image_generations": "data", "image_edits": "data",
    "image_variations": "data", "transcriptions": "text", "translations": "text",
}  # fmt: skip


def _prefix(profile: Profile) -> str:
    """The path of the profile's own base URL, with placeholders filled."""
    return urlsplit(profile.base_url).path.replace("{account_id}", "acc")


# What is said to these depends on the model; here on one that makes images and edits them, at Alibaba at once.
_IMAGE_MODELS = {
    "google-ai-studio": "imagen-image",
    "fal": "fal-ai/native/edit",
    "replicate": "google/nano-banana",
    "alibaba-cloud": "qwen-image-2.0",
}


def _native(slug: str, kind: str) -> str:
    """The provider's name of the model."""
    return _IMAGE_MODELS.get(slug, "native-image") if kind == "image" else f"native-{kind}"


def _config(upstream: FakeUpstream) -> str:
    texts = [spine.settings_toml(trial_credit_usd=0)]
    texts[0] += f'free_model_allowlist = ["{MODERATION}"]\n'
    slugs = dict.fromkeys(slug for slug, _ in OFFERED)
    for slug in slugs:
        base = upstream.url(slug, _prefix(load_profiles()[slug]))
        texts.append(f'[[providers]]\nslug = "{slug}"\nbase_url = "{base}"\napi_key = "sk-{slug}"\n')
    for slug, kind in dict.fromkeys((slug, KIND_OF[service]) for slug, service in OFFERED):
        price = "\n".join(f"{name} = {json.dumps(value)}" for name, value in PRICES[kind].items())
        texts.append(f'[[models]]\nid = "{slug}-test/{kind}"\nname = "x"\nkind = "{kind}"\n[[models.offers]]\n')
        texts.append(f'provider = "{slug}"\nnative_id = "{_native(slug, kind)}"\n{price}\n')
    return "\n".join(texts)


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """All providers at once."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway that knows all of them."""
    with LiveGateway(tmp_path_factory.mktemp("media-providers"), _config(upstream)) as live:
        yield live


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    """An account that can pay."""
    return gateway.customer(50)


@pytest.mark.parametrize(("slug", "service"), OFFERED)
def test_a_service_is_asked_for_where_the_profile_says(
    upstream: FakeUpstream, customer: Customer, slug: str, service: str
) -> None:
    path, asking = REQUESTS[service]
    asking = {"model": f"{slug}-test/{KIND_OF[service]}", **asking}
    if any(isinstance(value, bytes) for value in asking.values()):
        body, headers = form(asking)
    else:
        body, headers = json.dumps(asking).encode(), {}
    before = len(paid(customer))
    answer = customer.call("POST", path, body, **headers)
    assert answer.status_code == 200, answer.text
    if service != "speech":
        assert answer.json()[_MEMBERS[service]]
    profile = load_profiles()[slug]
    rule = profile.ways[service]
    native = _native(slug, KIND_OF[service])
    entry = [each for each in upstream.journal(slug) if each["method"] == "POST"][-1]  # of a job, the submission
    root = f"/p/{slug}" if rule.from_root else f"/p/{slug}{_prefix(profile)}"
    assert entry["path"] == root + rule.path.replace("{model}", native).replace("{+model}", native).replace(
        "{endpoint}", "multimodal-generation/generation"
    )
    assert native in json.dumps(entry["body"]) or native in entry["path"]
    credential = entry["headers"][profile.auth_header.lower()]
    assert credential == f"{profile.auth_scheme} sk-{slug}".strip()
    assert len(paid(customer)) == before + 1
    assert paid(customer)[-1] > 0


def test_base64_reaches_every_provider_that_hears_files(upstream: FakeUpstream, customer: Customer) -> None:
    text = base64.b64encode(WAV).decode()
    for slug, service in OFFERED:
        if service == "transcriptions":
            body = {"model": f"{slug}-test/audio_transcription", "audio": text}
            assert customer.call("POST", "/v1/audio/transcriptions/base64", body).status_code == 200
            assert upstream.journal(slug)[-1]["form"]["file"]["bytes"] == len(WAV)


@pytest.mark.parametrize(("service", "model", "slug", "nano"), PACKAGED)
def test_models_of_the_packaged_catalog_are_served_at_their_prices(
    upstream: FakeUpstream, gateway: LiveGateway, service: str, model: str, slug: str, nano: int
) -> None:
    customer = gateway.customer(5)
    path, asking = REQUESTS[service]
    if service == "transcriptions":
        body, headers = form({"model": model, **asking})
    else:
        body, headers = json.dumps({"model": model, **asking}).encode(), {}
    answer = customer.call("POST", path, body, **headers)
    assert answer.status_code == 200, answer.text
    assert upstream.journal()[-1]["persona"] == slug
    assert sum(paid(customer)) == nano
