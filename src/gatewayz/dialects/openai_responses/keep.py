"""What of an answer is kept, and how it is listed. Pure.

Kept is what the request itself brought (its input) and the response object as the client got it. A conversation is the kept
turns one after the other, each input followed by the output that it got.
"""

from typing import Any

from gatewayz.dialects import json_text

_ENDING = b"event: response."
_DATA = b"\ndata: "
_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "function_call_output": "fco"}


def response_in(sent: bytes) -> bytes | None:
    """The response object in a plain body, or in the last event of a stream; None if there is none."""
    if sent.startswith(b"{"):
        return sent
    at = sent.rfind(_ENDING)
    payload = sent[at:].partition(_DATA)[2].strip() if at >= 0 else b""
    try:
        response = bytes(json_text.members(payload).get("response", b""))
    except ValueError:
        return None
    return response if response.startswith(b"{") else None


def output_of(response: bytes) -> bytes:
    """The output of a response object, as a JSON array of items."""
    return bytes(json_text.members(response).get("output", b"[]"))


def input_items(answer_id: str, own_input: bytes) -> list[dict[str, Any]]:
    """The items of an input as they are listed: each with an id, messages with their content in parts."""
    items: list[dict[str, Any]] = []
    for index, item in enumerate(json_text.load(own_input)):
        kind = item.get("type") or "message"
        shown = {**item, "type": kind}
        if not isinstance(shown.get("id"), str):
            shown["id"] = f"{_PREFIXES.get(kind, 'item')}_{answer_id.removeprefix('resp_')}_in{index}"
        if kind == "message":
            shown.setdefault("status", "completed")
            if isinstance(shown.get("content"), str):
                shown["content"] = [_part(shown.get("role"), shown["content"])]
        items.append(shown)
    return items


def _part(role: Any, text: str) -> dict[str, Any]:
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": []}
    return {"type": "input_text", "text": text}
