"""Bringing the choices of one chunk or answer of an OpenAI-like provider into the normal form of the dialect.

Only what would mislead an OpenAI client is touched: reasoning under another name or mixed into the content, content as
an array, tool calls without index or with an object as arguments, finish reasons of the provider's own.
"""

import hashlib
from typing import Any

from gatewayz.dialects import json_text
from gatewayz.dialects.openai_chat.wire import ERROR_FINISH, finish_reason

CLIENT_FINISH = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


class ToolIndexes:
    """The index of each tool call of a stream, also for providers that send none or always the same one.

    Without an index a fragment belongs to the call with its id, else to the last one opened. A new id with a name
    under an index that another call has is a new call.
    """

    __slots__ = ("_by_id", "_ids", "_last", "_next")

    def __init__(self) -> None:
        self._by_id: dict[tuple[int, str], int] = {}
        self._ids: dict[tuple[int, int], str] = {}
        self._next: dict[int, int] = {}
        self._last: dict[int, int] = {}

    def of(self, choice: int, call: dict[str, Any]) -> int:
        """The index of this fragment of a call of `choice`."""
        given, raw_id = call.get("index"), call.get("id")
        call_id = raw_id if isinstance(raw_id, str) else ""
        opens = _opens(call)
        free = self._next.get(choice, 0)
        if call_id and (choice, call_id) in self._by_id:
            index = self._by_id[choice, call_id]
        elif type(given) is not int:
            index = free if opens or call_id else self._last.get(choice, 0)
        elif call_id and opens and self._ids.get((choice, given), call_id) != call_id:
            index = free
        else:
            index = given
        if call_id:
            self._by_id[choice, call_id] = index
            self._ids.setdefault((choice, index), call_id)
        self._next[choice] = max(free, index + 1)
        self._last[choice] = index
        return index


def _opens(call: dict[str, Any]) -> bool:
    function = call.get("function")
    return isinstance(function, dict) and bool(function.get("name"))


def is_usual_call(call: Any) -> bool:
    """Whether an OpenAI client understands this tool call fragment as it is."""
    if not isinstance(call, dict) or type(call.get("index")) is not int:
        return False
    function = call.get("function")
    return not isinstance(function, dict) or isinstance(function.get("arguments", ""), (str, type(None)))


def split_content(content: list[Any]) -> tuple[str, str]:
    """(text, reasoning) of a content array as Mistral's reasoning models send it."""
    text: list[str] = []
    reasoning: list[str] = []
    for part in content:
        if isinstance(part, str):
            text.append(part)
        elif isinstance(part, dict):
            thinking = part.get("thinking")
            if part.get("type") == "thinking" or thinking is not None:
                reasoning.append(_joined(thinking))
            elif isinstance(part.get("text"), str):
                text.append(part["text"])
    return "".join(text), "".join(reasoning)


def _joined(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_joined(item.get("text") if isinstance(item, dict) else item) for item in value)
    return ""


def short_call_id(given: str) -> str:
    """A tool call id of nine letters and digits, the only ones that Mistral accepts; always the same for the same id."""
    if len(given) == 9 and given.isascii() and given.isalnum():
        return given
    return hashlib.blake2s(given.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()[:9]


def arguments_text(value: Any) -> str:
    """Tool call arguments as JSON text, whether they came as text or as a value."""
    if isinstance(value, str):
        return value
    return "" if value is None else json_text.dump(value).decode()


def normal_delta(delta: dict[str, Any], choice: int, tools: ToolIndexes | None) -> None:
    """Edits a delta (or, with `tools` None, a plain answer's message) in place."""
    reasoning = delta.get("reasoning")
    if isinstance(reasoning, str) and not delta.get("reasoning_content"):
        del delta["reasoning"]
        delta["reasoning_content"] = reasoning
    content = delta.get("content")
    if isinstance(content, list):
        text, thought = split_content(content)
        delta["content"] = text if text or not thought else None
        if thought:
            delta["reasoning_content"] = (delta.get("reasoning_content") or "") + thought
    calls = delta.get("tool_calls")
    if not isinstance(calls, list):
        return
    for call in calls:
        if not isinstance(call, dict):
            continue
        if tools is not None:
            call["index"] = tools.of(choice, call)
        function = call.get("function")
        if isinstance(function, dict) and function.get("arguments") is not None:
            function["arguments"] = arguments_text(function["arguments"])


def normal_message(choice: dict[str, Any]) -> None:
    """Edits a choice of a plain answer in place: it has a message, and a finish reason that is not empty."""
    message = choice.get("message")
    if not isinstance(message, dict):
        message = choice["message"] = {"role": "assistant", "content": None}
    normal_delta(message, 0, None)
    if not choice.get("finish_reason"):
        choice["finish_reason"] = "tool_calls" if message.get("tool_calls") else "stop"
    normal_finish(choice)


def normal_finish(choice: dict[str, Any]) -> None:
    """Replaces a provider's own finish reason by the normal one and keeps it in `native_finish_reason`."""
    native = choice.get("finish_reason")
    if isinstance(native, str) and native and native not in CLIENT_FINISH and native not in ERROR_FINISH:
        choice.setdefault("native_finish_reason", native)
        normal = finish_reason(native)
        choice["finish_reason"] = "stop" if normal == "pause" else normal
