"""Converse and ConverseStream of Amazon Bedrock. Spoken to providers; no client speaks it here."""

from gatewayz.core.chat import ChatAnswer, ChatRequest
from gatewayz.core.services import Service
from gatewayz.core.stream import StreamError
from gatewayz.dialects import error_text
from gatewayz.dialects.base import AnswerFacts, StreamReader, Target
from gatewayz.dialects.bedrock import answer as plain
from gatewayz.dialects.bedrock import request_write, stream_read
from gatewayz.dialects.bedrock.wire import NAME


class BedrockConverse:
    """The `ProviderDialect` of Bedrock; each method is described there."""

    name = NAME
    service: Service = "chat"

    def write_request(self, request: ChatRequest, target: Target) -> bytes:
        return request_write.write_request(request, target)

    def dropped(self, request: ChatRequest, target: Target) -> tuple[str, ...]:
        return request_write.dropped(request, target)

    def read_answer(self, body: bytes, provider: str = "") -> tuple[ChatAnswer, AnswerFacts]:
        return plain.read_answer(body)

    def reader(self, provider: str = "") -> StreamReader:
        return stream_read.BedrockReader()

    def read_error(self, body: bytes) -> StreamError:
        return error_text.read_error(body)


BEDROCK = BedrockConverse()
