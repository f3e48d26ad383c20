"""Finding models (5.5): lists, search, use, speed, comparisons, providers; each from what is really there."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.spine import eventually, model_toml, provider_toml, settings_toml
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

SLUGS = ("openai", "openrouter", "fireworks", "groq", "together")


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    texts = [settings_toml(), *(provider_toml(upstream, slug) for slug in SLUGS), provider_toml(upstream, "own")]
    texts += [
        model_toml("acme/quick", ("own",), price=(1, 1)),
        model_toml("acme/slow", ("own",), price=(1, 1)),
        model_toml("acme/unused", ("own",), price=(1, 1)),
        model_toml("acme/broken", ("own",), price=(1, 1)),
    ]
    with LiveGateway(tmp_path_factory.mktemp("discovery"), "".join(texts)) as live:
        yield live


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    return gateway.customer(100)


def get(gateway: LiveGateway, path: str) -> dict[str, Any]:
    answer = gateway.call("GET", path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(page: dict[str, Any]) -> list[str]:
    return [entry["id"] for entry in page["data"]]


def test_without_traffic_nothing_is_made_up(gateway: LiveGateway) -> None:
    for window in ("hour", "day", "week", "month", "24h"):
        page = get(gateway, f"/v1/models/trending?window={window}")
        assert (page["data"], page["total"]) == ([], 0)
    assert get(gateway, "/v1/models/low-latency")["data"] == []
    assert gateway.call("GET", "/v1/models/trending?window=decade").status_code == 422
    unique = get(gateway, "/v1/models/unique")
    assert {entry["fastest_offer"] is None for entry in unique["data"]} == {True}
    assert {entry["health_status"] for entry in get(gateway, "/v1/models")["data"]} == {"unknown"}
    summary = get(gateway, "/v1/gateways/summary")
    assert {(row["requests_24h"], row["error_rate_24h"], row["first_token_ms"]) for row in summary["data"]} == {
        (0, None, None)
    }


@pytest.mark.ac("AC-5.5.1")
def test_a_provider_shows_its_own_models_only(gateway: LiveGateway) -> None:
    page = get(gateway, "/v1/models?provider=fireworks")
    assert page["total"] > 20
    assert {entry["provider_slug"] for entry in page["data"]} == {"fireworks"}
    assert {tuple(entry["providers"]) for entry in page["data"]} == {("fireworks",)}


def test_filters_agree_with_what_they_show(gateway: LiveGateway) -> None:
    everything = {entry["id"]: entry for entry in get(gateway, "/v1/models")["data"]}
    tools = get(gateway, "/v1/models?capability=tools,vision")["data"]
    assert tools and all(entry["supports_tools"] and entry["supports_vision"] for entry in tools)
    assert len(tools) < len(everything)
    long = get(gateway, "/v1/models?min_context=500000&max_context=1500000")["data"]
    assert long and all(500_000 <= entry["context_length"] <= 1_500_000 for entry in long)
    cheap = get(gateway, "/v1/models?max_price=0.2&min_price=0.01")["data"]
    assert cheap and all(0.01e-6 <= float(entry["pricing"]["prompt"]) <= 0.2e-6 + 1e-12 for entry in cheap)
    own = get(gateway, "/v1/models?developer=openai")["data"]
    assert own and {entry["owned_by"] for entry in own} == {"openai"}
    for query in ("capability=telepathy", "developer=nobody", "provider=nobody", "health=splendid", "modality=smell"):
        page = get(gateway, f"/v1/models?{query}")
        assert (page["data"], page["total"]) == ([], 0), query
    assert get(gateway, "/v1/models?never_heard_of=1")["total"] == len(everything)


def test_sorts(gateway: LiveGateway) -> None:
    prices = [float(e["pricing"]["prompt"]) for e in get(gateway, "/v1/models?provider=groq&sort=price")["data"]]
    assert len(prices) > 5 and prices[0] <= prices[-1]
    contexts = [e["context_length"] or 0 for e in get(gateway, "/v1/models?sort=context")["data"]]
    assert contexts == sorted(contexts, reverse=True)
    forth, back = (ids(get(gateway, f"/v1/models?sort=name&order={order}")) for order in ("asc", "desc"))
    assert forth == back[::-1]
    assert gateway.call("GET", "/v1/models?sort=beauty").status_code == 422


@pytest.mark.ac("AC-5.5.2")
def test_search_finds_in_any_order_and_spelling_best_first(gateway: LiveGateway) -> None:
    page = get(gateway, "/v1/models/search?q=llama&limit=1000")
    assert page["total"] == len(page["data"]) > 5
    assert all("llama" in (entry["id"] + entry["name"]).lower() for entry in page["data"])
    scores = [entry["score"] for entry in page["data"]]
    assert scores == sorted(scores, reverse=True)
    wanted = "meta-llama/llama-3.3-70b-instruct"
    for text in (
        "llama 3.3 70b",
        "70b llama-3.3",
        "LLAMA_3.3_70B",
        "llama33 70b",
        "meta llama 3.3 70b instruct",
        "ｌｌａｍａ　３．３ 70b",
    ):
        assert wanted in ids(get(gateway, f"/v1/models/search?q={text}"))[:3], text
    for text in ("gpt-4o", "GPT4o", "gpt 4o", "openai/gpt-4o", "4o gpt"):
        assert "openai/gpt-4o" in ids(get(gateway, f"/v1/models/search?q={text}"))[:5], text
    assert ids(get(gateway, "/v1/models/search?q=gpt-4o"))[0] == "openai/gpt-4o"
    assert get(gateway, "/v1/models/search?q=gpt-4o&provider=groq")["data"] == []
    nothing = get(gateway, "/v1/models/search?q=gpt-4oooo")
    assert nothing["data"] == [] and "openai/gpt-4o" in nothing["suggestions"]
    assert get(gateway, "/v1/models/search?q=...")["data"] == []
    for text in ("...", "😀", "%00"):
        assert get(gateway, f"/v1/models?q={text}")["total"] == 0, "no name has it, so it is no filter that keeps all"
    assert get(gateway, "/v1/models?q=%20")["total"] == get(gateway, "/v1/models")["total"]
    assert get(gateway, "/v1/models/search")["total"] == 0


@pytest.mark.ac("AC-5.3.2")
def test_each_model_once_with_its_cheapest_offer(gateway: LiveGateway) -> None:
    page = get(gateway, "/v1/models/unique")
    assert len(set(ids(page))) == len(page["data"]) == page["total"] == get(gateway, "/v1/models")["total"]
    several = get(gateway, "/v1/models/unique?min_providers=3&sort=provider_count")["data"]
    counts = [entry["provider_count"] for entry in several]
    assert counts == sorted(counts, reverse=True) and min(counts) >= 3
    for entry in several[:10]:
        offers = get(gateway, f"/v1/models/{entry['id']}/compare")["offers"]
        assert {offer["provider"] for offer in offers} == set(entry["providers"])
        prices = [3 * float(o["pricing"]["prompt"]) + float(o["pricing"]["completion"]) for o in offers]
        low = entry["cheapest_offer"]["pricing"]
        assert 3 * float(low["prompt"]) + float(low["completion"]) == pytest.approx(min(prices))


@pytest.mark.ac("AC-5.5.4")
def test_gateways_have_name_color_priority_and_site(gateway: LiveGateway) -> None:
    page = get(gateway, "/v1/gateways")
    assert {entry["slug"] for entry in page["data"]} == {*SLUGS, "own"}
    assert page["total"] == len(SLUGS) + 1
    for entry in page["data"]:
        assert {"name", "color", "priority", "site_url"} <= set(entry)
        if entry["slug"] != "own":
            assert entry["name"] and entry["site_url"].startswith("https://") and entry["color"]
    places = [entry["priority"] for entry in page["data"]]
    assert places == sorted(places)
    for path in ("/v1/provider", "/v1/providers"):
        counted = {entry["slug"]: entry["model_count"] for entry in get(gateway, path)["data"]}
        assert counted["own"] == 4
        assert counted["groq"] == get(gateway, "/v1/models?provider=groq")["total"]


def test_developers(gateway: LiveGateway) -> None:
    page = get(gateway, "/v1/developers?limit=1000")
    acme = next(entry for entry in page["data"] if entry["id"] == "acme")
    assert (acme["model_count"], acme["providers"]) == (4, ["own"])
    assert sum(entry["model_count"] for entry in page["data"]) == get(gateway, "/v1/models")["total"]
    assert ids(get(gateway, "/v1/developers/acme/models")) == ["acme/broken", "acme/quick", "acme/slow", "acme/unused"]
    assert get(gateway, "/v1/developers/nobody/models")["total"] == 0


@pytest.mark.ac("AC-5.5.3", "AC-5.5.5")
def test_use_and_speed_are_what_was_recorded(gateway: LiveGateway, upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("own", default={"delay_s": 0.4}, model="native-own")
    for _ in range(2):
        assert customer.chat("acme/slow").status_code == 200
    upstream.script("own", default={}, model="native-own")
    for _ in range(5):
        body = {"model": "acme/quick", "stream": True, "messages": [{"role": "user", "content": "x"}]}
        assert customer.call("POST", "/v1/chat/completions", body).status_code == 200
    upstream.script("own", default={"status": 400}, model="native-own")
    assert customer.chat("acme/broken").status_code >= 400

    def counted() -> dict[str, int]:
        return {e["id"]: e["requests"] for e in get(gateway, "/v1/models/trending?window=hour")["data"]}

    eventually(lambda: counted().get("acme/quick") == 5 and counted().get("acme/slow") == 2, "all requests counted", 60)
    page = get(gateway, "/v1/models/trending")
    assert ids(page)[:2] == ["acme/quick", "acme/slow"] and [e["rank"] for e in page["data"]][:2] == [1, 2]
    assert page["data"][0]["tokens"] == 5 * 15 and "acme/unused" not in ids(page)
    fast = {entry["id"]: entry for entry in get(gateway, "/v1/models/low-latency")["data"]}
    assert set(fast) <= {"acme/quick", "acme/slow"} and fast["acme/slow"]["latency_ms"] >= 400
    assert fast["acme/quick"]["first_token_ms"] < fast["acme/slow"]["latency_ms"]
    assert ids(get(gateway, "/v1/models/low-latency"))[0] == "acme/quick"
    compared = get(gateway, "/v1/models/acme/slow/compare")
    (offer,) = compared["offers"]
    assert offer["requests_24h"] == 2 and offer["latency_ms"] >= 400 and offer["health_status"] == "healthy"
    assert offer["context_length"] == 128_000 and offer["pricing"]["prompt"] == "0.000001"
    assert compared["fastest_provider"] == "own"
    assert next(e for e in get(gateway, "/v1/models/unique?developer=acme")["data"] if e["id"] == "acme/slow")[
        "fastest_offer"
    ]
    shown = {entry["id"]: entry["health_status"] for entry in get(gateway, "/v1/models?developer=acme")["data"]}
    assert (shown["acme/quick"], shown["acme/unused"]) == ("healthy", "unknown")
    assert ids(get(gateway, "/v1/models?sort=popularity"))[:2] == ["acme/quick", "acme/slow"]
    own = next(row for row in get(gateway, "/v1/gateways/summary")["data"] if row["slug"] == "own")
    assert own["requests_24h"] >= 7 and own["model_count"] == 4
    healthy = get(gateway, "/catalog/models-db/health/healthy")
    assert {"acme/quick", "acme/slow"} <= set(ids(healthy)) and "acme/unused" not in ids(healthy)
    assert get(gateway, "/catalog/models-db/health/splendid")["total"] == 0


@pytest.mark.ac("AC-5.5.5")
def test_comparing_several(gateway: LiveGateway) -> None:
    body = {"models": ["gpt-4o", "meta-llama/llama-3.3-70b-instruct", "no-such-model"]}
    answer = gateway.call("POST", "/v1/models/batch-compare", body)
    assert answer.status_code == 200 and answer.json()["not_found"] == ["no-such-model"]
    gpt, llama = answer.json()["data"]
    assert gpt["id"] == "openai/gpt-4o" and {o["provider"] for o in gpt["offers"]} == {"openai", "openrouter"}
    assert len(llama["offers"]) >= 3
    for offer in llama["offers"]:
        assert {"pricing", "latency_ms", "context_length", "health_status", "price_source", "price_since"} <= set(offer)
    assert gateway.call("POST", "/v1/models/batch-compare", {"models": []}).status_code == 422
    assert gateway.call("GET", "/v1/models/no/such/compare").status_code == 404
    pinned = get(gateway, "/v1/models/groq/llama-3.3-70b-instruct/compare")
    assert pinned["id"] == "meta-llama/llama-3.3-70b-instruct" and len(pinned["offers"]) == len(llama["offers"])


@pytest.mark.ac("AC-4.4.1")
def test_every_page_can_be_kept_and_asked_for_again(gateway: LiveGateway) -> None:
    for path in (
        "/v1/models", "/v1/models/unique", "/v1/models/search?q=gpt", "/v1/gateways", "/v1/developers", "/v1/provider",
        "/v1/gateways/summary", "/v1/models/trending", "/v1/models/low-latency", "/v1/models/openai/gpt-4o",
        "/v1/models/openai/gpt-4o/compare",
    ):  # fmt: skip
        first = gateway.call("GET", path)
        assert first.headers["cache-control"] == "public, max-age=300", path
        again = gateway.call("GET", path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), path
    took = min(gateway.call("GET", "/v1/models").elapsed.total_seconds() for _ in range(5))
    assert took < 0.1, took


def manual(**more: Any) -> dict[str, Any]:
    offer = {
        "provider": "own",
        "native_id": "by-hand",
        "price_prompt_usd_per_mtok": 1,
        "price_completion_usd_per_mtok": 2,
    }
    return {"id": "acme/by-hand", "context_length": 5000, "modality": "text->text", "offers": [offer], **more}


def test_rows_are_kept_by_hand(gateway: LiveGateway, customer: Customer) -> None:
    def call(method: str, path: str, body: Any = None) -> Any:
        return gateway.call(method, f"/catalog/models-db{path}", body, key=gateway.admin_key)

    def served() -> bool:
        return gateway.call("GET", "/v1/models/acme/by-hand").status_code == 200

    made = call("POST", "", manual())
    assert made.status_code == 201, made.text
    assert made.json()["rows"][0]["source"] == "manual:acme/by-hand"
    eventually(served, "the new model", 20)
    assert customer.chat("acme/by-hand").status_code == 200
    assert call("POST", "", manual()).status_code == 409
    wrong = call("PUT", "/acme/by-hand", manual(colour="red", offers=[{"provider": "nobody"}]))
    assert wrong.status_code == 422 and len(wrong.json()["error"]["details"]["mistakes"]) == 2
    assert call("PUT", "/acme/by-hand", manual(context_length=7000)).status_code == 200
    eventually(lambda: get(gateway, "/v1/models/acme/by-hand")["context_length"] == 7000, "the new length", 20)
    assert call("POST", "/acme/by-hand/deactivate", {"reason": "test"}).json()["changed"] is True
    assert call("POST", "/acme/by-hand/deactivate").json()["changed"] is False
    eventually(lambda: not served(), "the model to be hidden", 20)
    assert customer.chat("acme/by-hand").status_code == 404
    assert call("GET", "/acme/by-hand").json()["switched_off"] is True
    assert call("POST", "/acme/by-hand/activate").json()["changed"] is True
    eventually(served, "the model to be back", 20)
    assert call("DELETE", "/acme/by-hand").status_code == 200
    eventually(lambda: not served(), "the model to be gone", 20)
    assert call("DELETE", "/acme/by-hand").status_code == 404
    assert call("POST", "/no/such/deactivate").status_code == 404
    for method, path in (("POST", ""), ("PUT", "/x/y"), ("DELETE", "/x/y"), ("POST", "/x/y/activate")):
        answer = gateway.call(method, f"/catalog/models-db{path}", {}, key=customer.key)
        assert answer.status_code == 403, (method, path)


def test_a_hand_outweighs_every_list(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    """What an administrator states of a model that the packaged catalog has, counts; without it, the packaged shows again."""
    before = get(gateway, "/v1/models?q=gpt-4o-mini&provider=openai")["data"][0]["pricing"]["prompt"]
    offer = {
        "provider": "openai",
        "native_id": "gpt-4o-mini",
        "price_prompt_usd_per_mtok": 7,
        "price_completion_usd_per_mtok": 9,
    }
    gateway.admin("PUT", "/catalog/models-db/openai/gpt-4o-mini", {"offers": [offer]})

    def price() -> str:
        return str(get(gateway, "/v1/models?q=gpt-4o-mini&provider=openai")["data"][0]["pricing"]["prompt"])

    eventually(lambda: price() == "0.000007", "the price by hand", 20)
    upstream.feed("openai", {"data": [{"id": "gpt-4o-mini"}]})
    gateway.admin("POST", "/admin/model-sync/provider/openai")
    assert price() == "0.000007"
    gateway.admin("DELETE", "/catalog/models-db/openai/gpt-4o-mini")
    eventually(lambda: price() == before, "the packaged price", 20)


def test_stored_rows_are_listed(gateway: LiveGateway) -> None:
    page = get(gateway, "/catalog/models-db?source=config&limit=2")
    assert page["total"] == 4 and page["returned"] == 2 and page["has_more"]
    assert {row["source"] for row in page["data"]} == {"config"}
    gpt = get(gateway, "/catalog/models-db/openai/gpt-4o")
    assert gpt["served"] and {row["source"] for row in gpt["rows"]} == {"seed"} and gpt["offers"]
    assert gateway.call("GET", "/catalog/models-db/no/such").status_code == 404
    assert json.dumps(get(gateway, "/catalog/models-db?q=GPT-4o&active=true")["data"])
