"""Plain answers: Chat Completions on the wire <-> canonical form."""

from typing import Any

from gatewayz.core.chat import (
    ChatAnswer,
    Choice,
    FinishReason,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from gatewayz.core.usage import Usage
from gatewayz.dialects import citations, json_text
from gatewayz.dialects.base import AnswerFacts, Voice
from gatewayz.dialects.openai_chat import wire
from gatewayz.dialects.openai_chat.answer_forward import facts_of, read_body
from gatewayz.dialects.openai_chat.chunks import stable_id
from gatewayz.dialects.openai_chat.normal import arguments_text, split_content
from gatewayz.dialects.openai_chat.parts_read import NAME, read_reasoning
from gatewayz.dialects.openai_chat.parts_write import reasoning_details, tool_call
from gatewayz.dialects.unknown import noting_opaque


def read_answer(body: bytes) -> tuple[ChatAnswer, AnswerFacts]:
    """An answer in canonical form, and what it says. Raises ValueError if these bytes are no answer."""
    read = read_body(body)
    facts = facts_of(read)
    answer = ChatAnswer(
        id=facts.upstream_id or "",
        model=read.model if isinstance(read.model, str) else "",
        created=read.created if isinstance(read.created, int) else 0,
        choices=tuple(_choice(choice, read) for choice in read.choices or ()),
        usage=facts.usage,
        service_tier=read.service_tier if isinstance(read.service_tier, str) else None,
        system_fingerprint=read.system_fingerprint if isinstance(read.system_fingerprint, str) else None,
    )
    return answer, noting_opaque(facts, answer.choices)


def _choice(choice: wire.Choice, body: wire.Body) -> Choice:
    message = choice.message or {"content": choice.text}
    parts = read_reasoning(message)
    content = message.get("content")
    if isinstance(content, list):
        text, thought = split_content(content)
        if thought:
            parts.append(Thinking(thought))
        content = text
    if not content:
        content = _transcript(message)
    if isinstance(content, str) and content:
        annotations = message.get("annotations")
        kept = (
            tuple(annotations) if isinstance(annotations, list) and annotations else citations.from_urls(body.citations)
        )
        parts.append(Text(content, annotations=kept))
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(Refusal(refusal))
    images = message.get("images")
    if isinstance(images, list) and images:
        parts.append(Opaque(NAME, "images", {"images": images}))
    calls = _calls(message, body)
    parts += calls
    native = choice.finish_reason if isinstance(choice.finish_reason, str) else None
    own = choice.native_finish_reason
    stopped_by = choice.stop_reason
    return Choice(
        parts=tuple(parts),
        finish=with_calls(wire.finish_reason(native or "stop"), bool(calls)),
        native_finish=own if isinstance(own, str) and own else native,
        stop_sequence=stopped_by if isinstance(stopped_by, str) else None,
        logprobs=choice.logprobs,
    )


def with_calls(finish: FinishReason, calls: bool) -> FinishReason:
    """The finish of an answer; some providers (and OpenAI itself for a forced function) say stop after tool calls."""
    return "tool_calls" if calls and finish == "stop" else finish


def _transcript(message: dict[str, Any]) -> Any:
    audio = message.get("audio")
    return audio.get("transcript") if isinstance(audio, dict) else None


def _calls(message: dict[str, Any], body: wire.Body) -> list[Part]:
    parts: list[Part] = []
    calls = message.get("tool_calls")
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        if not isinstance(call, dict):
            continue
        function = call.get("function")
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            call_id = call.get("id")
            made_up = made_up_call_id(body.id, index)
            arguments = arguments_text(function.get("arguments"))
            parts.append(
                ToolCall(call_id if isinstance(call_id, str) and call_id else made_up, function["name"], arguments)
            )
        else:
            parts.append(Opaque(NAME, str(call.get("type")), call))
    legacy = message.get("function_call")
    if isinstance(legacy, dict) and isinstance(legacy.get("name"), str) and legacy["name"] and not parts:
        parts.append(ToolCall(made_up_call_id(body.id, 0), legacy["name"], arguments_text(legacy.get("arguments"))))
    return parts


def made_up_call_id(answer_id: Any, index: int) -> str:
    """An id for a tool call whose provider sent none."""
    tail = "".join(char for char in str(answer_id or "")[-24:] if char.isascii() and char.isalnum())
    return f"call_{tail}_{index}"


def write_answer(answer: ChatAnswer, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
    """A Chat Completions answer with `usage.cost`."""
    body: dict[str, Any] = {
        "id": stable_id(voice, answer.id),
        "object": "chat.completion",
        "created": voice.created,
        "model": voice.model,
        "choices": [_written(choice, index) for index, choice in enumerate(answer.choices)],
        "usage": wire.usage_members(usage, cost_nano_usd, voice.more(usage)),
    }
    if answer.service_tier is not None:
        body["service_tier"] = answer.service_tier
    if answer.system_fingerprint is not None:
        body["system_fingerprint"] = answer.system_fingerprint
    return json_text.dump(body)


def _written(choice: Choice, index: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    texts = [part for part in choice.parts if isinstance(part, Text)]
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    message["content"] = "".join(part.text for part in texts) if texts else None
    refusals = [part.text for part in choice.parts if isinstance(part, Refusal)]
    message["refusal"] = "".join(refusals) or None
    thoughts = [part.text for part in choice.parts if isinstance(part, Thinking) and part.text]
    if thoughts:
        message["reasoning_content"] = "\n\n".join(thoughts)
    details = reasoning_details(choice.parts)
    if details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = [tool_call(call) for call in calls]
    annotations = _annotations(texts)
    if annotations:
        message["annotations"] = annotations
    opaque = [part.raw for part in choice.parts if isinstance(part, Opaque)]
    if opaque:
        message["gateway_raw"] = opaque
    written = {
        "index": index,
        "message": message,
        "logprobs": choice.logprobs,
        "finish_reason": shown_finish(choice.finish),
    }
    if choice.native_finish is not None and choice.native_finish != written["finish_reason"]:
        written["native_finish_reason"] = choice.native_finish
    return written


def shown_finish(finish: FinishReason) -> str:
    """The finish reason for an OpenAI client, which knows no pause."""
    return "stop" if finish == "pause" else finish


def _annotations(texts: list[Text]) -> list[Any]:
    found: list[Any] = []
    start = 0
    for text in texts:
        end = start + len(text.text)
        found += [citations.to_openai(annotation, start, end) for annotation in text.annotations]
        start = end
    return found
