"""Canonical messages as Gemini's `contents`: turns of user and model.

Rules, where the two ways of speaking differ:
- System and developer messages before the first turn become `systemInstruction`. Later ones keep their place inside the
  user's turn, between `<system>` tags.
- Neighbouring messages of one role are one turn; empty texts are left out; tool results open their turn.
- Signatures go back on the parts that they were on. A call without one (made by another model, or sent back by a client
  that lost it) carries the word by which Gemini 3 excuses that, for it refuses the turn otherwise.
- Thoughts of other families are not sent.
- A conversation that would start with the model is opened by a short user turn.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from gatewayz.core.chat import (
    Audio,
    Document,
    Image,
    Message,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gatewayz.dialects import signatures
from gatewayz.dialects.call_input import call_input, json_object
from gatewayz.dialects.conversation import OPENING, system_tagged, with_results_paired
from gatewayz.dialects.gemini.generation import wants_marked_calls
from gatewayz.dialects.gemini.media import audio_part, document_part, image_part
from gatewayz.dialects.gemini.signed import EXCUSED
from gatewayz.dialects.parameters import unsupported

Turn = tuple[str, list[dict[str, Any]]]


def write_contents(messages: Sequence[Message], native_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(parts of the system instruction, contents). Raises InvalidRequest naming what cannot be said to Gemini."""
    first_turn = next(
        (index for index, message in enumerate(messages) if message.role not in ("system", "developer")), len(messages)
    )
    system = [{"text": text} for message in messages[:first_turn] for text in _texts(message)]
    writer = _Writer(wants_marked_calls(native_id))
    turns: list[Turn] = []
    for index, message in enumerate(with_results_paired(messages[first_turn:]), first_turn):
        param = f"messages[{index}]"
        if message.role in ("system", "developer"):
            _add(turns, "user", [{"text": system_tagged(text)} for text in _texts(message)])
        elif message.role == "assistant":
            _add(turns, "model", writer.model(message, param))
        else:
            _add(turns, "user", writer.user(message, param))
    if not turns or turns[0][0] == "model":
        turns.insert(0, ("user", [{"text": OPENING}]))
    return system, [{"role": role, "parts": parts} for role, parts in turns]


def _add(turns: list[Turn], role: str, parts: list[dict[str, Any]]) -> None:
    if not parts:
        return
    if turns and turns[-1][0] == role:
        turns[-1][1].extend(parts)
    else:
        turns.append((role, parts))


def _texts(message: Message) -> list[str]:
    return [part.text for part in message.parts if isinstance(part, Text) and part.text]


class _Writer:
    """Writes turns; remembers the names of calls, by which Gemini knows their results."""

    def __init__(self, marked: bool) -> None:
        self._marked = marked
        self._names: dict[str, str] = {}

    def model(self, message: Message, param: str) -> list[dict[str, Any]]:
        """The parts of a turn of the model."""
        signed = _signatures(message)
        written: list[dict[str, Any]] = []
        last_text: dict[str, Any] | None = None
        calls = 0
        for part in message.parts:
            if isinstance(part, (Thinking, RedactedThinking)):
                written += _thought(part, bool(signed))
            elif isinstance(part, ToolCall):
                call = self._call(part, signed.get(signatures.call_place(calls)), first=calls == 0)
                written.append(call)
                calls += 1
            elif isinstance(part, (Text, Refusal)):
                if part.text:
                    last_text = {"text": part.text}
                    written.append(last_text)
            else:
                written.append(_media(part, param))
        if signatures.TEXT in signed and last_text is not None:
            last_text["thoughtSignature"] = signed[signatures.TEXT]
        if signatures.END in signed:
            written.append({"text": "", "thoughtSignature": signed[signatures.END]})
        return written

    def user(self, message: Message, param: str) -> list[dict[str, Any]]:
        """The parts of a turn of the user: results first, as Gemini wants them right after the calls."""
        results: list[dict[str, Any]] = []
        rest: list[dict[str, Any]] = []
        for part in message.parts:
            if isinstance(part, ToolResult):
                results.append(self._result(part, param, rest))
        for part in message.parts:
            if isinstance(part, (Text, Refusal)):
                rest += [{"text": part.text}] if part.text else []
            elif not isinstance(part, (ToolResult, Thinking, RedactedThinking)):
                rest.append(_media(part, param))
        return results + rest

    def _call(self, call: ToolCall, signature: str | None, *, first: bool) -> dict[str, Any]:
        self._names[call.id] = call.name
        function: dict[str, Any] = {"name": call.name, "args": call_input(call.arguments)}
        if self._marked and call.id:
            function["id"] = call.id
        written: dict[str, Any] = {"functionCall": function}
        if signature is None and first and self._marked:
            signature = EXCUSED
        if signature is not None:
            written["thoughtSignature"] = signature
        return written

    def _result(self, result: ToolResult, param: str, rest: list[dict[str, Any]]) -> dict[str, Any]:
        """A function response; it takes JSON only, so that images and files are handed on in `rest`."""
        texts = [part.text for part in result.parts if isinstance(part, (Text, Refusal))]
        others = [part for part in result.parts if not isinstance(part, (Text, Refusal))]
        if others:
            rest.append({"text": f"Result of tool call {result.call_id}:"})
            rest += [_media(part, param) for part in others]
        name = self._names.get(result.call_id, "unknown_function")
        response: dict[str, Any] = {"name": name, "response": _response("\n".join(texts), result.is_error)}
        if self._marked and result.call_id:
            response["id"] = result.call_id
        return {"functionResponse": response}


def _response(text: str, is_error: bool) -> Any:
    """A result as object: a JSON object as it is, anything else as text under the names that Gemini knows."""
    if is_error:
        return {"error": text}
    data = json_object(text)
    return msgspec.Raw(data) if data is not None else {"output": text}


def _signatures(message: Message) -> dict[str, str]:
    """Gemini's signatures that came back with a message, by the place of the part that each was on."""
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    thoughts = [part for part in message.parts if isinstance(part, (Thinking, RedactedThinking))]
    return dict(found for part in thoughts if (found := signatures.gemini_signature(part, calls)) is not None)


def _thought(part: Thinking | RedactedThinking, ours: bool) -> list[dict[str, Any]]:
    """A thought of Gemini's own; those of others, and signatures of other parts alone, are no parts.

    `ours`: Gemini signed something in this message, so that its unsigned thoughts are Gemini's, too.
    """
    found = signatures.gemini_signature(part, [])
    text = part.text if isinstance(part, Thinking) else ""
    if found is not None and found[0] == signatures.THOUGHT:
        return [{"text": text, "thought": True, "thoughtSignature": found[1]}]
    unsigned = isinstance(part, Thinking) and part.signature is None
    return [{"text": text, "thought": True}] if text and (found is not None or (ours and unsigned)) else []


def _media(part: Part, param: str) -> dict[str, Any]:
    if isinstance(part, Image):
        return image_part(part, param)
    if isinstance(part, Document):
        return document_part(part)
    if isinstance(part, Audio):
        return audio_part(part)
    kind = getattr(part, "kind", type(part).__name__)
    raise unsupported(param, f"holds a part of type '{kind}', which the provider of this model does not know")
