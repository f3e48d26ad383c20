"""Chat Completions as OpenRouter's clients know them: OpenAI's dialect, with OpenRouter's errors and its own parameters.

Everything that is not said here is as in `openai_chat`, and to OpenAI-like providers bytes are forwarded all the same.
"""

from typing import Any

import msgspec
from msgspec.structs import replace

from gatewayz.core.chat import ChatAnswer
from gatewayz.core.errors import GatewayError
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Bridge, Glance, Price, Quirks, StreamWriter, Target, Voice
from gatewayz.dialects.openai_chat import OpenAIChat
from gatewayz.dialects.openai_chat.chunks import DONE, chunk, sse, stable_id
from gatewayz.dialects.openai_chat.forward import OpenAIForwarder
from gatewayz.dialects.openai_chat.request_read import check_reasoning
from gatewayz.dialects.openai_chat.stream_write import OpenAIWriter
from gatewayz.dialects.openai_completions import OpenAICompletions
from gatewayz.dialects.openai_completions.answer import CompletionsWriter
from gatewayz.dialects.parameters import value_of

# OpenRouter's names of kinds of errors, stable for programs to test.
_KINDS = {
    400: "invalid_request", 401: "authentication", 402: "payment_required", 403: "permission_denied", 404: "not_found",
    409: "precondition_failed", 413: "payload_too_large", 422: "unprocessable", 429: "rate_limit_exceeded",
    500: "server", 502: "provider_unavailable", 503: "provider_overloaded", 504: "timeout",
}  # fmt: skip
_KINDS_BY_CODE = {
    "context_length_exceeded": "context_length_exceeded",
    "content_policy_violation": "content_policy_violation",
    "no_provider_available": "provider_unavailable",
}
# Members that OpenRouter reads itself; its providers are not sent them, and neither are ours.
_OWN = frozenset({"include_reasoning", "structured_outputs", "top_a", "session_id", "trace", "debug", "image_config"})


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The error body: the status as `code`, and under `metadata` what the gateway has to say besides."""
    return json_text.dump({"error": _told(error, request_id)})


def _told(error: GatewayError, request_id: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        **error.extra,
        "error_type": _KINDS_BY_CODE.get(error.code) or _KINDS.get(error.status, "unmapped"),
        "code": error.code,
        "type": error.type,
        "request_id": request_id,
    }
    for name, value in (("param", error.param), ("suggestions", error.suggestions), ("details", error.details)):
        if value:
            metadata[name] = value
    return {"code": error.status, "message": error.message, "metadata": metadata}


def _failed(voice: Voice, chunk_id: str, error: GatewayError, request_id: str) -> bytes:
    """The end of a stream that broke: a chunk that finishes with an error and says which."""
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    return sse(json_text.dump(chunk(voice, chunk_id, [choice], error=_told(error, request_id)))) + DONE


class _Forwarder(OpenAIForwarder):
    """A stream from a provider of the same dialect."""

    __slots__ = ()

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        self._before.clear()
        self._held.clear()
        return _failed(self._voice, self._id or stable_id(self._voice), error, request_id)


class _Writer(OpenAIWriter):
    """A stream from a provider of another dialect."""

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        return _failed(self._voice, self._id or stable_id(self._voice), error, request_id)


class _CompletionsWriter(CompletionsWriter):
    """A stream of legacy completions."""

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        return sse(render_error(error, request_id)) + DONE


class OpenRouterChat(OpenAIChat):
    """The `Dialect` of Chat Completions under `/api/v1`. It has OpenAI's name, since providers are spoken to in that."""

    def glance(self, body: bytes) -> Glance:
        seen = super().glance(body)
        seen.include_usage = True
        return seen

    def forward_request(self, glance: Glance, target: Target) -> bytes:
        if target.quirks.reasoning_details:
            return super().forward_request(glance, target)  # that is OpenRouter itself
        fields = glance.fields
        if not _OWN.isdisjoint(fields) or "reasoning" in fields:
            glance = replace(glance, fields=_in_openai_words(fields))
        return super().forward_request(glance, target)

    def forward_answer(
        self,
        body: bytes,
        voice: Voice,
        usage: Usage,
        cost_nano_usd: int,
        quirks: Quirks,
        provider: str = "",
        *,
        usual: bool = False,
    ) -> bytes:
        told = super().forward_answer(body, voice, usage, cost_nano_usd, quirks, provider, usual=usual)
        return _with_fingerprint(told)

    def write_answer(self, answer: ChatAnswer, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
        return _with_fingerprint(super().write_answer(answer, voice, usage, cost_nano_usd))

    def forwarder(self, voice: Voice, target: Target, price: Price) -> Bridge:
        return _Forwarder(voice, target, price)

    def writer(self, voice: Voice, price: Price) -> StreamWriter:
        return _Writer(voice)

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        return render_error(error, request_id)


class OpenRouterCompletions(OpenAICompletions):
    """The `ClientDialect` of legacy completions under `/api/v1`."""

    def glance(self, body: bytes) -> Glance:
        seen = super().glance(body)
        seen.include_usage = True
        return seen

    def writer(self, voice: Voice, price: Price) -> StreamWriter:
        return _CompletionsWriter(voice)

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        return render_error(error, request_id)


def _with_fingerprint(body: bytes) -> bytes:
    """The answer with the member that OpenRouter's own SDKs insist on; null where the provider has none."""
    if b'"system_fingerprint":' in body or not body.endswith(b"}"):
        return body
    return body[:-1] + b',"system_fingerprint":null}'


def _in_openai_words(fields: json_text.Fields) -> json_text.Fields:
    """The members without OpenRouter's own; `reasoning` as OpenAI-like providers say it. Raises InvalidRequest."""
    wishes: dict[str, Any] = {
        name: value_of(name, fields[name]) for name in ("reasoning", "include_reasoning") if name in fields
    }
    check_reasoning(wishes)
    said = {name: raw for name, raw in fields.items() if name not in _OWN and name != "reasoning"}
    reasoning = wishes.get("reasoning")
    if isinstance(reasoning, dict) and "reasoning_effort" not in said:
        off = reasoning.get("enabled") is False
        effort = "none" if off else reasoning.get("effort") or ("medium" if reasoning.get("enabled") else None)
        if isinstance(effort, str):
            said["reasoning_effort"] = msgspec.Raw(json_text.dump(effort))
    return said


OPENROUTER_CHAT = OpenRouterChat()
OPENROUTER_COMPLETIONS = OpenRouterCompletions()
