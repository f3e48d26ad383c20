"""Anthropic Messages, as Anthropic and those who serve its models mean it."""

from gatewayz.core.chat import ChatAnswer, ChatRequest
from gatewayz.core.errors import GatewayError
from gatewayz.core.services import Service
from gatewayz.core.stream import StreamError
from gatewayz.core.usage import Usage
from gatewayz.dialects import error_text
from gatewayz.dialects.anthropic import answer as plain
from gatewayz.dialects.anthropic import (
    errors,
    forward,
    forward_request,
    glance,
    request_read,
    request_write,
    stream_read,
    stream_write,
)
from gatewayz.dialects.anthropic.wire import NAME
from gatewayz.dialects.base import (
    AnswerFacts,
    Bridge,
    Glance,
    Price,
    Quirks,
    StreamReader,
    StreamWriter,
    Target,
    Voice,
)


class AnthropicMessages:
    """The `Dialect` of Messages; each method is described there."""

    name = NAME
    service: Service = "chat"

    def glance(self, body: bytes) -> Glance:
        return glance.glance(body)

    def read_request(self, glance: Glance) -> ChatRequest:
        return request_read.read_request(glance)

    def write_request(self, request: ChatRequest, target: Target) -> bytes:
        return request_write.write_request(request, target)

    def forward_request(self, glance: Glance, target: Target) -> bytes:
        if forward_request.has_foreign_thinking(glance):
            return request_write.write_request(request_read.read_request(glance), target)
        return forward_request.forward_request(glance, target)

    def dropped(self, request: Glance | ChatRequest, target: Target) -> tuple[str, ...]:
        if isinstance(request, Glance):
            return forward_request.dropped(request, target)
        return request_write.dropped(request, target)

    def read_answer(self, body: bytes, provider: str = "") -> tuple[ChatAnswer, AnswerFacts]:
        return plain.read_answer(body)

    def write_answer(self, answer: ChatAnswer, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
        return plain.write_answer(answer, voice, usage, cost_nano_usd)

    def glance_answer(self, body: bytes) -> AnswerFacts:
        return plain.glance_answer(body)

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
        return plain.forward_answer(body, voice, usage, cost_nano_usd, quirks)

    def forwarder(self, voice: Voice, target: Target, price: Price) -> Bridge:
        return forward.AnthropicForwarder(voice, target)

    def reader(self, provider: str = "") -> StreamReader:
        return stream_read.AnthropicReader()

    def writer(self, voice: Voice, price: Price) -> StreamWriter:
        return stream_write.AnthropicWriter(voice)

    def read_error(self, body: bytes) -> StreamError:
        return error_text.read_error(body)

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        return errors.render_error(error, request_id)


ANTHROPIC = AnthropicMessages()
