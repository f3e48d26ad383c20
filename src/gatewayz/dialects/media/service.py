"""A service beside chats in one dialect: a body in, a body out, and what was consumed.

Most of these are spoken on both sides in the same words, so that bytes are forwarded; the few that are translated override
the methods of the canonical form.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from gatewayz.core.errors import GatewayError, InvalidRequest
from gatewayz.core.services import Service
from gatewayz.core.stream import StreamError
from gatewayz.core.usage import Usage
from gatewayz.dialects import error_text, json_text
from gatewayz.dialects.base import (
    AnswerFacts,
    Bridge,
    Encoded,
    Glance,
    Price,
    Quirks,
    StreamReader,
    StreamWriter,
    Target,
    Voice,
)
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.media.events import NoWriter
from gatewayz.dialects.openai_chat.errors import render_error

JSON = "application/json"
# Members of a request that are the gateway's own.
_OURS = GATEWAY_FIELDS


class MediaDialect:
    """The `Dialect` of a service beside chats; each method is described there.

    Bodies may be forms and answers may be files: `look` is told the content type of a body, `answer_type` decides that
    of an answer. Bodies are large, so both may be called outside the event loop.
    """

    name = ""
    service: Service = "embeddings"

    def look(self, body: bytes, content_type: str) -> Glance:
        """What a body asks for. Raises InvalidRequest naming the field."""
        if content_type.lower().startswith("multipart/"):
            raise InvalidRequest(
                "This endpoint takes JSON, not a form.",
                code="unsupported_content_type",
                param="Content-Type",
            )
        return self.glance(body)

    def glance(self, body: bytes) -> Glance:
        raise NotImplementedError

    def answer_type(self, said: str, voice: Voice) -> str:
        """Content type of an answer for which the provider said `said`."""
        return JSON

    def completed(self, answer: Any, glance: Glance) -> Any:
        """A translated answer with what the client asked for and the provider left out, or without what it did not."""
        return answer

    def wants_bytes(self, glance: Glance) -> bool:
        """Whether images are wanted themselves, not their addresses."""
        return False

    def stream(self, voice: Voice) -> Bridge:
        """A bridge for one stream."""
        raise ValueError(f"{self.name} has no streams")

    def count(self, members: dict[str, msgspec.Raw]) -> tuple[Usage | None, bool]:
        """The usage that an answer tells, and whether it is empty. Raises ValueError for what is no answer."""
        raise ValueError(f"{self.name} has no plain answers")

    def forward_request(self, glance: Glance, target: Target) -> bytes | Encoded:
        return json_text.dump(own_fields(glance, target))

    def dropped(self, request: Any, target: Target) -> tuple[str, ...]:
        return ()

    def glance_answer(self, body: bytes) -> AnswerFacts:
        members = json_text.members(body)
        if "error" in members and members["error"] not in (b"null", b""):
            raise ValueError("an error with status 200")
        usage, empty = self.count(members)
        return facts(usage, empty, members)

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
        members: dict[str, Any] = dict(json_text.members(body))
        for name in quirks.strip_answer_fields:
            members.pop(name, None)
        if "model" in members:
            members["model"] = voice.model
        members["usage"] = self.told_usage(members.get("usage"), usage, cost_nano_usd)
        return json_text.dump(members)

    def told_usage(self, said: msgspec.Raw | None, usage: Usage, cost_nano_usd: int) -> dict[str, Any]:
        """The provider's own usage with the cost here in place of its own."""
        try:
            told: dict[str, Any] = dict(json_text.members(said)) if said is not None else {}
        except ValueError:
            told = {}
        for name in ("cost", "cost_details", "cost_in_usd_ticks", "is_byok"):
            told.pop(name, None)
        told["cost"] = json_text.usd_raw(cost_nano_usd)
        return told

    def forwarder(self, voice: Voice, target: Target, price: Price) -> Bridge:
        return self.stream(voice)

    def read_request(self, glance: Glance) -> Any:
        raise _same_only(self.name)

    def write_request(self, request: Any, target: Target) -> bytes | Encoded:
        raise _same_only(self.name)

    def read_answer(self, body: bytes, provider: str = "") -> tuple[Any, AnswerFacts]:
        raise ValueError(f"{self.name} is forwarded only")

    def write_answer(self, answer: Any, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
        raise ValueError(f"{self.name} is forwarded only")

    def reader(self, provider: str = "") -> StreamReader:
        raise ValueError(f"{self.name} is not translated in streams")

    def writer(self, voice: Voice, price: Price) -> StreamWriter:
        return NoWriter()

    def read_error(self, body: bytes) -> StreamError:
        return error_text.read_error(body)

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        return render_error(error, request_id)


def own_fields(glance: Glance, target: Target) -> dict[str, Any]:
    """The members of the client's body as this target gets them: its name of the model, without the gateway's own.

    What a provider's quirks say of parameters is about chats, so they count for nothing here.
    """
    fields: dict[str, Any] = {**glance.fields, "model": target.native_id}
    for name in _OURS:
        fields.pop(name, None)
    return fields


def facts(usage: Usage | None, empty: bool, members: Mapping[str, msgspec.Raw] = {}) -> AnswerFacts:
    """The facts of an answer that has no finish of its own."""
    own_id = members.get("id")
    try:
        native = json_text.load(own_id) if own_id is not None else None
    except ValueError:
        native = None
    return AnswerFacts(usage, None, None, native if isinstance(native, str) else None, empty, 0)


def inside(value: Any, *names: str) -> Any:
    """What stands under these names, one inside the other; None where one is missing or is no object."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def whole(value: Any) -> int:
    """A count that a provider stated; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def usage_of(members: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """The `usage` object of an answer, {} if there is none."""
    raw = members.get("usage")
    try:
        value = json_text.load(raw) if raw is not None else None
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def array_length(members: Mapping[str, msgspec.Raw], name: str) -> int:
    """How many items a list has, without reading them. Raises ValueError if it is none."""
    raw = members.get(name)
    if raw is None:
        raise ValueError(f"no {name}")
    try:
        return len(_RAWS.decode(raw))
    except msgspec.DecodeError as error:
        raise ValueError(f"{name} is no list") from error


_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


def _same_only(name: str) -> InvalidRequest:
    return InvalidRequest(f"This request cannot be put to a provider that speaks {name}.", code="unsupported_parameter")
