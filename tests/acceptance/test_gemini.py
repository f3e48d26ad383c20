"""Gemini behind both clients, at AI Studio and at Vertex: pairings, tools, signatures, accounts, locations, failures."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.acceptance import spine
from tests.acceptance.spine import ask, model_toml, provider_toml
from tests.acceptance.test_pairings import SCHEMA, TOOLS, Meaning, _history, _usage, meaning
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

GEM = "acme/gem"  # gem, of the third generation
GEMINI = "google/gemini-2.5-flash"  # of the packaged catalog: Vertex, AI Studio, OpenRouter and others
SPREAD = "acme/spread"  # Vertex at two locations, then AI Studio
MIXED = "acme/mixed"  # gem, then first
NATIVE = "gemini-3-flash-preview"
WAYS = pytest.mark.parametrize(
    ("dialect", "stream"), [(dialect, stream) for dialect in ("openai", "anthropic") for stream in (False, True)]
)
CLIENTS = pytest.mark.parametrize("dialect", ["openai", "anthropic"])
CALLS = [
    {"id": "g1", "name": "get_weather", "arguments": {"city": "Paris", "days": [1, 2.5], "note": None}},
    {"id": "g2", "name": "get_time", "arguments": {}},
]


def service_account(upstream: FakeUpstream) -> str:
    """The key file of a service account whose tokens the fake issues."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    members = {
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "k1",
        "private_key": pem,
        "client_email": "gw@my-project.iam.gserviceaccount.com",
        "token_uri": upstream.url("issuer", "/token"),
    }
    return json.dumps(members)


def gemini_model(model: str, offers: dict[str, str], **more: Any) -> str:
    """A model with an offer at each provider under a name of its own."""
    text = model_toml(model, offers, price=(2, 8), supports_reasoning=True, supports_audio=True, **more)
    for provider, native in offers.items():
        text = text.replace(f'native_id = "native-{provider}"', f'native_id = "{native}"')
    return text.replace(
        "price_completion_usd_per_mtok = 8\n",
        "price_completion_usd_per_mtok = 8\nprice_cache_read_usd_per_mtok = 0.2\n",
    )


def config(upstream: FakeUpstream, *, vertex: bool) -> str:
    """Gemini at AI Studio, at an endpoint of our own and, if wanted, at two locations of Vertex."""
    texts = [spine.settings_toml()]
    if vertex:
        texts.append(
            '[[providers]]\nslug = "google-vertex"\nregions = ["loc-a", "loc-b"]\n'
            f'base_url = "{upstream.url("{location}", "/v1")}"\n'
        )
    texts.append(
        f'[[providers]]\nslug = "google-ai-studio"\nbase_url = "{upstream.url("studio")}"\napi_key = "AIza-studio"\n'
    )
    texts += [provider_toml(upstream, "gem", "gemini", priority=1), provider_toml(upstream, "first", priority=2)]
    texts += [provider_toml(upstream, "openrouter")]
    texts.append(gemini_model(GEM, {"gem": NATIVE}, modality="text+image+file+audio->text"))
    texts.append(gemini_model(MIXED, {"gem": NATIVE, "first": "native-first"}))
    spread = {"google-vertex": "gemini-2.5-pro", "google-ai-studio": "gemini-2.5-pro"}
    texts.append(gemini_model(SPREAD, spread))
    return "".join(texts)


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """The fake providers and the issuer of tokens."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway with Vertex credentials."""
    env = {"GOOGLE_VERTEX_CREDENTIALS_JSON": service_account(upstream)}
    with LiveGateway(tmp_path_factory.mktemp("vertex"), config(upstream, vertex=True), env) as live:
        yield live


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    """An account that can pay."""
    return gateway.customer(50)


def body_at(upstream: FakeUpstream, persona: str) -> dict[str, Any]:
    """The last body that a persona was sent."""
    body: dict[str, Any] = upstream.journal(persona)[-1]["body"]
    return body


@WAYS
@pytest.mark.ac("AC-9.1.10")
def test_text(customer: Customer, upstream: FakeUpstream, dialect: str, stream: bool) -> None:
    upstream.script("gem", {"text": 'Grüße 你好\n\ttab "quoted" \\ \u2028 😀', "split": 5})
    answer = ask(customer, dialect, GEM, stream=stream)
    assert meaning(dialect, answer) == Meaning('Grüße 你好\n\ttab "quoted" \\ \u2028 😀', finish="stop")
    (entry,) = upstream.journal("gem")
    tail = ":streamGenerateContent?alt=sse" if stream else ":generateContent"
    assert entry["path"] == f"/p/gem/v1/models/{NATIVE}{tail}"
    assert entry["headers"]["x-goog-api-key"] == "sk-gem" and "authorization" not in entry["headers"]
    if stream and dialect == "openai":
        chunks = [each.data for each in spine.events(answer.text)[:-1]]
        assert {chunk["model"] for chunk in chunks} == {GEM} and len({chunk["id"] for chunk in chunks}) == 1
        assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
        finishes = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
        assert finishes.count("stop") == 1 and finishes[-1] == "stop"


@WAYS
@pytest.mark.ac("AC-CC.13.1", "AC-CC.13.2")
def test_tools(customer: Customer, upstream: FakeUpstream, dialect: str, stream: bool) -> None:
    upstream.script("gem", {"text": "Looking.", "tool_calls": CALLS, "signature": "SIG"})
    said = meaning(dialect, ask(customer, dialect, GEM, stream=stream, tools=TOOLS[dialect]))
    assert said.text == "Looking." and said.finish == "tool_calls"
    assert said.calls == tuple((call["id"], call["name"], call["arguments"]) for call in CALLS)
    (entry,) = upstream.journal("gem")
    names = ("get_weather", "get_time")
    assert entry["body"]["tools"] == [
        {"functionDeclarations": [{"name": name, "description": "d", "parameters": SCHEMA} for name in names]}
    ]
    assert "GenerateContent" in entry["path"] or ":generateContent" in entry["path"], "the path that calls functions"


@pytest.mark.ac("AC-CC.13.1")
def test_schema_keywords_that_gemini_lacks_do_not_reach_it(customer: Customer, upstream: FakeUpstream) -> None:
    parameters = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"when": {"$ref": "#/$defs/When"}, "kind": {"const": "a"}, "n": {"type": ["integer", "null"]}},
        "$defs": {"When": {"type": "string", "format": "date"}},
        "required": ["when"],
        "additionalProperties": False,
    }
    tools = [{"type": "function", "function": {"name": "f", "parameters": parameters}}]
    assert ask(customer, "openai", GEM, tools=tools).status_code == 200
    (declaration,) = body_at(upstream, "gem")["tools"][0]["functionDeclarations"]
    assert declaration["parameters"] == {
        "type": "object",
        "properties": {
            "when": {"type": "string", "description": "Format: date."},
            "kind": {"type": "string", "enum": ["a"]},
            "n": {"type": "integer", "nullable": True},
        },
        "required": ["when"],
    }


@pytest.mark.ac("AC-CC.13.3")
@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("required", {"mode": "ANY"}),
        ("none", {"mode": "NONE"}),
        (
            {"type": "function", "function": {"name": "get_time"}},
            {"mode": "ANY", "allowedFunctionNames": ["get_time"]},
        ),
    ],
)
def test_tool_choice(customer: Customer, upstream: FakeUpstream, choice: Any, config: dict[str, Any]) -> None:
    assert ask(customer, "openai", GEM, tools=TOOLS["openai"], tool_choice=choice).status_code == 200
    assert body_at(upstream, "gem")["toolConfig"] == {"functionCallingConfig": config}


@WAYS
def test_reasoning(customer: Customer, upstream: FakeUpstream, dialect: str, stream: bool) -> None:
    upstream.script("gem", {"thinking": "Let me see.", "text": "Four."})
    wish: dict[str, Any] = {"reasoning_effort": "low"}
    if dialect == "anthropic":
        wish = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
    said = meaning(dialect, ask(customer, dialect, GEM, stream=stream, **wish))
    assert (said.thinking, said.text, said.finish) == ("Let me see.", "Four.", "stop")
    thinking = body_at(upstream, "gem")["generationConfig"]["thinkingConfig"]
    assert thinking == {"includeThoughts": True, "thinkingLevel": "low"}


@WAYS
@pytest.mark.parametrize(("native", "finish"), [("MAX_TOKENS", "length"), ("SAFETY", "content_filter")])
def test_why_it_ended(
    customer: Customer, upstream: FakeUpstream, dialect: str, stream: bool, native: str, finish: str
) -> None:
    upstream.script("gem", {"text": "Half a", "finish": native})
    assert meaning(dialect, ask(customer, dialect, GEM, stream=stream)) == Meaning("Half a", finish=finish)


@WAYS
def test_usage_and_charge(gateway: LiveGateway, upstream: FakeUpstream, dialect: str, stream: bool) -> None:
    customer = gateway.customer(1)
    usage = {"prompt": 1000, "cached": 600, "completion": 50, "reasoning": 30}
    upstream.script("gem", {"text": "Hi", "usage": usage})
    more = {"stream_options": {"include_usage": True}} if stream and dialect == "openai" else {}
    told = _usage(dialect, ask(customer, dialect, GEM, stream=stream, **more))
    if dialect == "openai":
        assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (1000, 50, 1050)
        assert told["completion_tokens_details"]["reasoning_tokens"] == 30
        assert told["prompt_tokens_details"]["cached_tokens"] == 600
    else:
        assert (told["input_tokens"], told["cache_read_input_tokens"], told["output_tokens"]) == (400, 600, 50)
    cost = (400 * 2 + 600 * 0.2 + 50 * 8) / 1e6
    assert told["cost"] == pytest.approx(cost)
    assert spine.ledger(customer) == [("api_usage", pytest.approx(-cost))]


@WAYS
def test_a_conversation_with_results_and_an_image(
    customer: Customer, upstream: FakeUpstream, dialect: str, stream: bool
) -> None:
    answer = ask(customer, dialect, GEM, stream=stream, **_history(dialect), tools=TOOLS[dialect])
    assert meaning(dialect, answer).text == "Hello from gem"
    body = body_at(upstream, "gem")
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    call = {"name": "get_weather", "args": {"city": "Paris"}, "id": "call_p"}
    result = {"name": "get_weather", "response": {"output": "sunny"}, "id": "call_p"}
    assert [content["role"] for content in body["contents"]] == ["user", "model", "user"]
    assert body["contents"][0]["parts"][1] == {"inlineData": {"mimeType": "image/png", "data": "aGVsbG8="}}
    assert body["contents"][1]["parts"][0]["functionCall"] == call
    assert body["contents"][2]["parts"] == [{"functionResponse": result}, {"text": "And now?"}]


@pytest.mark.ac("AC-CC.13.1")
@pytest.mark.parametrize("stream", [False, True])
def test_the_openai_sdk_carries_signatures_over_a_turn(
    customer: Customer, upstream: FakeUpstream, stream: bool
) -> None:
    client = spine.openai_client(customer)
    upstream.script("gem", {"thinking": "Hm.", "tool_calls": CALLS, "signature": "SIG=="})
    messages: list[Any] = [{"role": "user", "content": "Weather?"}]
    tools: Any = TOOLS["openai"]
    if stream:
        details: list[Any] = []
        calls: dict[int, Any] = {}
        for chunk in client.chat.completions.create(model=GEM, messages=messages, tools=tools, stream=True):
            delta = chunk.choices[0].delta if chunk.choices else None
            details += getattr(delta, "reasoning_details", None) or []
            for call in (delta.tool_calls if delta else None) or []:
                known = calls.setdefault(call.index, {"id": call.id, "type": "function", "name": "", "arguments": ""})
                known["name"] += call.function.name or ""  # type: ignore[union-attr]
                known["arguments"] += call.function.arguments or ""  # type: ignore[union-attr]
        sent = [
            {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
            for c in calls.values()
        ]
        messages.append({"role": "assistant", "content": None, "tool_calls": sent, "reasoning_details": details})
    else:
        said = client.chat.completions.create(model=GEM, messages=messages, tools=tools).choices[0].message
        messages.append(said.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call["id"], "content": "{}"} for call in CALLS]
    client.chat.completions.create(model=GEM, messages=messages, tools=tools)
    _assert_signed(upstream)


@pytest.mark.parametrize("stream", [False, True])
def test_the_anthropic_sdk_carries_signatures_over_a_turn(
    customer: Customer, upstream: FakeUpstream, stream: bool
) -> None:
    client = spine.anthropic_client(customer)
    upstream.script("gem", {"thinking": "Hm.", "tool_calls": CALLS, "signature": "SIG=="})
    messages: list[Any] = [{"role": "user", "content": "Weather?"}]
    tools: Any = TOOLS["anthropic"]
    if stream:
        with client.messages.stream(model=GEM, max_tokens=99, messages=messages, tools=tools) as events:
            said = events.get_final_message()
    else:
        said = client.messages.create(model=GEM, max_tokens=99, messages=messages, tools=tools)
    assert [block.type for block in said.content] == ["thinking", "tool_use", "tool_use"]
    messages.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in said.content]})
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "{}"} for call in CALLS]
    messages.append({"role": "user", "content": results})
    client.messages.create(model=GEM, max_tokens=99, messages=messages, tools=tools)
    _assert_signed(upstream)


def _assert_signed(upstream: FakeUpstream) -> None:
    parts = body_at(upstream, "gem")["contents"][1]["parts"]
    assert parts == [
        {"text": "Hm.", "thought": True},
        {
            "functionCall": {"name": "get_weather", "args": CALLS[0]["arguments"], "id": "g1"},
            "thoughtSignature": "SIG==",
        },
        {"functionCall": {"name": "get_time", "args": {}, "id": "g2"}},
    ]


@pytest.mark.ac("AC-2.1.4")
@CLIENTS
def test_gemini_goes_to_vertex_where_its_credentials_are(
    customer: Customer, upstream: FakeUpstream, dialect: str
) -> None:
    assert meaning(dialect, ask(customer, dialect, GEMINI)).text == "Hello from loc-a"
    (entry,) = upstream.journal("loc-a")
    assert entry["path"] == (
        "/p/loc-a/v1/projects/my-project/locations/loc-a/publishers/google/models/gemini-2.5-flash:generateContent"
    )
    assert entry["headers"]["authorization"].startswith("Bearer ya29.fake-")


@pytest.mark.ac("AC-2.1.4")
def test_without_vertex_credentials_the_next_provider_serves(
    upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("studio")
    with LiveGateway(home, config(upstream, vertex=False)) as live:
        customer = live.customer(1)
        found = {"studio": "google-ai-studio", "openrouter": "openrouter"}
        answer = ask(customer, "openai", GEMINI)
        persona = spine.text_of("openai", answer).removeprefix("Hello from ")
        assert spine.only_record(customer)["provider"] == found[persona]
        # A model that Vertex serves in another dialect is nobody's here, however it is asked for.
        assert "google-vertex" not in live.call("GET", "/v1/models?all=true&q=kimi-k2-thinking").text


def test_one_token_serves_all_until_it_is_refused(
    gateway: LiveGateway, customer: Customer, upstream: FakeUpstream
) -> None:
    upstream.script("loc-a", {"status": 401}, {"text": "again"})
    # The token of earlier tests is dropped with the refusal, and the next location asks for a new one.
    assert spine.text_of("openai", ask(customer, "openai", SPREAD)) == "Hello from loc-b"
    (issued,) = upstream.journal("issuer")
    assert issued["claims"]["iss"] == "gw@my-project.iam.gserviceaccount.com"
    assert issued["claims"]["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert issued["claims"]["aud"] == upstream.url("issuer", "/token")
    assert issued["headers"]["content-type"] == "application/x-www-form-urlencoded"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(customer, "openai", SPREAD).status_code, range(8)))
    assert answers == [200] * 8
    assert len(upstream.journal("issuer")) == 1
    used = {entry["headers"]["authorization"] for entry in upstream.journal() if entry["persona"] in ("loc-a", "loc-b")}
    assert f"Bearer ya29.fake-{issued['number']}" in used and len(used) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("trouble", [{"status": 503}, {"status": 429}, {"status": 404}, {"status": 0}, {"empty": True}])
def test_a_location_that_fails_is_followed_by_the_next(
    gateway: LiveGateway, upstream: FakeUpstream, trouble: dict[str, Any], stream: bool
) -> None:
    customer = gateway.customer(1)
    upstream.script("loc-a", default=trouble)
    answer = ask(customer, "openai", SPREAD, stream=stream)
    assert spine.text_of("openai", answer) == "Hello from loc-b"
    assert len(upstream.journal("loc-a")) <= 2, "a busy location is not waited for while another is there"
    assert spine.only_record(customer)["provider"] == "google-vertex"


def test_after_all_locations_comes_the_next_provider(customer: Customer, upstream: FakeUpstream) -> None:
    for location in ("loc-a", "loc-b"):
        upstream.script(location, default={"status": 503})
    assert spine.text_of("openai", ask(customer, "openai", SPREAD)) == "Hello from studio"
    (entry,) = upstream.journal("studio")
    assert entry["path"] == "/p/studio/v1beta/models/gemini-2.5-pro:generateContent"


def test_an_issuer_that_refuses_costs_only_vertex(
    upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    upstream.script("issuer", default={"status": 400, "error": {"error": "invalid_grant"}})
    env = {"GOOGLE_VERTEX_CREDENTIALS_JSON": service_account(upstream)}
    with LiveGateway(tmp_path_factory.mktemp("refused"), config(upstream, vertex=True), env) as live:
        answer = ask(live.customer(1), "openai", SPREAD)
        assert spine.text_of("openai", answer) == "Hello from studio"
        (line, *_) = spine.log_lines(live, "access_token_not_issued")
        assert line["reason"] == "the issuer of tokens answered 400 invalid_grant"
        assert "BEGIN" not in live.log_path.read_text()


@WAYS
def test_a_blocked_prompt_is_an_answer_without_words(
    gateway: LiveGateway, upstream: FakeUpstream, dialect: str, stream: bool
) -> None:
    customer = gateway.customer(1)
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}}
    told = json.dumps(blocked)
    upstream.script("gem", {"frames": [f"data: {told}\r\n\r\n"]} if stream else {"body": told})
    said = meaning(dialect, ask(customer, dialect, GEM, stream=stream))
    assert said == Meaning("", finish="content_filter")
    assert spine.ledger(customer) == [("api_usage", pytest.approx(-9 * 2 / 1e6))]


@WAYS
def test_a_malformed_call_is_a_failure_and_the_next_provider_serves(
    customer: Customer, upstream: FakeUpstream, dialect: str, stream: bool
) -> None:
    upstream.script("gem", {"text": "", "finish": "MALFORMED_FUNCTION_CALL"})
    assert meaning(dialect, ask(customer, dialect, MIXED, stream=stream)).text == "Hello from first"


@CLIENTS
@pytest.mark.parametrize("trouble", [{"error_after": 2}, {"close_after_chunks": 2}, {"cut_after_chunks": 2}])
def test_a_stream_that_breaks_is_told_and_refunded(
    gateway: LiveGateway, upstream: FakeUpstream, dialect: str, trouble: dict[str, Any]
) -> None:
    customer = gateway.customer(1)
    upstream.script("gem", {"text": "One two three four five six.", **trouble})
    answer = ask(customer, dialect, GEM, stream=True)
    assert spine.error_of(answer)["code"] == "provider_error"
    if dialect == "openai":
        finishes = [c["finish_reason"] for e in spine.events(answer.text)[:-2] for c in e.data.get("choices", [])]
        assert not any(finishes), "a silent end is never a normal stop"
    assert [kind for kind, _ in spine.ledger(customer)] == ["hold", "refund"]


@CLIENTS
def test_gone_clients_stop_the_provider(gateway: LiveGateway, upstream: FakeUpstream, dialect: str) -> None:
    customer = gateway.customer(1)
    upstream.script("gem", {"text": "x" * 600, "chunk_delay_s": 0.05})
    path, body = spine.BODIES[dialect]
    headers = {"Authorization": f"Bearer {customer.key}"}
    with httpx.stream(
        "POST", gateway.base_url + path, json=body(GEM, stream=True), headers=headers, timeout=10, verify=False
    ) as answer:
        next(answer.iter_bytes())
    upstream.wait_until("gem", "closed_early", True)


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (400, {"code": 400, "message": "The input token count (9) exceeds the maximum number of tokens allowed (8).", "status": "INVALID_ARGUMENT"}, (400, "context_length_exceeded")),
        (400, {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}, (503, "no_provider_available")),
        (400, {"code": 400, "message": "User location is not supported for the API use.", "status": "FAILED_PRECONDITION"}, (503, "no_provider_available")),
        (400, {"code": 400, "message": "Unable to process input image.", "status": "INVALID_ARGUMENT"}, (400, "invalid_request")),
        (403, {"code": 403, "message": "Permission denied.", "status": "PERMISSION_DENIED"}, (503, "no_provider_available")),
        (404, {"code": 404, "message": "models/x is not found for API version v1beta.", "status": "NOT_FOUND"}, (404, "model_not_found")),
        (503, {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}, (503, "provider_overloaded")),
    ],
)  # fmt: skip
def test_errors_of_google(
    customer: Customer, upstream: FakeUpstream, status: int, error: dict[str, Any], told: tuple[int, str]
) -> None:
    upstream.script("gem", {"status": status, "error": {"error": error}})
    answer = ask(customer, "openai", GEM)
    assert (answer.status_code, spine.error_of(answer)["code"]) == told


def test_documents_audio_and_pictures_by_address(customer: Customer, upstream: FakeUpstream) -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.webp"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    ]
    messages = [{"role": "user", "content": parts}]
    assert ask(customer, "openai", GEM, messages=messages).status_code == 200
    assert body_at(upstream, "gem")["contents"][0]["parts"] == [
        {"fileData": {"mimeType": "image/webp", "fileUri": "https://example.com/cat.webp"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
        {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}},
    ]
    unknown = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/cat"}}]}]
    refused = ask(customer, "openai", GEM, messages=unknown)
    assert (refused.status_code, spine.error_of(refused)["param"]) == (400, "messages[0]")
    served = ask(customer, "openai", MIXED, messages=unknown)
    assert spine.text_of("openai", served) == "Hello from first", "who can say it, serves it"


def test_structured_output_and_what_is_left_out(
    gateway: LiveGateway, customer: Customer, upstream: FakeUpstream
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}
    assert ask(customer, "openai", GEM, response_format=wanted, user="somebody", logit_bias={"1": 1}).status_code == 200
    expected = {"responseMimeType": "application/json", "responseJsonSchema": schema}
    assert body_at(upstream, "gem")["generationConfig"] == expected
    line = list(spine.log_lines(gateway, "parameters_dropped"))[-1]
    assert line["names"] == ["logit_bias", "user"]
