"""Plain answers and chunks for a Gemini client."""

from collections.abc import Iterable, Sequence
from typing import Any

from gatewayz.core.chat import (
    ChatAnswer,
    Choice,
    FinishReason,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from gatewayz.core.usage import Usage
from gatewayz.dialects import citations, json_text, signatures
from gatewayz.dialects.base import Voice
from gatewayz.dialects.call_input import call_input
from gatewayz.dialects.gemini.grounding import grounding_metadata
from gatewayz.dialects.gemini.logprobs import logprobs_result

REASONS: dict[FinishReason, str] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "pause": "OTHER",
}


def write_answer(answer: ChatAnswer, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
    """An answer with every alternative, and `usageMetadata.cost`."""
    return json_text.dump(
        {
            "candidates": [_candidate(choice, index) for index, choice in enumerate(answer.choices)],
            "usageMetadata": usage_metadata(usage, cost_nano_usd),
            "modelVersion": voice.model,
            "responseId": answer.id or voice.request_id,
        }
    )


def _candidate(choice: Choice, index: int) -> dict[str, Any]:
    parts = [written for part in choice.parts if (written := part_of(part)) is not None]
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    members: dict[str, Any] = {
        "content": {"parts": parts or [{"text": ""}], "role": "model"},
        "index": index,
        **ending(choice.finish, choice.native_finish, refused),
    }
    grounding = grounding_metadata(*_text_and_sources(choice.parts))
    if grounding is not None:
        members["groundingMetadata"] = grounding
    logprobs = logprobs_result(choice.logprobs)
    if logprobs is not None:
        members["logprobsResult"] = logprobs
    return members


def ending(finish: FinishReason, native: str | None, refused: bool) -> dict[str, Any]:
    """The members of a candidate that tell why it ended, the provider's own word among them where it is another.

    A model's own words of refusal count as a filter, since Gemini has no other name for them.
    """
    reason = "SAFETY" if refused and finish == "stop" else REASONS[finish]
    told = native is not None and native != reason
    return {"finishReason": reason, **({"nativeFinishReason": native} if told else {})}


def part_of(part: Part) -> dict[str, Any] | None:
    """A part of an answer for a client; None for what another dialect left over."""
    if isinstance(part, (Text, Refusal)):
        return {"text": part.text}
    if isinstance(part, (Thinking, RedactedThinking)):
        signature = signatures.wrap(part)
        text = part.text if isinstance(part, Thinking) else ""
        return {"text": text, "thought": True, **({"thoughtSignature": signature} if signature else {})}
    if isinstance(part, ToolCall):
        return call_part(part.id, part.name, part.arguments)
    return None


def call_part(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """A whole call of a function."""
    return {"functionCall": {**({"id": call_id} if call_id else {}), "name": name, "args": call_input(arguments)}}


def _text_and_sources(parts: Sequence[Part]) -> tuple[str, list[dict[str, Any]]]:
    """The text of an answer, and its annotations in the form of Chat Completions with places within that text."""
    text = ""
    found: list[dict[str, Any]] = []
    for part in parts:
        if not isinstance(part, Text):
            continue
        begin, text = len(text), text + part.text
        found += sources(part.annotations, begin, len(text))
    return text, found


def sources(annotations: Iterable[Any], begin: int, end: int) -> list[dict[str, Any]]:
    """Annotations of the characters `begin` to `end`, unless they say themselves what they are of."""
    return [citations.to_openai(annotation, begin, end) for annotation in annotations]


def usage_metadata(usage: Usage, cost_nano_usd: int | None) -> dict[str, Any]:
    """The token counts for a client, and the cost in USD; members that Google does not have are further ones."""
    members: dict[str, Any] = {
        "promptTokenCount": usage.prompt_tokens,
        "candidatesTokenCount": usage.completion_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.total_tokens,
    }
    further = {
        "thoughtsTokenCount": usage.reasoning_tokens,
        "cachedContentTokenCount": usage.cached_tokens,
        "cacheWriteTokenCount": usage.cache_write_tokens,
    }
    members.update({name: count for name, count in further.items() if count})
    for name, audio, total in (
        ("promptTokensDetails", usage.audio_input_tokens, usage.prompt_tokens),
        ("candidatesTokensDetails", usage.audio_output_tokens, members["candidatesTokenCount"]),
    ):
        if audio:
            spoken = {"modality": "AUDIO", "tokenCount": audio}
            members[name] = [{"modality": "TEXT", "tokenCount": max(0, total - audio)}, spoken]
    if usage.estimated:
        members["usageEstimated"] = True
    if cost_nano_usd is not None:
        members["cost"] = json_text.usd_raw(cost_nano_usd)
    return members
