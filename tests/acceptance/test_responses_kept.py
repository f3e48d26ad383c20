"""Responses that are kept: continued, read, listed and deleted by their own account; and streams that break."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest

from tests.acceptance.responses_house import BOTH, CHAT, CLAUDE, GEMINI, MODELS, NATIVE, PERSONA, config, stream_of
from tests.acceptance.spine import eventually, ledger, only_record, openai_client
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

GONE = "resp_" + "0" * 48
BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway before an upstream of each dialect."""
    home: Path = tmp_path_factory.mktemp("kept")
    with LiveGateway(home, config(upstream)) as live:
        yield live


@pytest.fixture
def customer(gateway: LiveGateway) -> Customer:
    """A fresh account that can pay."""
    return gateway.customer(5)


@pytest.fixture
def client(customer: Customer) -> openai.OpenAI:
    """Its client."""
    return openai_client(customer)


def texts(upstream: FakeUpstream, model: str) -> list[str]:
    """All texts of the conversation that the upstream of a model was sent last, in order."""
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list):
            for each in value:
                look(each)
        elif isinstance(value, dict):
            for name in ("content", "parts", "text"):
                look(value.get(name))

    body = upstream.journal(PERSONA[model])[-1]["body"]
    look(body.get("messages") or body.get("contents") or body.get("input"))
    return found


def respond(customer: Customer, body: dict[str, Any], *, stream: bool, **headers: str) -> dict[str, Any]:
    """The response object of a request, plain or at the end of a stream."""
    answer = customer.call("POST", "/v1/responses", {**body, "stream": stream}, **headers)
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = stream_of(answer.text)[-1]["response"] if stream else answer.json()
    return response


@BOTH_WAYS
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.ac("AC-9.1.6", "AC-9.1.10")
def test_a_conversation_of_three_turns(customer: Customer, upstream: FakeUpstream, model: str, stream: bool) -> None:
    previous = None
    for number in range(3):
        upstream.script(PERSONA[model], {"text": f"answer {number}"})
        body = {"model": model, "input": f"question {number}", "instructions": f"rule {number}"}
        response = respond(customer, {**body, "previous_response_id": previous}, stream=stream)
        assert response["previous_response_id"] == previous and response["store"] is True
        previous = response["id"]
    said = [text for text in texts(upstream, model) if not text.startswith("rule")]
    assert said == ["question 0", "answer 0", "question 1", "answer 1", "question 2"]
    told = json.dumps(upstream.journal(PERSONA[model])[-1]["body"])
    assert "rule 2" in told and "rule 1" not in told, "instructions are not carried over"


@pytest.mark.ac("AC-9.1.6")
def test_a_conversation_moves_between_models(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    previous: Any = None
    for number, model in enumerate((CHAT, CLAUDE, GEMINI, NATIVE, CHAT)):
        upstream.script(PERSONA[model], {"text": f"answer {number}", "thinking": "Hm.", "signature": f"sig{number}"})
        answer = client.responses.create(model=model, input=f"question {number}", previous_response_id=previous)
        previous = answer.id
    said = [text for text in texts(upstream, CHAT) if text.startswith(("question", "answer"))]
    assert said == [f"{kind} {number}" for number in range(5) for kind in ("question", "answer")][:-1]


@BOTH_WAYS
@pytest.mark.ac("AC-9.1.6")
def test_read_list_delete(customer: Customer, client: openai.OpenAI, upstream: FakeUpstream, stream: bool) -> None:
    asked = [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Two"},
        {"role": "user", "content": [{"type": "input_text", "text": "Three"}]},
    ]
    made = respond(customer, {"model": CHAT, "input": asked, "metadata": {"k": "v"}}, stream=stream)
    again = client.responses.retrieve(made["id"])
    assert json.loads(customer.call("GET", f"/v1/responses/{made['id']}").text) == made
    assert again.output_text == "Hello from chat" and again.metadata == {"k": "v"}
    assert customer.call("GET", f"/responses/{made['id']}").json() == made
    page = client.responses.input_items.list(made["id"], limit=2)
    assert [item.content[0].text for item in page] == ["Three", "Two", "One"], "pages follow each other"
    first = customer.call("GET", f"/v1/responses/{made['id']}/input_items?limit=2&order=asc").json()
    assert first["has_more"] is True and first["last_id"] == first["data"][1]["id"]
    rest = customer.call("GET", f"/v1/responses/{made['id']}/input_items?order=asc&after={first['last_id']}").json()
    assert [item["content"][0]["text"] for item in rest["data"]] == ["Three"] and rest["has_more"] is False
    with pytest.raises(openai.BadRequestError, match="close its connection"):
        client.responses.cancel(made["id"])
    refused = customer.call("GET", f"/v1/responses/{made['id']}?stream=true")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "stream")
    client.responses.delete(made["id"])
    for call in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            call(made["id"])
    with pytest.raises(openai.NotFoundError) as told:
        client.responses.create(model=CHAT, input="More.", previous_response_id=made["id"])
    assert told.value.code == "previous_response_not_found" and told.value.param == "previous_response_id"


@pytest.mark.parametrize(("query", "param"), [("limit=0", "limit"), ("limit=101", "limit"), ("order=best", "order")])
def test_a_wrong_page_of_items_is_400_as_at_openai(
    customer: Customer, client: openai.OpenAI, upstream: FakeUpstream, query: str, param: str
) -> None:
    made = respond(customer, {"model": CHAT, "input": "one"}, stream=False)
    answer = customer.call("GET", f"/v1/responses/{made['id']}/input_items?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    with pytest.raises(openai.BadRequestError):
        client.responses.input_items.list(made["id"], limit=0)


@pytest.mark.ac("AC-9.1.6")
def test_a_conversation_does_not_go_on_past_a_turn_that_was_deleted(client: openai.OpenAI) -> None:
    first = client.responses.create(model=CHAT, input="One")
    second = client.responses.create(model=CHAT, input="Two", previous_response_id=first.id)
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError, match=first.id):
        client.responses.create(model=CHAT, input="Three", previous_response_id=second.id)


@pytest.mark.ac("AC-9.1.6")
def test_what_is_not_to_be_kept_is_not(client: openai.OpenAI, customer: Customer, gateway: LiveGateway) -> None:
    made = client.responses.create(model=CHAT, input="A secret", store=False)
    assert made.model_dump()["store"] is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    kept = client.responses.create(model=CHAT, input="Remember the sea")
    with sqlite3.connect(gateway.home / "gatewayz.db") as database:
        rows = database.execute("SELECT * FROM kept_answers WHERE user_id = ?", (customer.user_id,)).fetchall()
    assert [row[0] for row in rows] == [kept.id]
    assert b"Remember the sea" not in b"".join(value for value in rows[0] if isinstance(value, bytes)), "encrypted"


@pytest.mark.ac("AC-9.1.6", "AC-9.1.7")
def test_other_accounts_and_unknown_ids_are_not_found(client: openai.OpenAI, gateway: LiveGateway) -> None:
    made = client.responses.create(model=CHAT, input="Mine")
    other = gateway.customer(5)
    for answer_id in (made.id, GONE, "resp_x", "resp_fake_1", "x%00y"):
        for method, tail in (("GET", ""), ("GET", "/input_items"), ("DELETE", ""), ("POST", "/cancel")):
            answer = other.call(method, f"/v1/responses/{answer_id}{tail}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "response_not_found")
        body = {"model": CHAT, "input": "x", "previous_response_id": answer_id.replace("%00", "\0")}
        answer = other.call("POST", "/v1/responses", body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "previous_response_not_found")
    assert client.responses.retrieve(made.id).id == made.id
    assert ledger(other) == []


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"role": "pirate", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [1]}, "input[0]"),
        ({"input": 5}, "input"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"tools": [{"name": "x"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "x"}], "tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"previous_response_id": 5}, "previous_response_id"),
        ({"store": "yes"}, "store"),
        ({"include": "x"}, "include"),
    ],
)
@pytest.mark.ac("AC-9.1.7")
def test_refusals_name_the_field(customer: Customer, more: dict[str, Any], param: str) -> None:
    answer = customer.call("POST", "/v1/responses", {"model": CHAT, "input": "Hello!", **more})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    assert ledger(customer) == []


@BOTH_WAYS
@pytest.mark.ac("AC-9.1.6")
def test_the_same_request_id_gets_the_same_response(customer: Customer, upstream: FakeUpstream, stream: bool) -> None:
    body = {"model": NATIVE, "input": "Once."}
    headers = {"X-Request-ID": f"once-{stream}"}
    first, second = (respond(customer, body, stream=stream, **headers) for _ in range(2))
    assert first == second and len(upstream.journal("nat")) == 1
    assert [kind for kind, _ in ledger(customer)] == ["api_usage"]
    assert customer.call("GET", f"/v1/responses/{first['id']}").json() == first


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("trouble", ["error", "silence", "reset"])
@pytest.mark.ac("AC-9.1.7")
def test_a_stream_that_breaks_ends_as_failed(
    customer: Customer, upstream: FakeUpstream, model: str, trouble: str
) -> None:
    script = {"error": {"error_after": 2}, "silence": {"close_after_chunks": 2}, "reset": {"cut_after_chunks": 2}}
    upstream.script(PERSONA[model], {"text": "one two three four five six", **script[trouble]})
    text = customer.call("POST", "/v1/responses", {"model": model, "input": "Hello!", "stream": True}).text
    told = stream_of(text)
    assert [each["type"] for each in told[-2:]] == ["error", "response.failed"]
    assert told[-2]["error"]["code"] == told[-2]["code"] == told[-1]["response"]["error"]["code"]
    assert told[-1]["response"]["status"] == "failed" and "fake" not in told[-1]["response"]["id"]
    assert any(each["type"] == "response.output_text.delta" for each in told)
    assert not any(each["type"] == "response.output_item.done" for each in told), "what is half said is not closed"
    assert [kind for kind, _ in ledger(customer)] == ["hold", "refund"]
    assert customer.call("GET", f"/v1/responses/{told[-1]['response']['id']}").status_code == 404


@pytest.mark.parametrize("model", [CHAT, NATIVE])
@pytest.mark.ac("AC-9.1.7")
def test_a_stream_that_never_starts_fails_in_the_words_of_the_api(
    customer: Customer, upstream: FakeUpstream, model: str
) -> None:
    upstream.script(PERSONA[model], {"hang": "first"})
    answer = customer.call("POST", "/v1/responses", {"model": model, "input": "Hello!", "stream": True})
    assert answer.status_code == 200, "the status line did not wait"
    told = stream_of(answer.text)
    kinds = ["response.created", "response.in_progress", "error", "response.failed"]
    assert [each["type"] for each in told] == kinds and told[-1]["response"]["model"] == model
    assert [kind for kind, _ in ledger(customer)] == ["hold", "refund"]


@pytest.mark.ac("AC-9.1.6", "AC-9.1.7")
def test_the_sdk_raises_what_broke_a_stream(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    for model in (CHAT, NATIVE):
        upstream.script(PERSONA[model], {"text": "one two three four", "error_after": 2})
        with pytest.raises(openai.APIError, match="broke off"):
            for _ in client.responses.create(model=model, input="Hello!", stream=True):
                pass


@BOTH_WAYS
@pytest.mark.parametrize("trouble", ["error in 200", "status", "empty", "malformed"])
@pytest.mark.ac("AC-9.1.10")
def test_failover_is_invisible(customer: Customer, upstream: FakeUpstream, trouble: str, stream: bool) -> None:
    failed = {"error": {"message": "boom", "type": "server_error", "code": "server_error"}}
    script = {
        "error in 200": {"error_in_200": failed},
        "status": {"status": 503},
        "empty": {"empty": True},
        "malformed": {"body": "no JSON at all"},
    }[trouble]
    upstream.script("nat", script)
    response = respond(customer, {"model": BOTH, "input": "Hello!"}, stream=stream)
    assert response["output"][-1]["content"][0]["text"] == "Hello from other"
    assert only_record(customer)["attempts"][0].startswith("nat:")


@pytest.mark.ac("AC-9.1.6")
def test_a_client_that_leaves_pays_for_what_it_got_and_nothing_is_kept(
    customer: Customer, gateway: LiveGateway, upstream: FakeUpstream
) -> None:
    upstream.script("nat", {"text": "one two three four five six seven", "chunk_delay_s": 0.2})
    headers = {"Authorization": f"Bearer {customer.key}"}
    body = {"model": NATIVE, "input": "Hello!", "stream": True}
    url = f"{gateway.base_url}/v1/responses"
    with httpx.stream("POST", url, json=body, headers=headers, timeout=30, verify=False) as answer:
        for line in answer.iter_lines():
            if "output_text.delta" in line:
                break
    rows = eventually(lambda: ledger(customer), "the charge", 20)
    assert [kind for kind, _ in rows] == ["api_usage"]
    assert only_record(customer)["error_code"] == "client_closed"
    with sqlite3.connect(gateway.home / "gatewayz.db") as database:
        count = "SELECT count(*) FROM kept_answers WHERE user_id = ?"
        assert database.execute(count, (customer.user_id,)).fetchone() == (0,)


@pytest.mark.ac("AC-9.1.6")
def test_a_kept_response_outlives_the_process(upstream: FakeUpstream, tmp_path: Path) -> None:
    gateway = LiveGateway(tmp_path / "home", config(upstream)).start()
    try:
        customer = gateway.customer(5)
        made = respond(customer, {"model": CHAT, "input": "Remember."}, stream=True)
        gateway.kill()
        gateway.start()
        assert customer.call("GET", f"/v1/responses/{made['id']}").json() == made
        went_on = respond(customer, {"model": CHAT, "input": "And?", "previous_response_id": made["id"]}, stream=False)
        assert went_on["previous_response_id"] == made["id"]
        assert texts(upstream, CHAT) == ["Remember.", "Hello from chat", "And?"]
    finally:
        gateway.stop()


@pytest.mark.ac("AC-9.1.6")
def test_a_complete_response_is_kept_and_charged_whenever_the_process_is_killed(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.script("chat", default={"text": "one two three", "chunk_delay_s": 0.005})
    gateway = LiveGateway(tmp_path / "home", config(upstream)).start()
    try:
        customer = gateway.customer(50)
        complete: list[str] = []
        over = threading.Event()

        def ask() -> None:
            body = {"model": CHAT, "input": "Hello!", "stream": True}
            while not over.is_set():
                try:
                    answer = customer.call("POST", "/v1/responses", body)
                except httpx.TransportError:
                    return  # the process is gone
                if answer.status_code == 200 and "event: response.completed" in answer.text:
                    complete.append(stream_of(answer.text)[-1]["response"]["id"])

        clients = [threading.Thread(target=ask) for _ in range(6)]
        for client in clients:
            client.start()
        eventually(lambda: len(complete) > 20, "some complete responses", 60)
        gateway.kill()
        over.set()
        for client in clients:
            client.join(60)
        gateway.start()
        for answer_id in complete:
            assert customer.call("GET", f"/v1/responses/{answer_id}").json()["status"] == "completed"
        charges = [kind for kind, _ in ledger(customer) if kind == "api_usage"]
        assert len(complete) <= len(charges) <= len(complete) + len(clients)
    finally:
        gateway.stop()
