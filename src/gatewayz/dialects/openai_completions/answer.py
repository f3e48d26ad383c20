"""Answers in the form of legacy completions: text, and why it ended. Reasoning has no place there and is not shown."""

from typing import Any

from gatewayz.core.chat import ChatAnswer, Choice, Opaque, Refusal, Text
from gatewayz.core.errors import GatewayError
from gatewayz.core.stream import Finished, RefusalDelta, Started, StreamEvent, TextDelta, Unknown
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Voice
from gatewayz.dialects.openai_chat.answer import shown_finish
from gatewayz.dialects.openai_chat.chunks import DONE, sse
from gatewayz.dialects.openai_chat.errors import render_error
from gatewayz.dialects.openai_chat.wire import usage_members
from gatewayz.dialects.unknown import raw_value


def write_answer(answer: ChatAnswer, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
    """A `text_completion` with `usage.cost`."""
    body = _frame(voice, answer.id, [_choice(choice, index) for index, choice in enumerate(answer.choices)])
    return json_text.dump({**body, "usage": usage_members(usage, cost_nano_usd, voice.more(usage))})


class CompletionsWriter:
    """A `StreamWriter` for clients of legacy completions."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._id = ""
        self._finished: dict[int, Finished] = {}

    def write(self, event: StreamEvent) -> bytes:
        """See `StreamWriter`. What must wait for the charge is kept for `finish`."""
        if isinstance(event, (TextDelta, RefusalDelta)):
            return self._text(event.text, event.index) if event.text else b""
        if isinstance(event, Started):
            self._id = self._id or event.id
        elif isinstance(event, Finished):
            self._finished[event.index] = event
        elif isinstance(event, Unknown):
            if event.text is not None:
                return self._text(event.text, 0)
            return self._chunk([], gateway_raw=raw_value(event.raw))
        return b""

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `StreamWriter`."""
        out = [
            self._chunk([_written("", index, self._finished[index].finish, self._finished[index].native_finish)])
            for index in sorted(self._finished)
        ]
        if self._voice.include_usage:
            out.append(self._chunk([], usage=usage_members(usage, cost_nano_usd, self._voice.more(usage))))
        return b"".join([*out, DONE])

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `StreamWriter`."""
        return sse(render_error(error, request_id)) + DONE

    def _text(self, text: str, index: int) -> bytes:
        return self._chunk([_written(text, index, None, None)])

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        if self._voice.include_usage:
            more.setdefault("usage", None)
        frame = _frame(self._voice, self._id, choices)
        self._id = frame["id"]
        return sse(json_text.dump({**frame, **more}))


def _frame(voice: Voice, native_id: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": native_id or f"cmpl-{voice.request_id}",
        "object": "text_completion",
        "created": voice.created,
        "model": voice.model,
        "choices": choices,
    }


def _choice(choice: Choice, index: int) -> dict[str, Any]:
    text = "".join(part.text for part in choice.parts if isinstance(part, (Text, Refusal)))
    written = _written(text, index, choice.finish, choice.native_finish)
    opaque = [part.raw for part in choice.parts if isinstance(part, Opaque)]
    return {**written, "gateway_raw": opaque} if opaque else written


def _written(text: str, index: int, finish: Any, native: str | None) -> dict[str, Any]:
    reason = shown_finish(finish) if finish is not None else None
    written = {"text": text, "index": index, "logprobs": None, "finish_reason": reason}
    if native is not None and native != reason:
        written["native_finish_reason"] = native
    return written
