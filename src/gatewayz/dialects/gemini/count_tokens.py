"""Counting the tokens of a request without answering it: `countTokens`."""

from typing import Any

import msgspec

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Glance, Target
from gatewayz.dialects.gemini import glance
from gatewayz.dialects.gemini.forward_request import forward_request
from gatewayz.dialects.gemini.names import snake
from gatewayz.dialects.parameters import missing

_WRAPPED = "generateContentRequest"
_VERTEX = "/publishers/"
_WITHIN = ("systemInstruction", "tools", "toolConfig", "generationConfig", "cachedContent")


class _Count(msgspec.Struct, rename="camel"):
    total_tokens: int


class GeminiCounter:
    """The `TokenCounter` of Gemini for one model."""

    def __init__(self, model: str) -> None:
        self._model = model

    def glance(self, body: bytes) -> Glance:
        """See `TokenCounter`. The request stands in the body itself, or whole in its `generateContentRequest`."""
        fields = json_text.request_members(body)
        inner = glance.field(fields, _WRAPPED)
        if inner is not None:
            fields = _members(inner)
        elif glance.field(fields, "contents") is None:
            raise missing("contents")
        return glance.read_fields(body, fields, self._model, False)

    def write_request(self, seen: Glance, target: Target, url: str) -> bytes:
        """See `TokenCounter`. What belongs to the prompt beside the contents stands there at Vertex, else in a request."""
        body = json_text.members(forward_request(seen, target))
        if _VERTEX in url or not any(name in body or snake(name) in body for name in _WITHIN):
            return json_text.dump(body)
        return json_text.dump({_WRAPPED: {"model": f"models/{target.native_id}", **body}})

    def read(self, body: bytes) -> int:
        """See `TokenCounter`."""
        try:
            return msgspec.json.decode(body, type=_Count).total_tokens
        except msgspec.MsgspecError as error:
            raise ValueError("not a count of tokens") from error

    def write(self, tokens: int, *, estimated: bool) -> bytes:
        """See `TokenCounter`."""
        members: dict[str, Any] = {"totalTokens": tokens}
        return json_text.dump({**members, "estimated": True} if estimated else members)


def _members(raw: msgspec.Raw) -> json_text.Fields:
    try:
        return json_text.members(raw)
    except ValueError as error:
        raise InvalidRequest(f"'{_WRAPPED}' must be an object.", code="invalid_type", param=_WRAPPED) from error
