"""A provider inside this process: real bytes of the OpenAI dialect without any model, so that all else can be tried."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gatewayz.core.money import nano_from_usd, price_per_mtok
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Encoded
from gatewayz.infra.http_client import Reply
from gatewayz.providers.simulated_answer import THINKING_MODEL, Asked, Said, read, say
from gatewayz.providers.simulated_media import make
from gatewayz.settings import Environment, Settings

_JSON = MappingProxyType({"content-type": "application/json"})
_EVENTS = MappingProxyType({"content-type": "text/event-stream"})
_PIECES_PER_CHUNK = 2


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """A model of the simulated provider; prices are nano-USD per million tokens, `units` per piece."""

    id: str
    native_id: str
    name: str
    description: str
    context_length: int
    max_output_tokens: int
    price_prompt_nano_per_mtok: int
    price_completion_nano_per_mtok: int
    capabilities: frozenset[str] = frozenset()
    kind: str = "chat"
    units: Mapping[str, int] = field(default_factory=dict)


def _piece(kind: str, name: str, description: str, prompt: str = "0", **units: str) -> SimulatedModel:
    """A model of another kind, `sim/{name}`; `prompt` is USD per million tokens, each unit USD."""
    return SimulatedModel(
        id=f"sim/{name}",
        native_id=f"sim-{name}",
        name=f"Simulated {name.capitalize()}",
        description=description,
        context_length=128_000,
        max_output_tokens=16_384,
        price_prompt_nano_per_mtok=price_per_mtok(prompt),
        price_completion_nano_per_mtok=0,
        kind=kind,
        units=MappingProxyType({unit: nano_from_usd(price) for unit, price in units.items()}),
    )


_ABILITIES = frozenset({"tools", "vision", "json_object", "json_schema", "reasoning", "n"})
SIMULATED_MODELS: tuple[SimulatedModel, ...] = (
    SimulatedModel(
        id="sim/chat",
        native_id="sim-chat",
        name="Simulated Chat",
        description="Answers in this process without any model: text, tools, JSON, reasoning on demand.",
        context_length=128_000,
        max_output_tokens=16_384,
        price_prompt_nano_per_mtok=price_per_mtok("0.10"),
        price_completion_nano_per_mtok=price_per_mtok("0.40"),
        capabilities=_ABILITIES,
    ),
    SimulatedModel(
        id="sim/thinking",
        native_id=THINKING_MODEL,
        name="Simulated Thinking",
        description="As Simulated Chat, with reasoning before each answer unless it is switched off.",
        context_length=128_000,
        max_output_tokens=16_384,
        price_prompt_nano_per_mtok=price_per_mtok("0.20"),
        price_completion_nano_per_mtok=price_per_mtok("0.80"),
        capabilities=_ABILITIES,
    ),
    _piece("embedding", "embedding", "Vectors from a hash of the words; shared words make texts similar.", "0.02"),
    _piece("moderation", "moderation", 'Flags texts with the words "flag me", nothing else.', "0.01"),
    _piece("rerank", "rerank", "Orders documents by the words they share with the query.", query="0.001"),
    _piece("image", "image", "Stripes in two colours that the prompt decides.", image="0.01"),
    _piece("audio_transcription", "transcription", "Says how long the sound is.", second_input="0.0001"),
    _piece("audio_speech", "speech", "Silence as long as the text would take.", million_characters="15"),
)
_NATIVE_IDS = frozenset(model.native_id for model in SIMULATED_MODELS if model.kind == "chat")


def simulated_wanted(settings: Settings, environment: Environment, has_real_provider: bool) -> bool:
    """Whether the simulated provider is to be there: as chosen; by default outside production while no other is."""
    if settings.simulated_provider == "auto":
        return not environment.is_production and not has_real_provider
    return settings.simulated_provider == "on"


class Simulated:
    """Answers requests in OpenAI's dialects. Nothing is kept between requests."""

    def __init__(self, now_s: Callable[[], float], pause_s: float = 0.01) -> None:
        """`now_s` gives seconds since the epoch; `pause_s` is waited before each chunk of a stream."""
        self._now_s = now_s
        self._pause_s = pause_s

    def answer(self, body: bytes | Encoded, *, stream: bool, request_id: str, service: str = "chat") -> Reply:
        """The reply to a request for a service. A body that no provider would take gets a 400."""
        if service != "chat" or isinstance(body, Encoded):
            return self._piece(service, body)
        try:
            asked = read(body)
        except ValueError as error:
            return _refusal(400, str(error), None, None)
        if asked.model not in _NATIVE_IDS:
            return _refusal(404, f"The model '{asked.model}' does not exist.", "model", "model_not_found")
        head = {"id": f"chatcmpl-sim-{request_id}", "created": int(self._now_s()), "model": asked.model}
        choices = say(asked)
        if stream:
            return SimulatedReply(200, _EVENTS, _events(head, asked, choices), self._pause_s)
        return SimulatedReply(200, _JSON, iter([json_text.dump(_plain(head, asked, choices))]), 0.0)

    def _piece(self, service: str, body: bytes | Encoded) -> Reply:
        try:
            made = make(service, body)
        except ValueError as error:
            return _refusal(400, str(error), None, None)
        headers = MappingProxyType({"content-type": made.content_type})
        return SimulatedReply(200, headers, iter(made.parts), self._pause_s)


class SimulatedReply:
    """See `Reply`: chunks from an iterator, a pause before each but the first."""

    __slots__ = ("_chunks", "_first", "_pause_s", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], chunks: Iterator[bytes], pause_s: float) -> None:
        self.status = status
        self.headers = headers
        self._chunks = chunks
        self._pause_s = pause_s
        self._first = True

    async def read(self) -> bytes:
        """See `Reply.read`."""
        parts = []
        while part := await self.next_chunk():
            parts.append(part)
        return b"".join(parts)

    async def next_chunk(self) -> bytes:
        """See `Reply.next_chunk`."""
        if not self._first and self._pause_s:
            await asyncio.sleep(self._pause_s)
        self._first = False
        return next(self._chunks, b"")

    def close(self) -> None:
        """See `Reply.close`."""
        self._chunks = iter(())
        self._pause_s = 0.0


def _refusal(status: int, message: str, param: str | None, code: str | None) -> SimulatedReply:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return SimulatedReply(status, _JSON, iter([json_text.dump({"error": error})]), 0.0)


def _plain(head: dict[str, Any], asked: Asked, choices: tuple[Said, ...]) -> dict[str, Any]:
    return {
        **head,
        "object": "chat.completion",
        "choices": [
            {"index": index, "message": _message(said), "logprobs": None, "finish_reason": said.finish}
            for index, said in enumerate(choices)
        ],
        "usage": _usage(asked, choices),
    }


def _message(said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(said.text) if not said.calls else None}
    if said.thinking:
        message["reasoning_content"] = "".join(said.thinking)
    if said.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": "".join(call.pieces)}}
            for call in said.calls
        ]
    return message


def _events(head: dict[str, Any], asked: Asked, choices: tuple[Said, ...]) -> Iterator[bytes]:
    """Server-sent events: role, deltas and finish of each choice, usage if it was asked for, the terminator."""
    frame = {**head, "object": "chat.completion.chunk"}
    for index in range(len(choices)):
        yield _event(frame, index, {"role": "assistant", "content": ""})
    for index, said in enumerate(choices):
        for delta in _deltas(said):
            yield _event(frame, index, delta)
        yield _event(frame, index, {}, said.finish)
    if asked.include_usage:
        yield _line({**frame, "choices": [], "usage": _usage(asked, choices)})
    yield b"data: [DONE]\n\n"


def _deltas(said: Said) -> Iterator[dict[str, Any]]:
    for run in _runs(said.thinking):
        yield {"reasoning_content": run}
    for run in _runs(said.text):
        yield {"content": run}
    for place, call in enumerate(said.calls):
        opened = {"index": place, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield {"tool_calls": [opened]}
        for run in _runs(call.pieces):
            yield {"tool_calls": [{"index": place, "function": {"arguments": run}}]}


def _runs(pieces: tuple[str, ...]) -> Iterator[str]:
    for start in range(0, len(pieces), _PIECES_PER_CHUNK):
        yield "".join(pieces[start : start + _PIECES_PER_CHUNK])


def _event(frame: dict[str, Any], index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
    return _line({**frame, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]})


def _line(value: dict[str, Any]) -> bytes:
    return b"data: " + json_text.dump(value) + b"\n\n"


def _usage(asked: Asked, choices: tuple[Said, ...]) -> dict[str, Any]:
    completion = sum(said.tokens for said in choices)
    return {
        "prompt_tokens": asked.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": asked.prompt_tokens + completion,
        "completion_tokens_details": {"reasoning_tokens": sum(len(said.thinking) for said in choices)},
    }
