"""Each quirk proven on the wire: one request in which it shows, at a provider that has it and at one that has not.

A further quirk is one more entry in `PROOFS`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx

from tests.conformance.front import Front
from tests.live import Customer

# What an odd provider of each kind is set to where no profile has the quirk; see `odd_providers`.
ODD_VALUES: dict[str, dict[str, Any]] = {
    "openai": {
        "max_tokens_field": "max_completion_tokens",
        "stream_options": False,
        "developer_role": True,
        "reasoning_field": "reasoning",
        "reasoning_details": True,
        "cache_control": True,
        "short_call_ids": True,
        "drop_params": ["seed"],
        "strip_answer_fields": ["odd_member"],
        "add_params": {"safe_prompt": True},
        "max_temperature": 0.7,
        "tool_choice": False,
    },
    "anthropic": {
        "adaptive_thinking": True,
        "system_messages": True,
        "drop_params": ["top_k"],
        "strip_answer_fields": ["odd_member"],
        "add_params": {"speed": "fast"},
        "max_temperature": 0.7,
        "model_in_body": False,
    },
    "openai_responses": {
        "namespaces": True,
        "drop_params": ["service_tier", "user"],
        "strip_answer_fields": ["odd_member"],
        "add_params": {"truncation": "auto"},
        "max_temperature": 0.7,
    },
    "bedrock": {
        "drop_params": ["topP"],
        "add_params": {"requestMetadata": {"team": "a"}},
        "max_temperature": 0.7,
        "adaptive_thinking": True,
        "system_messages": True,
    },
    "cohere": {"drop_params": ["k"], "add_params": {"safety_mode": "STRICT"}, "max_temperature": 0.7},
    "gemini": {"drop_params": ["topK"], "add_params": {"cachedContent": "c"}, "max_temperature": 0.7},
}
# A harmless value of each parameter that a profile drops: leaving it out changes nothing about the answer.
HARMLESS: dict[str, Any] = {
    "frequency_penalty": 0.5, "presence_penalty": 0.5, "logit_bias": {"5": 1}, "service_tier": "auto", "n": 1,
    "logprobs": False, "top_logprobs": 0, "seed": 7, "user": "u", "store": True, "reasoning_format": "raw",
    "verbosity": "low", "top_k": 40, "topK": 40, "topP": 0.9, "k": 40, "output_config": {}, "output_format": {},
}  # fmt: skip
# Those that must be refused where they are meant.
_FORMAT = {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}
MEANT: dict[str, Any] = {"n": 2, "logprobs": True, "output_config": {"format": _FORMAT}, "output_format": _FORMAT}
_ANTHROPIC_ONLY = frozenset({"top_k", "output_config", "output_format"})
CALL_ID = "call_with_a_long_id_0001"


@dataclass(frozen=True)
class Spoken:
    """What one provider got and what the client got."""

    body: dict[str, Any] | None
    answer: httpx.Response


@dataclass(frozen=True)
class Provider:
    """One provider in the front: how to reach its model, and what the fake saw of it."""

    front: Front
    customer: Customer
    model: str
    persona: str
    native_id: str
    dialect: str

    def speak(self, *, path: str = "/v1/chat/completions", script: dict[str, Any] | None = None, **more: Any) -> Spoken:
        """One request; messages and a maximum are there unless they are given."""
        fake = self.front.fake
        before = len(self.front.chats())
        if script is not None:
            fake.script(self.persona, script, model=self.native_id)
        said = {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 50}
        said = {"input": "Hello!"} if path == "/v1/responses" else said
        body = {"model": self.model, **said, **more}
        answer = self.customer.call("POST", path, body)
        seen = self.front.chats()[before:]
        assert len(seen) <= 1
        return Spoken(seen[0]["body"] if seen else None, answer)


Proof = Callable[[Provider, Any], Any]


def _max_tokens_field(at: Provider, value: Any) -> Any:
    body = at.speak().body
    return {name: body[name] for name in ("max_tokens", "max_completion_tokens", value) if name in body} == {value: 50}


def _stream_options(at: Provider, value: Any) -> Any:
    return ("stream_options" in at.speak(stream=True).body) is value


def _developer_role(at: Provider, value: Any) -> Any:
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello!"}]
    return (at.speak(messages=messages).body["messages"][0]["role"] == "developer") is value


def _reasoning_field(at: Provider, value: Any) -> Any:
    """Both ways: a conversation that is forwarded, and one that is translated."""
    thought = {"role": "assistant", "content": "Two.", "reasoning_content": "Let me see."}
    user = {"role": "user", "content": "One."}
    forwarded = at.speak(messages=[user, thought, user]).body["messages"][1]
    block = {"type": "thinking", "thinking": "Let me see.", "signature": ""}
    said = {"role": "assistant", "content": [block, {"type": "text", "text": "Two."}]}
    translated = at.speak(path="/v1/messages", messages=[user, said, user]).body["messages"][1]
    wanted = {"role": "assistant", "content": "Two.", **({value: "Let me see."} if value else {})}
    translated.pop("reasoning_details", None)
    return forwarded == wanted == translated


def _reasoning_details(at: Provider, value: Any) -> Any:
    block = {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"}
    messages = [
        {"role": "user", "content": "One."},
        {"role": "assistant", "content": [block, {"type": "text", "text": "Two."}]},
        {"role": "user", "content": "Three?"},
    ]
    details = at.speak(path="/v1/messages", messages=messages).body["messages"][1].get("reasoning_details")
    return bool(details and details[0]["signature"] == "c2ln") is value


def _cache_control(at: Provider, value: Any) -> Any:
    part = {"type": "text", "text": "A long text.", "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "user", "content": [part]}]
    return ("cache_control" in str(at.speak(path="/v1/messages", messages=messages).body)) is value


def _short_call_ids(at: Provider, value: Any) -> Any:
    call = {"id": CALL_ID, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "One."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": CALL_ID, "content": "done"},
    ]
    sent = at.speak(messages=messages).body["messages"]
    made, answered = sent[1]["tool_calls"][0]["id"], sent[2]["tool_call_id"]
    assert made == answered
    return bool(re.fullmatch(r"[A-Za-z0-9]{9}", made)) is value


def _drop_params(at: Provider, value: Any) -> Any:
    """Each name on its own: gone where nothing is lost by it, refused by its name where the caller meant it."""
    return all(_is_dropped(at, name) for name in value)


def _is_dropped(at: Provider, name: str) -> bool:
    asked = {"topK": "top_k", "topP": "top_p", "k": "top_k"}.get(name, name)
    path = "/v1/messages" if asked in _ANTHROPIC_ONLY else "/v1/chat/completions"
    sent = at.speak(path=path, **{asked: HARMLESS[name]}).body
    if f"'{name}':" in str(sent):
        return False
    if name not in MEANT:
        return True
    refused = at.speak(path=path, **{name: MEANT[name]})
    return refused.body is None and refused.answer.json()["error"]["param"] == name


_OWN_PATH = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "openai_responses": "/v1/responses"}


def _strip_answer_fields(at: Provider, value: Any) -> Any:
    """Plain and streamed, for a client of the provider's own dialect: any other never saw them."""
    path = _OWN_PATH[at.dialect]
    script = {"members": dict.fromkeys(value, "tell-tale")}
    told = [at.speak(path=path, script=script, stream=stream).answer for stream in (False, True)]
    assert all(answer.status_code == 200 and "Hello from" in answer.text.replace('"}', "") for answer in told[:1])
    return not any("tell-tale" in answer.text for answer in told)


def _add_params(at: Provider, value: Any) -> Any:
    body = at.speak().body
    return all(body.get(name) == added for name, added in value.items())


def _max_temperature(at: Provider, value: Any) -> Any:
    body = at.speak(temperature=2.0 if at.dialect != "anthropic" else 1.0).body
    return body.get("generationConfig", body.get("inferenceConfig", body))["temperature"] == value


def _tool_choice(at: Provider, value: Any) -> Any:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    auto = "tool_choice" in at.speak(tools=tools, tool_choice="auto").body
    none = "tools" in at.speak(tools=tools, tool_choice="none").body
    required = at.speak(tools=tools, tool_choice="required")
    refused = required.body is None and required.answer.json()["error"]["param"] == "tool_choice"
    return (auto, none, refused) == (value, value, not value)


def _adaptive_thinking(at: Provider, value: Any) -> Any:
    body = at.speak(reasoning_effort="low").body
    return (body.get("additionalModelRequestFields", body)["thinking"]["type"] == "adaptive") is value


def _system_messages(at: Provider, value: Any) -> Any:
    messages = [
        {"role": "user", "content": "One."}, {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Two."},
    ]  # fmt: skip
    return ("system" in [message["role"] for message in at.speak(messages=messages).body["messages"]]) is value


def _model_in_body(at: Provider, value: Any) -> Any:
    """Both ways: a request that is forwarded, and one that is translated."""
    bodies = [at.speak(path=path).body for path in ("/v1/messages", "/v1/chat/completions")]
    return all(("model" in body) is value for body in bodies)


def _namespaces(at: Provider, value: Any) -> Any:
    """Tools of a namespace stay in it, or stand beside the others under a name that tells of it."""
    tool = {"type": "function", "name": "get", "parameters": {"type": "object", "properties": {}}, "strict": False}
    group = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [tool]}
    sent = at.speak(path="/v1/responses", tools=[group]).body["tools"]
    return (sent == [group]) is value and (sent[0]["name"] == "crm__get") is not value


# Whether a provider behaves as this value of the quirk says. All are asked of one that has it, and of one that has not.
PROOFS: dict[str, Proof] = {
    "max_tokens_field": _max_tokens_field,
    "stream_options": _stream_options,
    "developer_role": _developer_role,
    "reasoning_field": _reasoning_field,
    "reasoning_details": _reasoning_details,
    "cache_control": _cache_control,
    "short_call_ids": _short_call_ids,
    "adaptive_thinking": _adaptive_thinking,
    "system_messages": _system_messages,
    "drop_params": _drop_params,
    "strip_answer_fields": _strip_answer_fields,
    "add_params": _add_params,
    "max_temperature": _max_temperature,
    "tool_choice": _tool_choice,
    "model_in_body": _model_in_body,
    "namespaces": _namespaces,
}
