"""A search of the web for every client: `:online` and the plugin `web` ask the provider for its own, at its own price."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance import spine
from tests.acceptance.spine import model_toml, provider_toml, settings_toml
from tests.events import events
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway, fresh_home

CLAUDE, GPT, GEMINI, OLD_GEMINI = "acme/claude", "acme/gpt", "acme/gemini", "acme/old-gemini"
ROUTED, DEAF, MIXED, UNPRICED, SONAR, FREE = (
    "acme/routed", "acme/deaf", "acme/mixed", "acme/unpriced", "acme/sonar", "acme/some:free",
)  # fmt: skip
EXPLAIN = {"X-Gatewayz-Explain": "1"}
PLUGIN = {"id": "web"}
SOURCE = {"url": "https://news.example/today", "title": "Today"}
# What each model is called at whom, and USD of a search there.
NATIVE = {
    CLAUDE: ("anthropic", "claude-sonnet-4-5", 0.01),
    GPT: ("openai", "gpt-5", 0.01),
    GEMINI: ("google-ai-studio", "gemini-3-flash-preview", 0.014),
    OLD_GEMINI: ("google-ai-studio", "gemini-2.5-flash", 0.035),
    ROUTED: ("openrouter", "maker/model", 0.02),
    SONAR: ("perplexity", "sonar", 0.005),
}


def _config(upstream: FakeUpstream) -> str:
    texts = [settings_toml(trial_credit_usd=0)]
    texts.append(provider_toml(upstream, "anthropic", "anthropic"))
    texts.append(provider_toml(upstream, "openai"))
    texts.append(provider_toml(upstream, "google-ai-studio", "gemini", base_url=upstream.url("google-ai-studio")))
    texts.append(provider_toml(upstream, "openrouter"))
    texts.append(provider_toml(upstream, "perplexity", price_web_search_usd=0.005))
    texts.append(provider_toml(upstream, "first", priority=1))
    texts.append(provider_toml(upstream, "own", "openai_responses", web_search="responses", price_web_search_usd=0.003))
    for model, (slug, native, price) in NATIVE.items():
        text = model_toml(model, (slug,)).replace(f"native-{slug}", native)
        texts.append(text + (f"price_web_search_usd = {price}\n" if slug == "openrouter" else ""))
    texts.append(model_toml(DEAF, ("first",)))
    texts.append(model_toml(MIXED, ("first", "anthropic")).replace("native-anthropic", "claude-opus-4-1"))
    texts.append(model_toml(UNPRICED, ("openrouter",)))
    texts.append(model_toml(FREE, ("own",), price=(0, 0)))
    return "".join(texts)


@pytest.fixture(scope="module")
def house() -> Iterator[spine.Spine]:
    with FakeUpstream() as upstream, LiveGateway(fresh_home(), _config(upstream)) as gateway:
        yield spine.Spine(upstream, gateway)


@pytest.fixture
def upstream(house: spine.Spine) -> FakeUpstream:
    house.upstream.reset()
    return house.upstream


@pytest.fixture
def customer(house: spine.Spine, upstream: FakeUpstream) -> Customer:
    return house.gateway.customer(5)


def chat(customer: Customer, model: str, *, path: str = "/v1/chat/completions", **more: Any) -> Any:
    return customer.call("POST", path, spine.chat_body(model, **more))


def charged(customer: Customer) -> float:
    """USD of the only charge."""
    ((kind, amount),) = spine.ledger(customer)
    assert kind == "api_usage"
    return round(-amount, 9)


TOKENS = 10 * 2e-6 + 5 * 8e-6  # what the fake's answers cost without any search


def request(kind: str, model: str, stream: bool = False) -> tuple[str, dict[str, Any]]:
    """Path and body of a request in the words of one kind of client."""
    if kind == "gemini":
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{method}", {"contents": [{"role": "user", "parts": [{"text": "Hello!"}]}]}
    if kind == "messages":
        return "/v1/messages", spine.messages_body(model, stream=stream)
    if kind == "responses":
        return "/v1/responses", {"model": model, "input": "Hello!", "stream": stream}
    if kind == "completions":
        return "/v1/completions", {"model": model, "prompt": "Hello!", "stream": stream}
    return "/v1/chat/completions", spine.chat_body(model, stream=stream)


KINDS = ("chat", "messages", "responses", "gemini", "completions")


def asks_for_search(model: str, sent: dict[str, Any], path: str) -> bool:
    """Whether a provider's request asks for a search in that provider's own words."""
    slug = NATIVE[model][0]
    if slug == "anthropic":
        return sent["tools"] == [{"type": "web_search_20250305", "name": "web_search", "max_uses": 5}]
    if slug == "openai":
        return path.endswith("/responses") and sent["tools"] == [{"type": "web_search"}]
    if slug == "google-ai-studio":
        return sent["tools"] == [{"googleSearch": {}}]
    if slug == "openrouter":
        return sent["plugins"] == [{"id": "web", "engine": "native"}]
    return "tools" not in sent and "plugins" not in sent


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", NATIVE)
def test_every_client_reaches_the_search_of_every_provider_and_pays_exactly_for_it(
    customer: Customer, upstream: FakeUpstream, model: str, kind: str, stream: bool
) -> None:
    slug, _, price = NATIVE[model]
    usage = {"prompt": 10, "completion": 5, "searches": 2}
    upstream.script(slug, {"text": "News of today.", "usage": usage, "citations": [SOURCE]})
    answer = customer.call("POST", *request(kind, f"{model}:online", stream))
    assert answer.status_code == 200, answer.text
    (asked,) = upstream.journal(slug)
    assert asks_for_search(model, asked["body"], asked["path"])
    assert SOURCE["url"] in answer.text or kind == "completions"  # which have no place for sources
    searches = {OLD_GEMINI: 1}.get(model, 2)  # until Gemini 2.5 a prompt is billed, however often it searched
    assert charged(customer) == round(TOKENS + searches * price, 9)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/chat/completions"])
def test_the_plugin_asks_for_the_same_as_the_suffix(customer: Customer, upstream: FakeUpstream, path: str) -> None:
    assert chat(customer, CLAUDE, path=path, plugins=[PLUGIN]).status_code == 200
    assert chat(customer, CLAUDE, path=path, plugins=[{**PLUGIN, "engine": "native"}]).status_code == 200
    assert chat(customer, f"{CLAUDE}:online", path=path).status_code == 200
    first, second, third = (entry["body"] for entry in upstream.journal("anthropic"))
    assert first["tools"] == second["tools"] == third["tools"]
    assert "plugins" not in first


def test_a_plugin_that_is_switched_off_asks_for_nothing(customer: Customer, upstream: FakeUpstream) -> None:
    assert chat(customer, CLAUDE, plugins=[{**PLUGIN, "enabled": False}]).status_code == 200
    assert "tools" not in upstream.journal("anthropic")[0]["body"]


def test_openrouter_is_told_how_many_results_and_how_to_introduce_them(
    customer: Customer, upstream: FakeUpstream
) -> None:
    wish = {"max_results": 3, "search_prompt": "This was found:"}
    assert chat(customer, ROUTED, plugins=[{**PLUGIN, **wish}]).status_code == 200
    assert upstream.journal("openrouter")[0]["body"]["plugins"] == [{**PLUGIN, "engine": "native", **wish}]


@pytest.mark.parametrize(
    ("plugin", "param"),
    [
        ({"engine": "exa"}, "plugins[0].engine"),
        ({"max_results": 0}, "plugins[0].max_results"),
        ({"max_results": "many"}, "plugins[0].max_results"),
        ({"search_prompt": 7}, "plugins[0].search_prompt"),
        ({"include_domains": ["a.example"]}, "plugins[0].include_domains"),
        ({"max_results": 3}, "plugins.max_results"),
        ({"search_prompt": "Found:"}, "plugins.search_prompt"),
    ],
)
def test_what_cannot_be_obeyed_is_named_before_anything_is_spent(
    customer: Customer, upstream: FakeUpstream, plugin: dict[str, Any], param: str
) -> None:
    answer = chat(customer, CLAUDE, plugins=[{**PLUGIN, **plugin}])
    assert (answer.status_code, spine.error_of(answer)["param"]) == (400, param)
    assert upstream.journal() == [] and spine.ledger(customer) == []


def test_whoever_cannot_search_is_left_out_with_the_reason(customer: Customer, upstream: FakeUpstream) -> None:
    answer = customer.call("POST", "/v1/chat/completions", spine.chat_body(f"{MIXED}:online"), **EXPLAIN)
    (plan,) = answer.json()["gatewayz"]["plans"]
    (candidate,) = plan["candidates"]
    assert candidate["web_search"] == {"form": "anthropic", "price_usd": "0.01", "billed": "each search"}
    assert [(each["provider"], each["reason"]) for each in plan["excluded"]] == [("first", "no_web_search")]
    assert spine.asked(upstream) == ["anthropic"]
    assert chat(customer, MIXED).status_code == 200
    assert spine.asked(upstream) == ["anthropic", "first"]


@pytest.mark.parametrize("kind", KINDS)
def test_where_nobody_can_search_the_refusal_says_so_and_names_models_that_can(
    customer: Customer, upstream: FakeUpstream, kind: str
) -> None:
    answer = customer.call("POST", *request(kind, f"{DEAF}:online"))
    error = spine.error_of(answer)
    assert answer.status_code == 400
    assert "does not search the web" in error["message"] and CLAUDE in error["message"]
    assert DEAF not in error["message"].partition("Models that search")[2]
    if kind not in ("messages", "gemini"):
        assert (error["code"], error["param"]) == ("web_search_unavailable", "model")
    assert upstream.journal() == [] and spine.ledger(customer) == []


def test_a_search_without_a_known_price_is_not_served(customer: Customer, upstream: FakeUpstream) -> None:
    error = spine.error_of(chat(customer, f"{UNPRICED}:online"))
    assert error["code"] == "web_search_unavailable"
    assert error["details"]["excluded"] == [{"provider": "openrouter", "reason": "no_price_for_web_search"}]
    assert upstream.journal() == []


@pytest.mark.parametrize("suffixes", [":nitro:online", ":online:nitro", ":online:floor"])
def test_the_suffix_goes_with_others(customer: Customer, upstream: FakeUpstream, suffixes: str) -> None:
    assert chat(customer, CLAUDE + suffixes).status_code == 200
    assert upstream.journal("anthropic")[0]["body"]["tools"]


@pytest.mark.parametrize("name", [f"{FREE}:online", "acme/some:online:free"])
def test_a_search_with_a_free_model_costs_what_the_search_costs(
    customer: Customer, upstream: FakeUpstream, name: str
) -> None:
    upstream.script("own", {"usage": {"prompt": 10, "completion": 5, "searches": 1}})
    assert chat(customer, name).status_code == 200
    assert charged(customer) == 0.003


def test_the_search_is_set_aside_beforehand(house: spine.Spine, upstream: FakeUpstream) -> None:
    poor = house.gateway.customer("0.05")
    assert chat(poor, CLAUDE, max_tokens=10).status_code == 200
    answer = chat(poor, f"{CLAUDE}:online", max_tokens=10)
    assert answer.status_code == 402
    assert len(upstream.journal()) == 1
    dry = {"X-Gatewayz-Dry-Run": "1"}
    body = spine.chat_body(f"{CLAUDE}:online", max_tokens=10)
    told = poor.call("POST", "/v1/chat/completions", body, **dry).json()
    # Five searches, what they add to the prompt, and the longest answer.
    assert 0.05 + 5 * 8_000 * 2e-6 < float(told["would_hold_usd"]) < 0.05 + 5 * 8_000 * 2e-6 + 0.001


def test_a_search_that_a_client_asks_for_in_its_providers_own_words_is_charged_too(
    customer: Customer, upstream: FakeUpstream
) -> None:
    tool = {"type": "web_search_20250305", "name": "web_search", "max_uses": 1}
    upstream.script("anthropic", {"usage": {"prompt": 10, "completion": 5, "searches": 1}})
    assert customer.call("POST", "/v1/messages", spine.messages_body(CLAUDE, tools=[tool])).status_code == 200
    assert upstream.journal("anthropic")[0]["body"]["tools"] == [tool]
    assert charged(customer) == round(TOKENS + 0.01, 9)


def test_a_tool_of_the_clients_own_stays_beside_the_search(customer: Customer, upstream: FakeUpstream) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    assert chat(customer, f"{GPT}:online", tools=[tool]).status_code == 200
    sent = upstream.journal("openai")[0]["body"]["tools"]
    assert [each["type"] for each in sent] == ["function", "web_search"]
    tool["function"]["name"] = "web_search"
    error = spine.error_of(chat(customer, f"{CLAUDE}:online", tools=[tool]))
    assert error["param"] == "tools"
    error = spine.error_of(chat(customer, f"{OLD_GEMINI}:online", tools=[tool]))
    assert error["param"] == "tools"
    assert chat(customer, f"{GEMINI}:online", tools=[tool]).status_code == 200
    assert upstream.journal("google-ai-studio")[0]["body"]["toolConfig"]["includeServerSideToolInvocations"] is True


def test_who_leaves_pays_for_one_search(customer: Customer, upstream: FakeUpstream) -> None:
    frames = {"text": "x" * 40, "chunk_chars": 4, "chunk_delay_s": 0.2, "usage": None}
    upstream.script("anthropic", frames)
    client = spine.openai_client(customer)
    with client.chat.completions.create(
        model=f"{CLAUDE}:online", messages=[{"role": "user", "content": "Hello!"}], stream=True
    ) as stream:
        next(iter(stream))
    spine.eventually(lambda: spine.ledger(customer), "the charge")
    assert charged(customer) > 0.01


def test_a_stand_in_is_asked_to_search_only_if_its_own_name_says_so(customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script("anthropic", {"status": 500})
    answer = chat(customer, f"{CLAUDE}:online", models=[DEAF])
    assert answer.status_code == 200 and answer.json()["model"] == DEAF
    assert "tools" not in upstream.journal("first")[0]["body"]


def test_the_count_is_told(customer: Customer, upstream: FakeUpstream) -> None:
    usage = {"prompt": 10, "completion": 5, "searches": 2}
    upstream.script("openai", {"usage": usage}, {"usage": usage})
    told = chat(customer, f"{GPT}:online").json()["usage"]
    assert told["server_tool_use_details"] == {"web_search_requests": 2}
    body = spine.messages_body(f"{GPT}:online", stream=True)
    ended = [each.data for each in events(customer.call("POST", "/v1/messages", body).text)]
    (usage,) = [each["usage"] for each in ended if each["type"] == "message_delta"]
    assert usage["server_tool_use"] == {"web_search_requests": 2}


def test_other_services_have_no_search(customer: Customer) -> None:
    answer = customer.call("POST", "/v1/embeddings", {"model": f"{CLAUDE}:online", "input": "x"})
    assert answer.status_code == 400


def test_the_lists_say_who_searches_and_at_what_price(customer: Customer) -> None:
    listed = {each["id"]: each for each in customer.call("GET", "/v1/models").json()["data"]}
    able = {name for name, entry in listed.items() if entry["supports_web_search"]}
    ours = {*NATIVE, MIXED, FREE, DEAF, UNPRICED}
    assert able & ours == ours - {DEAF, UNPRICED}
    assert "openai/gpt-5-codex" in able
    assert {name: float(listed[name]["pricing"]["web_search"]) for name in NATIVE} == {
        name: price for name, (_, _, price) in NATIVE.items()
    }
    found = customer.call("GET", "/v1/models?capability=web_search").json()["data"]
    assert {each["id"] for each in found} == able
    entry = customer.call("GET", f"/api/v1/models/{CLAUDE}").json()["data"]
    assert entry["pricing"]["web_search"] == "0.01"
