"""Claude at Vertex AI: recorded bytes behind both clients, its addresses and accounts, counting, locations, and its chain."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import spine
from tests.acceptance.spine import CLAUDE, ask, provider_toml
from tests.acceptance.test_gemini import service_account
from tests.acceptance.test_pairings import TOOLS, meaning
from tests.dialects.dialect_samples import ABSENT, folder
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

SLUG = "google-vertex-anthropic"
MODEL = "acme/vertex-claude"
NATIVE = "claude-3-7-sonnet@20250219"
WAYS = pytest.mark.parametrize(
    ("dialect", "stream"), [(dialect, stream) for dialect in ("openai", "anthropic") for stream in (False, True)]
)
RECORDINGS = sorted((folder() / "vertex").glob("vertex-anthropic-*.json"))
RECORDED = (
    pytest.mark.parametrize("path", RECORDINGS, ids=[path.stem for path in RECORDINGS])
    if RECORDINGS
    else pytest.mark.skip(reason=ABSENT)
)


def config(upstream: FakeUpstream, *, entry: bool) -> str:
    """Anthropic, OpenRouter and, if wanted, Vertex at two locations; a model that only Vertex has."""
    texts = [spine.settings_toml()]
    if entry:
        texts.append(
            f'[[providers]]\nslug = "{SLUG}"\nregions = ["us-east5", "europe-west1"]\n'
            f'base_url = "{upstream.url("{location}", "/v1")}"\n'
        )
    texts += [provider_toml(upstream, "anthropic", "anthropic"), provider_toml(upstream, "openrouter")]
    texts.append(
        f'[[models]]\nid = "{MODEL}"\nname = "x"\ncontext_length = 200000\nmodality = "text+image->text"\n'
        "supports_tools = true\nsupports_json_schema = true\nsupports_reasoning = true\n"
        f'[[models.offers]]\nprovider = "{SLUG}"\nnative_id = "{NATIVE}"\n'
        "price_prompt_usd_per_mtok = 3\nprice_completion_usd_per_mtok = 15\n"
        "price_cache_read_usd_per_mtok = 0.3\nprice_cache_write_usd_per_mtok = 3.75\n"
    )
    return "".join(texts)


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """The fake providers and the issuer of tokens."""
    with FakeUpstream() as fake:
        yield fake


def environment(upstream: FakeUpstream) -> dict[str, str]:
    return {"GOOGLE_VERTEX_CREDENTIALS_JSON": service_account(upstream), "ANTHROPIC_VERTEX_PROJECT_ID": "PROJECT"}


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway whose operator has put Vertex behind Anthropic's chain."""
    home = tmp_path_factory.mktemp("vertex")
    with LiveGateway(home, config(upstream, entry=True), environment(upstream)) as live:
        yield live


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    """An account that can pay."""
    return gateway.customer(50)


def address(location: str, tail: str, model: str = NATIVE) -> str:
    return f"/p/{location}/v1/projects/PROJECT/locations/{location}/publishers/anthropic/models/{model}:{tail}"


@WAYS
def test_text_in_both_dialects(customer: Customer, upstream: FakeUpstream, dialect: str, stream: bool) -> None:
    upstream.script("us-east5", {"text": "Grüße 你好 😀", "split": 5})
    answer = ask(customer, dialect, MODEL, stream=stream)
    said = meaning(dialect, answer)
    assert (said.text, said.finish) == ("Grüße 你好 😀", "stop")
    (entry,) = upstream.journal("us-east5")
    assert entry["path"] == address("us-east5", "streamRawPredict" if stream else "rawPredict")
    assert entry["headers"]["authorization"].startswith("Bearer ") and "x-api-key" not in entry["headers"]
    body = entry["body"]
    assert "model" not in body and body["anthropic_version"] == "vertex-2023-10-16"
    assert body.get("stream", False) is stream and body["max_tokens"] > 0


@WAYS
def test_tools_in_both_dialects(customer: Customer, upstream: FakeUpstream, dialect: str, stream: bool) -> None:
    calls = [{"id": "toolu_vrtx_1", "name": "get_weather", "arguments": {"city": "Paris"}}]
    upstream.script("us-east5", {"tool_calls": calls})
    said = meaning(dialect, ask(customer, dialect, MODEL, stream=stream, tools=TOOLS[dialect]))
    assert said.finish == "tool_calls"
    assert said.calls == (("toolu_vrtx_1", "get_weather", {"city": "Paris"}),)


@RECORDED
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_recorded_answers(customer: Customer, upstream: FakeUpstream, path: Path, dialect: str) -> None:
    case = json.loads(path.read_bytes())
    stream, recorded = case["stream"], case["response"]["body_text"]
    upstream.script("us-east5", {"frames": [recorded], "split": 7} if stream else {"body": recorded})
    asked = {name: value for name, value in case["request"]["body"].items() if name != "anthropic_version"}
    if dialect == "anthropic":
        answer = customer.call("POST", "/v1/messages", {"model": MODEL, **asked})
    else:
        answer = ask(customer, "openai", MODEL, stream=stream, tools=TOOLS["openai"])
    assert answer.status_code == 200, answer.text
    said = meaning(dialect, answer)
    text, calls, finish, output = _read(recorded, stream)
    assert (said.text, said.calls, said.finish) == (text, calls, finish)
    (entry,) = upstream.journal("us-east5")
    if dialect == "anthropic":
        assert entry["body"] == case["request"]["body"], "what Vertex was sent then is what it is sent now"
        assert entry["path"].endswith(case["request"]["path"].removeprefix("/v1"))
    record = customer.call("GET", "/user/activity/log").json()["data"][0]
    assert (record["provider"], record["completion_tokens"]) == (SLUG, output)


def _read(recorded: str, stream: bool) -> tuple[str, tuple[tuple[str, str, Any], ...], str, int]:
    """Text, calls, finish and output tokens of a recorded answer, read by itself."""
    finishes = {"end_turn": "stop", "tool_use": "tool_calls"}
    if not stream:
        value = json.loads(recorded)
        text = "".join(block.get("text", "") for block in value["content"])
        calls = tuple((b["id"], b["name"], b["input"]) for b in value["content"] if b["type"] == "tool_use")
        return text, calls, finishes[value["stop_reason"]], value["usage"]["output_tokens"]
    events = [json.loads(line[6:]) for line in recorded.splitlines() if line.startswith("data: ")]
    text = "".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta")
    starts = [e for e in events if e["type"] == "content_block_start" and e["content_block"]["type"] == "tool_use"]
    arguments = {e["index"]: "" for e in starts}
    for e in events:
        if e["type"] == "content_block_delta" and e["index"] in arguments:
            arguments[e["index"]] += e["delta"].get("partial_json", "")
    calls = tuple(
        (e["content_block"]["id"], e["content_block"]["name"], json.loads(arguments[e["index"]] or "{}"))
        for e in starts
    )
    (ended,) = [e for e in events if e["type"] == "message_delta"]
    return text, calls, finishes[ended["delta"]["stop_reason"]], ended["usage"]["output_tokens"]


def test_tokens_are_counted_there(customer: Customer, upstream: FakeUpstream) -> None:
    messages = [{"role": "user", "content": "How many?"}]
    counted = spine.anthropic_client(customer).messages.count_tokens(
        model=MODEL, messages=messages, extra_headers={"anthropic-beta": "b-1"}
    )  # type: ignore[call-overload]
    (entry,) = upstream.journal("us-east5")
    assert entry["path"] == address("us-east5", "rawPredict", "count-tokens")
    assert entry["body"] == {"anthropic_version": "vertex-2023-10-16", "model": NATIVE, "messages": messages}
    assert entry["headers"]["authorization"].startswith("Bearer ") and entry["headers"]["anthropic-beta"] == "b-1"
    assert counted.model_dump() == {"input_tokens": counted.input_tokens} and counted.input_tokens > 5


@pytest.mark.parametrize("status", [404, 429, 503])
def test_the_next_location_helps(customer: Customer, upstream: FakeUpstream, status: int) -> None:
    google = {"error": {"code": status, "message": "Publisher Model was not found.", "status": "NOT_FOUND"}}
    upstream.script("us-east5", {"status": status, **({"error": [google]} if status == 404 else {})})
    answer = ask(customer, "anthropic", MODEL)
    assert answer.status_code == 200 and spine.text_of("anthropic", answer) == "Hello from europe-west1"
    assert upstream.journal("europe-west1")[0]["path"] == address("europe-west1", "rawPredict")


def test_a_conversation_stays_at_the_location_that_has_its_prompt(customer: Customer, upstream: FakeUpstream) -> None:
    system = [{"type": "text", "text": "Be brief. " * 700, "cache_control": {"type": "ephemeral"}}]
    cached = {"usage": {"prompt": 1800, "completion": 5, "cache_write": 1700}}
    upstream.script("europe-west1", default=cached)
    upstream.script("us-east5", {"status": 429})
    served = []
    messages = [{"role": "user", "content": "One?"}]
    for question in ("Two?", "Three?", "Four?"):
        body = {"model": MODEL, "max_tokens": 9, "system": system, "messages": messages}
        served.append(spine.text_of("anthropic", customer.call("POST", "/v1/messages", body)))
        messages += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": question}]
    assert served == ["Hello from europe-west1"] * 3
    assert spine.asked(upstream)[-4:] == ["us-east5"] + ["europe-west1"] * 3
    other = {"model": MODEL, "max_tokens": 9, "system": system, "messages": [{"role": "user", "content": "Else?"}]}
    assert spine.text_of("anthropic", customer.call("POST", "/v1/messages", other)) == "Hello from us-east5"


def test_what_vertex_refuses_is_not_sent(customer: Customer, upstream: FakeUpstream) -> None:
    assert ask(customer, "anthropic", MODEL, output_config={"effort": "low"}).status_code == 200
    assert "output_config" not in upstream.journal("us-east5")[0]["body"]
    schema = {"type": "json_schema", "schema": {"type": "object"}}
    refused = ask(customer, "anthropic", MODEL, output_config={"format": schema})
    assert refused.status_code == 400 and spine.error_of(refused)["param"] == "output_config"


@pytest.mark.ac("AC-2.4.6")
def test_it_comes_last_in_anthropics_chain_and_only_if_it_was_asked_for(
    gateway: LiveGateway, upstream: FakeUpstream, tmp_path: Path
) -> None:
    customer = gateway.customer(5)
    for slug in ("anthropic", "openrouter"):
        upstream.script(slug, default={"status": 503})
    answer = ask(customer, "anthropic", CLAUDE)
    assert spine.text_of("anthropic", answer) == "Hello from us-east5", answer.text
    assert [slug for slug in spine.asked(upstream) if slug != "issuer"] == ["anthropic", "openrouter", "us-east5"]
    assert upstream.journal("us-east5")[0]["model"].startswith("claude-sonnet-4-5")
    with LiveGateway(tmp_path, config(upstream, entry=False), environment(upstream)) as plain:
        asked_before = len(upstream.journal())
        assert ask(plain.customer(5), "anthropic", CLAUDE).status_code == 503
        assert [entry["persona"] for entry in upstream.journal()[asked_before:]] == ["anthropic", "openrouter"]
