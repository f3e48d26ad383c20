"""Plain answers: the Responses API on the wire <-> canonical form."""

from collections.abc import Mapping
from typing import Any

from gatewayz.core.chat import ChatAnswer, Choice, Part, RedactedThinking, Refusal, Text, Thinking, ToolCall
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Voice
from gatewayz.dialects.openai_responses import frame, wire
from gatewayz.dialects.openai_responses.items_read import CUSTOM_INPUT, read_output
from gatewayz.dialects.openai_responses.names import Called, known_as
from gatewayz.dialects.openai_responses.reasoning import carried
from gatewayz.dialects.unknown import noting_opaque


def glance_answer(body: bytes) -> AnswerFacts:
    """What a plain answer says. Raises ValueError if these bytes are no answer (an error with status 200, say)."""
    return _facts(read_body(body))


def read_answer(body: bytes, provider: str = "") -> tuple[ChatAnswer, AnswerFacts]:
    """An answer of `provider` in canonical form, and what it says. Raises ValueError if these bytes are no answer."""
    read = read_body(body)
    facts = _facts(read)
    finish, native = wire.finish_of(read)
    parts = read_output(read.output or (), provider)
    choice = Choice(parts, finish, native, logprobs=_logprobs(read.output or ()))
    answer = ChatAnswer(
        id=facts.upstream_id or "",
        model=read.model if isinstance(read.model, str) else "",
        created=int(read.created_at) if isinstance(read.created_at, (int, float)) else 0,
        choices=(choice,),
        usage=facts.usage,
        service_tier=read.service_tier if isinstance(read.service_tier, str) else None,
    )
    return answer, noting_opaque(facts, answer.choices)


def read_body(body: bytes) -> wire.Body:
    """The response on the wire. Raises ValueError if it is none, or one that did not end."""
    read = wire.body(body)
    if read.output is None or read.error or read.status not in ("completed", "incomplete"):
        raise ValueError("not a response that has ended")
    return read


def _facts(read: wire.Body) -> AnswerFacts:
    finish, native = wire.finish_of(read)
    parts = read_output(read.output or ())
    return AnswerFacts(
        usage=wire.usage_in(read),
        finish=finish,
        native_finish=native,
        upstream_id=read.id if isinstance(read.id, str) and read.id else None,
        empty=not any(part.text if isinstance(part, (Text, Thinking, Refusal)) else True for part in parts),
        output_chars=sum(_chars(part) for part in parts),
    )


def _chars(part: Part) -> int:
    if isinstance(part, (Text, Thinking, Refusal)):
        return len(part.text)
    return len(part.name) + len(part.arguments) if isinstance(part, ToolCall) else 0


def _logprobs(output: Any) -> Any:
    """The log probabilities of all texts, as Chat Completions has them; None if there are none."""
    found: list[Any] = []
    for item in output:
        content = item.get("content") if isinstance(item, dict) and item.get("type") == "message" else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and isinstance(part.get("logprobs"), list):
                found += part["logprobs"]
    return {"content": found} if found else None


def write_answer(answer: ChatAnswer, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
    """A response with `usage.cost`."""
    choice = answer.choices[0] if answer.choices else Choice((), "stop")
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    status, why = frame.ended(choice.finish, refused)
    output = written_output(choice, voice, "incomplete" if choice.finish == "length" else "completed")
    tier = {} if answer.service_tier is None else {"service_tier": answer.service_tier}
    members = wire.usage_members(usage, cost_nano_usd)
    return json_text.dump(frame.response(voice, status, output, **tier, **why, usage=members))


def written_output(choice: Choice, voice: Voice, last_status: str) -> list[dict[str, Any]]:
    """The output items of an answer; `last_status` is the status of its last message."""
    tools, summed_up = asked(voice)
    items: list[dict[str, Any]] = []
    for part in choice.parts:
        number = len(items)
        if isinstance(part, (Text, Refusal)):
            if not items or items[-1]["type"] != "message":
                items.append(message_item(frame.item_id("msg", voice, number), [], "completed"))
            items[-1]["content"].append(_said(part, choice.logprobs))
        elif isinstance(part, Thinking):
            encrypted = carried(part.signature, part.format, hidden=False) if part.signature else None
            items.append(reasoning_item(frame.item_id("rs", voice, number), part.text, encrypted, summed_up))
        elif isinstance(part, RedactedThinking):
            encrypted = carried(part.data, part.format, hidden=True)
            items.append(reasoning_item(frame.item_id("rs", voice, number), "", encrypted, summed_up))
        elif isinstance(part, ToolCall):
            called = tools.get(part.name) or Called(part.name)
            kind = "ctc" if called.custom else "fc"
            items.append(call_item(frame.item_id(kind, voice, number), part, "completed", called))
    if items and items[-1]["type"] == "message":
        items[-1]["status"] = last_status
    return items


def asked(voice: Voice) -> tuple[Mapping[str, Called], bool]:
    """(tools that are more than functions, whether reasoning is to be told as a summary): how the answer is wanted."""
    if voice.framing is None:
        return {}, False
    tools, reasoning = voice.framing.echo["tools"], voice.framing.echo["reasoning"]
    wanted = reasoning if isinstance(reasoning, dict) else json_text.load(reasoning)
    known: Mapping[str, Called] = {}
    if not isinstance(tools, list) and (b'"custom"' in bytes(tools) or b'"namespace"' in bytes(tools)):
        known = known_as(json_text.load(tools))
    return known, bool(wanted.get("summary") or wanted.get("generate_summary"))


def message_item(name: str, content: list[Any], status: str) -> dict[str, Any]:
    """A message of the assistant."""
    return {"id": name, "type": "message", "status": status, "role": "assistant", "content": content}


def text_part(text: str, annotations: list[Any], logprobs: list[Any]) -> dict[str, Any]:
    """A text of a message."""
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs}


def reasoning_item(name: str, text: str, encrypted: str | None, summed_up: bool) -> dict[str, Any]:
    """A reasoning item; its text stands in the summary where the client asked for one, else in the content."""
    item: dict[str, Any] = {"id": name, "type": "reasoning", "status": "completed", "summary": []}
    if text and summed_up:
        item["summary"] = [{"type": "summary_text", "text": text}]
    elif text:
        item["content"] = [{"type": "reasoning_text", "text": text}]
    if encrypted is not None:
        item["encrypted_content"] = encrypted
    return item


def call_item(name: str, call: ToolCall, status: str, called: Called) -> dict[str, Any]:
    """A call of a function, or of a custom tool, under the name that the client knows."""
    kind = "custom_tool_call" if called.custom else "function_call"
    item: dict[str, Any] = {"id": name, "type": kind, "status": status}
    if called.custom:
        item["input"] = custom_input(call.arguments)
    else:
        item["arguments"] = call.arguments
    if called.namespace is not None:
        item["namespace"] = called.namespace
    return {**item, "call_id": call.id, "name": called.name}


def custom_input(arguments: str) -> str:
    """The free text that a model gave to a custom tool; as it stands if it kept to no form."""
    try:
        value = json_text.load(arguments.encode("utf-8", "surrogatepass"))
    except ValueError:
        return arguments
    text = value.get(CUSTOM_INPUT) if isinstance(value, dict) else value
    return text if isinstance(text, str) else arguments


def _said(part: Text | Refusal, logprobs: Any) -> dict[str, Any]:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    found = [frame.annotation(each, 0, len(part.text)) for each in part.annotations]
    return text_part(part.text, found, frame.logprobs(logprobs))
