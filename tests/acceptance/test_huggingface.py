"""What Hugging Face says (5.4): asked once an hour, and nothing fails without it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.spine import eventually, metric, model_toml, provider_toml, settings_toml
from tests.fakes.handle import FakeUpstream
from tests.live import LiveGateway

LLAMA = {
    "id": "meta-llama/Llama-X", "author": "meta-llama", "downloads": 123, "downloadsAllTime": 999, "likes": 7,
    "pipeline_tag": "text-generation", "library_name": "transformers", "gated": "manual", "tags": ["llama"],
    "safetensors": {"total": 8_030_261_248},
    "inferenceProviderMapping": {"groq": {"status": "live"}, "old": {"status": "staging"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeUpstream]:
    """Never emptied: the gateway asks it in the background at any time, and remembers for an hour what is not there."""
    with FakeUpstream() as fake:
        fill(fake)
        yield fake


def fill(hub: FakeUpstream) -> None:
    hub.feed("hf", LLAMA, path="/api/models/meta-llama/Llama-X")
    hub.feed("hf", {"avatarUrl": "https://cdn.example/llama.png"}, path="/api/organizations/meta-llama/overview")
    hub.feed("hf", [LLAMA, {**LLAMA, "id": "meta-llama/Llama-Y"}], path="/api/models")
    hub.feed("hf", "# Card\n\nHello", path="/meta-llama/Llama-X/raw/main/README.md")
    tree = [{"type": "file", "path": "config.json", "size": 10}, {"type": "directory", "path": "x"}]
    hub.feed("hf", tree, path="/api/models/meta-llama/Llama-X/tree/main")
    hub.feed("hf", {"error": "no"}, path="/api/models/gone/gone", status=404)
    hub.feed("hf", {"error": "no"}, path="/api/models/down/down", status=503)


@pytest.fixture(scope="module")
def gateway(hub: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    config = settings_toml() + provider_toml(hub, "own")
    for model, name in (("llama", "meta-llama/Llama-X"), ("gone", "gone/gone"), ("down", "down/down")):
        config += model_toml(f"acme/{model}", ("own",), huggingface_id=name)
    config += model_toml("acme/closed", ("own",))
    env = {
        "HF_ENDPOINT": hub.url("hf"),
        "HF_TOKEN": "hf-secret",
        "GATEWAYZ_HUGGINGFACE_PER_MIN": "100000",
        "GATEWAYZ_HUGGINGFACE_ENRICHMENT": "true",
    }
    with LiveGateway(tmp_path_factory.mktemp("hf"), config, env) as live:
        yield live


def detail(gateway: LiveGateway, model: str) -> Any:
    answer = gateway.call("GET", f"/api/models/detail?model_id={model}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.ac("AC-5.4.1")
def test_details_hold_what_hugging_face_says(gateway: LiveGateway) -> None:
    found = detail(gateway, "acme/llama")
    assert found["id"] == "acme/llama" and found["offers"][0]["provider"] == "own" and found["pricing"]
    there = found["huggingface"]
    assert (there["downloads"], there["likes"], there["parameters"]) == (123, 7, 8_030_261_248)
    assert (there["author"], there["avatar_url"]) == ("meta-llama", "https://cdn.example/llama.png")
    assert there["inference_providers"] == ["groq"] and there["gated"] is True


@pytest.mark.ac("AC-5.4.1")
@pytest.mark.parametrize("model", ["acme/closed", "acme/gone", "acme/down"])
def test_without_them_the_section_is_null_and_the_call_succeeds(gateway: LiveGateway, model: str) -> None:
    found = detail(gateway, model)
    assert found["huggingface"] is None and found["offers"]
    assert gateway.call("GET", "/api/models/detail?model_id=no/such").status_code == 404


@pytest.mark.ac("AC-5.4.2")
def test_a_repeat_asks_nobody(gateway: LiveGateway, hub: FakeUpstream) -> None:
    detail(gateway, "acme/llama")
    detail(gateway, "acme/gone")

    def asked() -> int:
        """The background asks about other models meanwhile: the token is a provider's key as well."""
        return sum("Llama-X" in entry["path"] or "gone" in entry["path"] for entry in hub.journal("hf"))

    before = asked()
    for _ in range(3):
        assert detail(gateway, "acme/llama")["huggingface"]["downloads"] == 123
        assert detail(gateway, "acme/gone")["huggingface"] is None
        assert gateway.call("GET", "/huggingface/models/meta-llama/Llama-X/details").status_code == 200
    assert asked() == before


def test_a_failure_is_not_repeated_at_once(gateway: LiveGateway, hub: FakeUpstream) -> None:
    detail(gateway, "acme/down")
    before = len([entry for entry in hub.journal("hf") if "/down/down" in entry["path"]])
    for _ in range(3):
        answer = gateway.call("GET", "/huggingface/models/down/down/details")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "huggingface_unavailable")
    assert len([entry for entry in hub.journal("hf") if "/down/down" in entry["path"]]) == before


def test_the_read_endpoints(gateway: LiveGateway, hub: FakeUpstream) -> None:
    for path in ("discovery?task=text-generation", "search?q=llama", "authors/meta-llama/models"):
        page = gateway.call("GET", f"/huggingface/{path}").json()
        assert [entry["id"] for entry in page["data"]] == ["meta-llama/Llama-X", "meta-llama/Llama-Y"]
        assert page["data"][0]["downloads"] == 123
    card = gateway.call("GET", "/huggingface/models/meta-llama/Llama-X/card")
    assert card.text == "# Card\n\nHello" and card.headers["content-type"].startswith("text/markdown")
    files = gateway.call("GET", "/huggingface/models/meta-llama/Llama-X/files").json()
    assert files["data"] == [{"path": "config.json", "size_bytes": 10}]
    missing = gateway.call("GET", "/huggingface/models/gone/gone/details")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "huggingface_not_found")
    for bad in ("..%2f..%2fetc/passwd", "one-part", "a/b/c"):
        assert gateway.call("GET", f"/huggingface/models/{bad}/details").status_code in (400, 404)
    for entry in hub.journal("hf"):
        assert entry["headers"]["authorization"] == "Bearer hf-secret"


def test_models_are_enriched_in_the_background(gateway: LiveGateway, hub: FakeUpstream) -> None:
    def metrics() -> Any:
        page = gateway.call("GET", "/v1/models?q=llama&provider=own").json()
        return page["data"][0]["huggingface_metrics"]

    found = eventually(metrics, "the stored facts", 90)
    assert (found["downloads"], found["likes"], found["inference_providers"]) == (123, 7, ["groq"])
    assert metric(gateway, "cache_entries", cache="huggingface") > 0


def test_it_can_be_switched_off(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> None:
    config = settings_toml() + provider_toml(upstream, "own")
    config += model_toml("acme/llama", ("own",), huggingface_id="meta-llama/Llama-X")
    with LiveGateway(tmp_path_factory.mktemp("off"), config, {"HF_ENDPOINT": upstream.url("hf")}) as live:
        fill(upstream)
        assert detail(live, "acme/llama")["huggingface"] is None
        answer = live.call("GET", "/huggingface/search?q=x")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "feature_unavailable")
        assert upstream.journal("hf") == []
