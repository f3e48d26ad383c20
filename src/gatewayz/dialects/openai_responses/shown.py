"""A provider's response objects and items as the client sees them.

They stand under the gateway's id, say what the gateway does in the provider's place, seal encrypted reasoning with its maker,
and call the tools of a namespace as the client knows them.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from gatewayz.dialects import json_text, signatures
from gatewayz.dialects.base import Quirks, Voice
from gatewayz.dialects.openai_responses import frame, wire
from gatewayz.dialects.openai_responses.names import Called, flattened_names

_ENCRYPTED = b'"encrypted_content"'
_OUTPUT = msgspec.json.Decoder(list[msgspec.Raw])
_NOTHING: Mapping[str, Called] = {}


class Shown:
    """How the answer of one provider to one request is shown. Has no state."""

    __slots__ = ("_called", "_provider", "_strip", "_voice")

    def __init__(self, voice: Voice, provider: str, quirks: Quirks) -> None:
        self._voice = voice
        self._provider = provider
        self._strip = quirks.strip_answer_fields
        framing = voice.framing
        self._called = _NOTHING if quirks.namespaces or framing is None else flattened_names(framing.echo["tools"])

    def concerns(self, payload: bytes) -> bool:
        """Whether an event that holds an item must be edited."""
        return bool(self._called) or _ENCRYPTED in payload

    def response(self, response: json_text.Fields) -> dict[str, Any]:
        """A response object; members that nothing here concerns keep their bytes."""
        members: dict[str, Any] = {**response}
        for name in self._strip:
            members.pop(name, None)
        framing = self._voice.framing
        members["id"] = frame.response_id(self._voice)
        members["model"] = self._voice.model
        members["previous_response_id"] = framing.previous_id if framing else None
        members["store"] = framing.keep if framing else False
        if self._called and framing is not None:
            members["tools"] = framing.echo["tools"]
        output = members.get("output")
        if output is not None and bytes(output).startswith(b"[") and self.concerns(bytes(output)):
            members["output"] = [self.item(item) for item in _OUTPUT.decode(output)]
        return members

    def item(self, raw: msgspec.Raw) -> Any:
        """An output item."""
        try:
            item: dict[str, Any] = {**json_text.members(raw)}
        except ValueError:
            return raw
        encrypted = json_text.load(item["encrypted_content"]) if "encrypted_content" in item else None
        if isinstance(encrypted, str) and encrypted:
            item["encrypted_content"] = signatures.seal_openai(self._provider, encrypted)
            return item
        if self._called and wire.kind_of({"type": json_text.load(item.get("type", b"null"))}) in wire.CALLS:
            name = json_text.load(item.get("name", b"null"))
            called = self._called.get(name) if isinstance(name, str) else None
            if called is not None:
                return {**item, "name": called.name, "namespace": called.namespace}
        return raw
