"""OpenAI Responses with the official SDK against a live process, over an upstream of each dialect (9.1)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.acceptance.responses_house import (
    BOTH,
    CHAT,
    CLAUDE,
    FREE,
    GEMINI,
    MODELS,
    NATIVE,
    PARIS,
    PERSONA,
    WEATHER,
    config,
    stream_of,
)
from tests.acceptance.spine import openai_client
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

EVERYWHERE = pytest.mark.parametrize("model", MODELS)
USAGE = {"prompt": 12, "completion": 7, "cached": 4}


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway before an upstream of each dialect."""
    home: Path = tmp_path_factory.mktemp("responses")
    with LiveGateway(home, config(upstream)) as live:
        yield live


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    """An account that can pay."""
    return gateway.customer(50)


@pytest.fixture(scope="module")
def client(customer: Customer) -> openai.OpenAI:
    """Its client."""
    return openai_client(customer)


def sent(upstream: FakeUpstream, persona: str) -> dict[str, Any]:
    """The last body that a persona was sent."""
    body: dict[str, Any] = upstream.journal(persona)[-1]["body"]
    return body


@EVERYWHERE
@pytest.mark.ac("AC-9.1.6", "AC-9.1.10")
def test_a_plain_answer(client: openai.OpenAI, upstream: FakeUpstream, model: str) -> None:
    upstream.script(PERSONA[model], {"text": "Salut — 你好", "usage": USAGE})
    answer = client.responses.create(model=model, input="Hello!", instructions="Be kind.", metadata={"a": "b"})
    assert answer.output_text == "Salut — 你好" and answer.status == "completed"
    assert (answer.object, answer.model, answer.instructions) == ("response", model, "Be kind.")
    assert answer.id.startswith("resp_") and "fake" not in answer.id and answer.metadata == {"a": "b"}
    assert answer.usage is not None and answer.usage.model_extra is not None
    told = (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens)
    assert told == (12, 7, 19) and answer.usage.input_tokens_details.cached_tokens == 4
    assert answer.usage.model_extra["cost"] > 0
    assert "Be kind." in json.dumps(sent(upstream, PERSONA[model]))


@EVERYWHERE
@pytest.mark.ac("AC-9.1.2", "AC-9.1.6", "AC-9.1.10")
def test_a_stream(customer: Customer, client: openai.OpenAI, upstream: FakeUpstream, model: str) -> None:
    script = {"text": "one two three — 你好", "usage": USAGE, "split": 3}
    upstream.script(PERSONA[model], script, script)
    answer = customer.call("POST", "/v1/responses", {"model": model, "input": "Hello!", "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = stream_of(answer.text)
    assert "".join(each["delta"] for each in told if each["type"] == "response.output_text.delta") == script["text"]
    assert told[-1]["type"] == "response.completed" and told[-1]["response"]["usage"]["cost"] > 0
    kinds = [each["type"] for each in told]
    assert kinds.count("response.output_text.done") == kinds.count("response.content_part.done") == 1
    with client.responses.stream(model=model, input="Hello!") as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert final.output_text == script["text"] and final.model == model and final.usage is not None


@EVERYWHERE
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.ac("AC-9.1.4", "AC-9.1.6", "AC-CC.13.1", "AC-CC.13.2")
def test_tools_over_two_turns(client: openai.OpenAI, upstream: FakeUpstream, model: str, stream: bool) -> None:
    upstream.script(PERSONA[model], {"tool_calls": [PARIS]}, {"text": "Sunny."})
    asked: list[Any] = [{"role": "user", "content": "Weather in Paris?"}]
    if stream:
        with client.responses.stream(model=model, input=asked, tools=[WEATHER], store=False) as events:
            first = events.until_done().get_final_response()
    else:
        first = client.responses.create(model=model, input=asked, tools=[WEATHER], store=False)
    (call,) = (item for item in first.output if item.type == "function_call")
    assert (call.call_id, call.name) == ("call_p", "get_weather") and json.loads(call.arguments) == {"city": "Paris"}
    asked += [item.model_dump(exclude_none=True) for item in first.output]
    asked.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    second = client.responses.create(model=model, input=asked, tools=[WEATHER], store=False)
    assert second.output_text == "Sunny."
    body = json.dumps(sent(upstream, PERSONA[model]))
    assert "sunny" in body and body.count("get_weather") >= 2 and "Weather of a city" in body


class City(BaseModel):
    name: str
    people: int


@EVERYWHERE
@pytest.mark.ac("AC-9.1.6")
def test_a_parsed_answer(client: openai.OpenAI, upstream: FakeUpstream, model: str) -> None:
    upstream.script(PERSONA[model], {"text": '{"name": "Paris", "people": 2000000}'})
    answer = client.responses.parse(model=model, input="Which?", text_format=City)
    assert answer.output_parsed == City(name="Paris", people=2_000_000)
    assert '"people"' in json.dumps(sent(upstream, PERSONA[model]))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("model", "signature"), [(CLAUDE, "c2lnLWNsYXVkZQ=="), (GEMINI, "c2lnLWdlbWluaQ=="), (BOTH, "gAAAA-secret")]
)
@pytest.mark.ac("AC-9.1.6", "AC-CC.13.1")
def test_encrypted_reasoning_goes_back_to_its_family_only(
    client: openai.OpenAI, upstream: FakeUpstream, model: str, signature: str, stream: bool
) -> None:
    persona = "nat" if model == BOTH else PERSONA[model]
    upstream.script(
        persona, {"thinking": "Let me see.", "signature": signature, "tool_calls": [PARIS]}, {"text": "Ok."}
    )
    asked: list[Any] = [{"role": "user", "content": "Weather in Paris?"}]
    wanted: Any = {
        "model": model,
        "tools": [WEATHER],
        "store": False,
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }
    if stream:
        with client.responses.stream(input=asked, **wanted) as events:
            first = events.until_done().get_final_response()
    else:
        first = client.responses.create(input=asked, **wanted)
    thoughts = [item for item in first.output if item.type == "reasoning"]
    assert "".join(part.text for item in thoughts for part in item.summary) == "Let me see."
    assert any(signature in (item.encrypted_content or "") for item in thoughts)
    asked += [item.model_dump(exclude_none=True) for item in first.output]
    asked.append({"type": "function_call_output", "call_id": "call_p", "output": "sunny"})
    client.responses.create(input=asked, **wanted)
    body = json.dumps(sent(upstream, persona))
    assert f'"{signature}"' in body and "gatewayz-v1" not in body and "-v1:" not in body
    for other in {CHAT, CLAUDE, GEMINI, NATIVE} - {model, NATIVE if model == BOTH else ""}:
        client.responses.create(input=asked, **{**wanted, "model": other})
        assert signature not in json.dumps(sent(upstream, PERSONA[other])), other


@pytest.mark.ac("AC-9.1.10")
def test_reasoning_that_another_provider_encrypted_is_left_out_on_failover(
    client: openai.OpenAI, upstream: FakeUpstream
) -> None:
    upstream.script("nat", {"signature": "of-nat", "text": "One."}, {"status": 500})
    first = client.responses.create(model=BOTH, input="Hello!")
    second = client.responses.create(model=BOTH, input="And then?", previous_response_id=first.id)
    assert second.output_text == "Hello from other"
    failed, served = sent(upstream, "nat"), sent(upstream, "other")
    assert [item["type"] for item in failed["input"]] == ["message", "reasoning", "message", "message"]
    assert failed["input"][1]["encrypted_content"] == "of-nat"
    assert [item["type"] for item in served["input"]] == ["message", "message", "message"]
    for body in (failed, served):
        assert body["store"] is False and "previous_response_id" not in body
        assert body["include"] == ["reasoning.encrypted_content"]
        assert not any("id" in item for item in body["input"])


@pytest.mark.ac("AC-9.1.6")
def test_what_the_model_could_not_finish_is_incomplete(customer: Customer, upstream: FakeUpstream) -> None:
    for model, finish in ((CHAT, "length"), (CLAUDE, "max_tokens"), (GEMINI, "MAX_TOKENS"), (NATIVE, "length")):
        upstream.script(PERSONA[model], *[{"text": "One two", "finish": finish}] * 2)
        body = {"model": model, "input": "Count.", "max_output_tokens": 16}
        plain = customer.call("POST", "/v1/responses", body).json()
        told = stream_of(customer.call("POST", "/v1/responses", {**body, "stream": True}).text)
        assert told[-1]["type"] == "response.incomplete", model
        for response in (plain, told[-1]["response"]):
            assert (response["status"], response["incomplete_details"]) == (
                "incomplete",
                {"reason": "max_output_tokens"},
            )
            assert response["output"][-1]["status"] == "incomplete"


@pytest.mark.ac("AC-9.1.6")
def test_a_refusal(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    for model in (CHAT, NATIVE):
        upstream.script(PERSONA[model], {"refusal": "I will not."})
        with client.responses.stream(model=model, input="Do it.") as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_response()
        assert "response.refusal.delta" in kinds and "response.refusal.done" in kinds
        (message,) = final.output
        assert message.type == "message" and message.content[0].type == "refusal"
        assert message.content[0].refusal == "I will not." and final.status == "completed"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.ac("AC-9.1.6")
def test_a_custom_tool(client: openai.OpenAI, upstream: FakeUpstream, stream: bool) -> None:
    tool: Any = {"type": "custom", "name": "write", "description": "Writes free text."}
    upstream.script("chat", {"tool_calls": [{"id": "c1", "name": "write", "arguments": {"input": "*** Begin"}}]})
    upstream.script("nat", {"tool_calls": [{"id": "c1", "name": "write", "input": "*** Begin"}]})
    for model in (CHAT, NATIVE):
        asked: Any = {"model": model, "input": "Go.", "tools": [tool]}
        if stream:
            with client.responses.stream(**asked) as events:
                seen = [event for event in events if event.type == "response.custom_tool_call_input.delta"]
                first = events.get_final_response()
            assert "".join(event.delta for event in seen) == "*** Begin"
        else:
            first = client.responses.create(**asked)
        (call,) = first.output
        assert call.type == "custom_tool_call" and (call.name, call.input) == ("write", "*** Begin")
    function = sent(upstream, "chat")["tools"][0]["function"]
    assert function["name"] == "write" and function["parameters"]["required"] == ["input"]
    assert sent(upstream, "nat")["tools"] == [tool]
    upstream.script("chat", {"text": "Done."})
    output = {"type": "custom_tool_call_output", "call_id": "c1", "output": "written"}
    more: Any = [{"role": "user", "content": "Go."}, call.model_dump(exclude_none=True), output]
    client.responses.create(model=CHAT, input=more, tools=[tool])
    assert sent(upstream, "chat")["messages"][-1] == {"role": "tool", "tool_call_id": "c1", "content": "written"}


@pytest.mark.ac("AC-9.1.6", "AC-9.1.7")
def test_tools_of_the_api_itself_need_a_provider_that_has_them(customer: Customer, upstream: FakeUpstream) -> None:
    searched = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "x"},
    }
    message = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": []}
    text = {"type": "output_text", "text": "Found.", "annotations": []}
    body = {
        "id": "r",
        "object": "response",
        "status": "completed",
        "output": [searched, {**message, "content": [text]}],
    }
    upstream.script("nat", {"body": json.dumps(body)})
    wanted = {"input": "Search.", "tools": [{"type": "web_search", "search_context_size": "low"}]}
    answer = customer.call("POST", "/v1/responses", {"model": NATIVE, **wanted}).json()
    assert answer["output"][0] == searched
    assert sent(upstream, "nat")["tools"] == wanted["tools"]
    for model in (CHAT, CLAUDE, GEMINI):
        refused = customer.call("POST", "/v1/responses", {"model": model, **wanted})
        error = refused.json()["error"]
        assert (refused.status_code, error["param"]) == (400, "tools") and "web_search" in error["message"]


@pytest.mark.ac("AC-9.1.7")
def test_what_a_model_cannot_do_is_named_as_the_api_names_it(customer: Customer) -> None:
    image = {"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]}
    for body in ({"input": [image]}, {"instructions": "Rule.", "input": [{"type": "web_search_call", "id": "w"}]}):
        refused = customer.call("POST", "/v1/responses", {"model": CHAT, **body})
        error = refused.json()["error"]
        assert (refused.status_code, error["param"]) == (400, "input") and error["message"].startswith("'input' holds")


@pytest.mark.ac("AC-9.1.10")
def test_chats_and_messages_are_served_by_a_provider_of_responses(customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script("nat", *[{"thinking": "Hm.", "text": "Hi.", "tool_calls": [PARIS], "usage": USAGE}] * 4)
    tool = {"name": "get_weather", "description": "d", "parameters": WEATHER["parameters"]}
    messages = [{"role": "user", "content": "Weather?"}]
    chat: dict[str, Any] = {"model": NATIVE, "messages": messages, "tools": [{"type": "function", "function": tool}]}
    message = customer.call("POST", "/v1/chat/completions", chat).json()["choices"][0]
    assert message["finish_reason"] == "tool_calls" and message["message"]["content"] == "Hi."
    assert message["message"]["tool_calls"][0]["id"] == "call_p" and message["message"]["reasoning_content"] == "Hm."
    history = [*messages, message["message"], {"role": "tool", "tool_call_id": "call_p", "content": "sunny"}]
    streamed = customer.call("POST", "/v1/chat/completions", {**chat, "messages": history, "stream": True}).text
    assert '"content":"Hi."' in streamed and '"finish_reason":"tool_calls"' in streamed
    items = sent(upstream, "nat")["input"]
    kinds = [item["type"] for item in items]
    assert kinds == ["message", "reasoning", "message", "function_call", "function_call_output"]
    assert items[1]["encrypted_content"] == "secret-of-nat"
    body = {"model": NATIVE, "max_tokens": 50, "messages": messages}
    told = customer.call("POST", "/v1/messages", body).json()
    assert [block["type"] for block in told["content"]] == ["thinking", "text", "tool_use"]
    text = customer.call("POST", "/v1/messages", {**body, "stream": True}).text
    assert "event: message_stop" in text and '"stop_reason":"tool_use"' in text


@pytest.mark.ac("AC-9.1.8", "AC-9.1.9")
def test_strangers(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    answer = gateway.call("POST", "/v1/responses", {"model": FREE, "input": "Hello!"})
    assert answer.status_code == 200 and answer.json()["store"] is False
    assert sent(upstream, "chat")["max_tokens"] == 1024
    refused = gateway.call("POST", "/v1/responses", {"model": CHAT, "input": "Hello!"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "missing_api_key")
    assert gateway.call("GET", f"/v1/responses/{answer.json()['id']}").status_code == 401


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.ac("AC-9.1.6")
def test_tools_of_a_namespace(customer: Customer, upstream: FakeUpstream, stream: bool) -> None:
    group = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [WEATHER]}
    body: dict[str, Any] = {"model": CHAT, "input": [{"role": "user", "content": "Go."}], "tools": [group]}
    upstream.script("chat", {"tool_calls": [{**PARIS, "name": "crm__get_weather"}]}, {"text": "Done."})
    answer = customer.call("POST", "/v1/responses", {**body, "stream": stream})
    response = stream_of(answer.text)[-1]["response"] if stream else answer.json()
    (call,) = response["output"]
    assert (call["type"], call["namespace"], call["name"]) == ("function_call", "crm", "get_weather")
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    assert customer.call("POST", "/v1/responses", {**body, "input": [*body["input"], call, output]}).status_code == 200
    told = sent(upstream, "chat")
    assert told["messages"][1]["tool_calls"][0]["function"]["name"] == "crm__get_weather"
    assert told["tools"][0]["function"]["description"] == "Weather of a city\n(crm: Customers.)"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.ac("AC-9.1.6")
def test_a_provider_of_the_api_that_knows_no_namespaces(
    customer: Customer, upstream: FakeUpstream, stream: bool
) -> None:
    group = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [WEATHER]}
    choice = {"type": "function", "name": "get_weather", "namespace": "crm"}
    asked = {"role": "user", "content": "Go."}
    body: dict[str, Any] = {"model": NATIVE, "input": [asked], "tools": [group], "tool_choice": choice}
    upstream.script("nat", {"tool_calls": [{**PARIS, "name": "crm__get_weather"}]}, {"text": "Done."})
    answer = customer.call("POST", "/v1/responses", {**body, "stream": stream})
    told = stream_of(answer.text) if stream else []
    response = told[-1]["response"] if stream else answer.json()
    calls = [each["item"] for each in told if "item" in each] + response["output"]
    assert {(call["namespace"], call["name"]) for call in calls} == {("crm", "get_weather")}
    assert response["tools"] == [group]
    output = {"type": "function_call_output", "call_id": "call_p", "output": "sunny"}
    customer.call("POST", "/v1/responses", {**body, "input": [asked, response["output"][0], output]})
    again = sent(upstream, "nat")
    words = "Weather of a city\n(crm: Customers.)"
    assert again["tools"] == [{**WEATHER, "name": "crm__get_weather", "description": words}]
    assert again["tool_choice"] == {"type": "function", "name": "crm__get_weather"}
    assert again["input"][1]["name"] == "crm__get_weather" and "namespace" not in again["input"][1]
