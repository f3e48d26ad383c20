"""Compaction (`/responses/compact`): a conversation becomes a shorter one, whose last item only its provider can read.

A request is a Responses request that asks for no answer; the answer is a list of items to go on from. Nobody else can make
the encrypted item, so it is asked of providers that have this endpoint and of no others.
"""

from typing import Any

import msgspec

from gatewayz.core.services import Service
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Glance, Quirks, Target, Voice
from gatewayz.dialects.openai_responses import OpenAIResponses, frame, wire
from gatewayz.dialects.openai_responses.shown import Shown
from gatewayz.dialects.parameters import unsupported

NAME = "openai_compact"
# Members of a Responses request that the endpoint does not know; clients send them along with the rest.
_UNKNOWN = ("store", "stream", "stream_options", "background", "max_output_tokens")
_OUTPUT = msgspec.json.Decoder(list[msgspec.Raw])


class OpenAICompact(OpenAIResponses):
    """The `Dialect` of compaction. Bytes are forwarded; there is no other way."""

    name = NAME
    service: Service = "compact"

    def glance(self, body: bytes) -> Glance:
        seen = super().glance(body)
        if seen.stream:
            raise unsupported("stream", "cannot be asked for: a compaction comes as a whole")
        seen.dialect = NAME
        seen.max_tokens = None
        if seen.framing is not None:
            seen.framing.keep = False
        return seen

    def forward_request(self, glance: Glance, target: Target) -> bytes:
        fields: dict[str, Any] = {**json_text.members(super().forward_request(glance, target))}
        for name in (*_UNKNOWN, *(() if "include" in glance.fields else ("include",))):
            fields.pop(name, None)
        return json_text.dump(fields)

    def glance_answer(self, body: bytes) -> AnswerFacts:
        read = wire.body(body)
        if read.output is None or read.error:
            raise ValueError("not a compaction")
        encrypted = (item.get("encrypted_content") for item in read.output if isinstance(item, dict))
        return AnswerFacts(
            usage=wire.usage_in(read),
            finish="stop",
            native_finish="completed",
            upstream_id=read.id if isinstance(read.id, str) and read.id else None,
            empty=not read.output,
            output_chars=sum(len(each) for each in encrypted if isinstance(each, str)),
        )

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
        fields: dict[str, Any] = {**json_text.members(body)}
        for name in quirks.strip_answer_fields:
            fields.pop(name, None)
        shown = Shown(voice, provider, quirks)
        fields["id"] = frame.response_id(voice)
        if "model" in fields:
            fields["model"] = voice.model
        fields["output"] = [shown.item(item) for item in _OUTPUT.decode(fields["output"])]
        fields["usage"] = wire.with_cost(fields.get("usage"), usage, cost_nano_usd)
        return json_text.dump(fields)


OPENAI_COMPACT = OpenAICompact()
