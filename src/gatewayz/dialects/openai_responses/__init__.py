"""The Responses API of OpenAI, as OpenAI and those who speak like it mean it."""

from gatewayz.core.chat import ChatAnswer, ChatRequest
from gatewayz.core.errors import GatewayError
from gatewayz.core.services import Service
from gatewayz.core.stream import StreamError
from gatewayz.core.usage import Usage
from gatewayz.dialects import error_text
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
from gatewayz.dialects.openai_responses import answer as plain
from gatewayz.dialects.openai_responses import (
    errors,
    forward,
    forward_request,
    glance,
    request_read,
    request_write,
    stream_read,
    stream_write,
)
from gatewayz.dialects.openai_responses.wire import NAME


class OpenAIResponses:
    """The `Dialect` of the Responses API; each method is described there."""

    name = NAME
    service: Service = "responses"

    def glance(self, body: bytes) -> Glance:
        return glance.glance(body)

    def read_request(self, glance: Glance) -> ChatRequest:
        return request_read.read_request(glance)

    def write_request(self, request: ChatRequest, target: Target) -> bytes:
        return request_write.write_request(request, target)

    def forward_request(self, glance: Glance, target: Target) -> bytes:
        return forward_request.forward_request(glance, target)

    def dropped(self, request: Glance | ChatRequest, target: Target) -> tuple[str, ...]:
        if isinstance(request, Glance):
            return forward_request.dropped(request, target)
        return request_write.dropped(request, target)

    def read_answer(self, body: bytes, provider: str = "") -> tuple[ChatAnswer, AnswerFacts]:
        return plain.read_answer(body, provider)

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
        return forward.forward_answer(body, voice, usage, cost_nano_usd, quirks, provider)

    def forwarder(self, voice: Voice, target: Target, price: Price) -> Bridge:
        return forward.ResponsesForwarder(voice, target)

    def reader(self, provider: str = "") -> StreamReader:
        return stream_read.ResponsesReader(provider)

    def writer(self, voice: Voice, price: Price) -> StreamWriter:
        return stream_write.ResponsesWriter(voice)

    def read_error(self, body: bytes) -> StreamError:
        return error_text.read_error(body)

    def render_error(self, error: GatewayError, request_id: str) -> bytes:
        return errors.render_error(error, request_id)


OPENAI_RESPONSES = OpenAIResponses()
